"""`trtconv bench MODEL`: an engine of TensorRT's own layers beside one with plugins, in one run."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trtconv import comparison, convert, files, records
from trtconv.benchmark.model_report import BuiltVariant, ModelReport
from trtconv.comparison.default_precision import built_precision
from trtconv.comparison.runners import require_polygraphy
from trtconv.comparison.tolerance import TOLERANCE
from trtconv.config import BuildConfig, Ops
from trtconv.engine import backends, loading
from trtconv.engine.engine_runner import EngineRunner
from trtconv.gpu import device as gpu_device
from trtconv.gpu.device import Device
from trtconv.gpu.timing import Enqueue, time_side_by_side
from trtconv.inputs.made_inputs import Arrays, InputSet, input_specs, make_inputs, shape_choices
from trtconv.model import model_io
from trtconv.progress import NoProgress, Progress

VARIANTS: tuple[Ops, ...] = ("native", "plugin")
_NUM_INPUT_SETS = 2
_PROFILED_RUNS = 10


def bench_model(
    model_path: str | Path,
    config: BuildConfig | None = None,
    *,
    layers: bool = False,
    progress: Progress | None = None,
) -> ModelReport:
    """Build both engines with the options of `config`, compare their outputs, and time them in turn.

    Dynamic inputs have the usual shapes of the first profile. Engines whose outputs differ are not timed. Nothing is
    written beside the model. Raises a TrtconvError.
    """
    model_path, progress = Path(model_path), progress or NoProgress()
    files.require_readable(model_path)
    config = replace(config or BuildConfig(), backend="tensorrt")
    backends.select_backend(config)
    device = gpu_device.open_device()
    require_polygraphy()
    inputs, tolerance = _inputs_and_tolerance(model_path, config)
    with tempfile.TemporaryDirectory(prefix="trtconv-bench-") as folder, ExitStack() as until:
        built = {str(ops): _build(model_path, config, ops, Path(folder), progress) for ops in VARIANTS}
        compared = comparison.compare(
            built["native"].path,
            built["plugin"].path,
            [each.feed for each in inputs],
            tolerance,
            labels=[each.label for each in inputs],
            progress=progress,
        )
        report = ModelReport(
            model=model_path,
            machine=_machine(device, built["plugin"]),
            shapes={name: list(values.shape) for name, values in inputs[0].feed.items()},
            options=records.to_json(built["plugin"].manifest.options),
            variants=built,
            comparison=compared,
        )
        if not compared.passed:
            return report
        runners = {ops: _runner(built[ops], device, inputs[0].feed, until) for ops in VARIANTS}
        timings = time_side_by_side(device, {ops: _enqueue(runner) for ops, runner in runners.items()})
        layer_times = {str(ops): runners[ops].layer_times(device, _PROFILED_RUNS) for ops in VARIANTS} if layers else {}
        return replace(report, timings=timings, layer_times=layer_times)


def _inputs_and_tolerance(model_path: Path, config: BuildConfig) -> tuple[list[InputSet], float]:
    """Return seeded inputs of the usual shapes of the first profile, and how far the two engines may be apart."""
    proto = model_io.load(model_path).proto
    choices = shape_choices(proto, config.profiles[:1])
    precision = built_precision(config, proto)
    inputs = make_inputs(input_specs(proto), choices, num_sets=_NUM_INPUT_SETS, narrow=precision == "fp16")
    return inputs, TOLERANCE[precision]


def _build(model_path: Path, config: BuildConfig, ops: Ops, folder: Path, progress: Progress) -> BuiltVariant:
    keep_native = config.keep_native if ops == "plugin" else ()
    cache = config.timing_cache or folder / "timing.cache"  # what one build measured serves the other
    own = replace(config, ops=ops, output=folder / f"{ops}.engine", keep_native=keep_native, timing_cache=cache)
    report = convert.build(model_path, own, progress=progress)
    return BuiltVariant(
        path=report.engine,
        num_plugins=report.rewrite.num_rewritten,
        num_bytes=report.engine.stat().st_size,
        build_seconds=report.seconds,
        notes=report.notes,
        manifest=report.manifest,
    )


def _runner(built: BuiltVariant, device: Device, feed: Arrays, until: ExitStack) -> EngineRunner:
    runner = EngineRunner(loading.load_engine(built.path), built.path.stem)
    runner.bind_inputs(device, feed, until)
    return runner


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
