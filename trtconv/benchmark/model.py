"""`trtconv bench MODEL`: an engine of TensorRT's own layers beside those with plugins, in one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trtconv import comparison, decisions, files, reading, records
from trtconv.benchmark.layer_kinds import times_by_kind
from trtconv.benchmark.model_report import LayerTimes, ModelReport
from trtconv.benchmark.variants import (
    REFERENCE,
    BuiltVariant,
    build_variant,
    same_as_before,
    variants_of,
    written_graph,
)
from trtconv.comparison import acceptance
from trtconv.comparison.default_precision import built_precision
from trtconv.comparison.remembered import remembered
from trtconv.comparison.report import ComparisonReport
from trtconv.comparison.runners import require_polygraphy
from trtconv.comparison.tolerance import TOLERANCE
from trtconv.config import BuildConfig
from trtconv.engine import backends, loading
from trtconv.engine.engine_runner import EngineRunner
from trtconv.engine.network_parsing import kernels_kept
from trtconv.gpu import device as gpu_device
from trtconv.gpu.device import Device
from trtconv.gpu.timing import Enqueue, time_side_by_side
from trtconv.inputs.made_inputs import InputSet, input_specs, make_inputs, shape_choices
from trtconv.model import external_data, model_io
from trtconv.model.exact_norms import exact_reference
from trtconv.model.model_io import Model
from trtconv.progress import NoProgress, Progress

_NUM_INPUT_SETS = 2
_PROFILED_RUNS = 10
_NUM_REPLAYS = 100  # of which one is beyond the 99th percentile


def bench_model(
    model_path: str | Path,
    config: BuildConfig | None = None,
    *,
    layers: bool = False,
    force: bool = False,
    outputs: Sequence[Path] = (),
    progress: Progress | None = None,
) -> ModelReport:
    """Build an engine a variant with the options of `config`, compare each with the model, and time them in turn.

    A variant whose graph is that of another is not built again. Dynamic inputs have the usual shapes of the first
    profile. The model runs in ONNX Runtime. An engine that is outside the tolerance, and further from the model than
    that of TensorRT's own layers, is timed with `force` only. Nothing is written beside the model; `outputs` are the
    files that the caller is going to write. Raises a TrtconvError, before any long work where an output cannot be
    written or is a file that is read.
    """
    model_path, progress = Path(model_path), progress or NoProgress()
    reading.require_readable(model_path)
    config = replace(config or BuildConfig(), backend="tensorrt")
    inputs, tolerance = _begin(model_path, config, outputs)
    backend, _ = backends.select_backend(config)
    device = gpu_device.open_device()
    require_polygraphy()
    with files.temporary_folder() as folder, ExitStack() as until:
        with kernels_kept(backend):
            built, same = _build_all(model_path, config, folder, progress)
        bench = _Bench(device, built, inputs, until)
        compared = bench.compare(model_io.load(model_path, trust_links=config.trust_links), tolerance, progress)
        problems = {ops: acceptance.problem_of(each, compared[REFERENCE]) for ops, each in compared.items()}
        report = ModelReport(
            model=model_path,
            machine=_machine(device, built["plugin"]),
            shapes={name: list(values.shape) for name, values in inputs[0].feed.items()},
            options=records.to_json(built["plugin"].manifest.options),
            variants=built,
            same=same,
            comparisons=compared,
            problems={ops: problem for ops, problem in problems.items() if problem is not None},
            is_forced=force,
        )
        return bench.time(report, layers)


def _build_all(
    model_path: Path, config: BuildConfig, folder: Path, progress: Progress
) -> tuple[dict[str, BuiltVariant], dict[str, str]]:
    """Return the engines by variant, and for each variant that is not built the one whose graph is the same."""
    written = {ops: written_graph(model_path, config, ops) for ops in variants_of(config)}
    same = {ops: other for ops in written if (other := same_as_before(written, ops)) is not None}
    built = {
        ops: build_variant(model_path, config, ops, graph, folder, progress)
        for ops, graph in written.items()
        if ops not in same
    }
    return built, same


@dataclass(frozen=True)
class _Bench:
    """What comparing and timing the built engines needs; what they allocate lives until `until` closes."""

    device: Device
    built: Mapping[str, BuiltVariant]
    inputs: Sequence[InputSet]
    until: ExitStack

    def compare(self, model: Model, tolerance: float, progress: Progress) -> dict[str, ComparisonReport]:
        """Compare each engine with the model in ONNX Runtime."""
        feeds, labels = [each.feed for each in self.inputs], [each.label for each in self.inputs]
        reference = remembered(exact_reference(model.proto, model.path))
        return {
            ops: comparison.compare(reference, each.path, feeds, tolerance, labels=labels, progress=progress)
            for ops, each in self.built.items()
        }

    def time(self, report: ModelReport, layers: bool) -> ModelReport:
        """Return the report with the times of the engines that are right, and with those of their layers if asked."""
        timed = [ops for ops in self.built if report.is_forced or ops not in report.problems]
        if timed in ([], [REFERENCE]):
            return report
        runners = {ops: self._runner(ops) for ops in timed}
        enqueues = {ops: _enqueue(runner) for ops, runner in runners.items()}
        timings = time_side_by_side(self.device, enqueues, num_replays=_NUM_REPLAYS)
        layer_times = {ops: self._layer_times(ops, runner) for ops, runner in runners.items()} if layers else {}
        memory = {ops: runner.device_memory_bytes for ops, runner in runners.items()}
        return replace(report, timings=timings, memory=memory, layer_times=layer_times)

    def _runner(self, ops: str) -> EngineRunner:
        runner = EngineRunner(loading.load_engine(self.built[ops].path), ops)
        runner.bind_inputs(self.device, self.inputs[0].feed, self.until)
        return runner

    def _layer_times(self, ops: str, runner: EngineRunner) -> LayerTimes:
        times = runner.layer_times(self.device, _PROFILED_RUNS)
        return LayerTimes(times, times_by_kind(times, runner.layers(), self.built[ops].ops_by_node))


def _begin(model_path: Path, config: BuildConfig, outputs: Sequence[Path]) -> tuple[list[InputSet], float]:
    """Return seeded inputs of the usual shapes of the first profile, and how far two engines may be apart.

    Raises a TrtconvError where one of the `outputs` cannot be written, or a file that is read cannot be used.
    """
    proto = model_io.load(model_path, trust_links=config.trust_links).proto
    read = list(external_data.files_of(proto, model_path))
    if config.decisions is not None:
        decisions.read(config.decisions)
        read.append(config.decisions)
    if config.timing_cache is not None:
        files.require_writable(config.timing_cache, inputs=read)
        read.append(config.timing_cache)
    for path in outputs:
        files.require_writable(path, inputs=read)
    choices = shape_choices(proto, config.profiles[:1])
    precision = built_precision(config, proto)
    inputs = make_inputs(input_specs(proto), choices, num_sets=_NUM_INPUT_SETS, narrow=precision == "fp16")
    return inputs, TOLERANCE[precision]


def _enqueue(runner: EngineRunner) -> Enqueue:
    return lambda index, stream: runner.enqueue(stream)


def _machine(device: Device, built: BuiltVariant) -> dict[str, Any]:
    library = built.manifest.plugin_library
    return {
        "gpu": device.gpu.name,
        "gpu_arch": device.gpu.arch,
        "driver_cuda": device.gpu.driver,
        "trtconv": version("trtconv"),
        "tensorrt": built.manifest.backend_version,
        "plugin_library_sha256": None if library is None else library.sha256,
    }
