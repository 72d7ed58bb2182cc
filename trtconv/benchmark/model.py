"""`trtconv bench MODEL`: an engine of TensorRT's own layers beside one with plugins, in one run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from trtconv import convert, engine, files
from trtconv.benchmark import cuda
from trtconv.benchmark.cuda import Device
from trtconv.benchmark.engine_runner import EngineRunner
from trtconv.benchmark.model_report import BuiltVariant, ModelReport
from trtconv.benchmark.timing import Enqueue, time_side_by_side
from trtconv.config import BuildConfig, Ops
from trtconv.errors import BackendError
from trtconv.progress import NoProgress, Progress
from trtconv.tolerances import TOLERANCE

if TYPE_CHECKING:
    from types import ModuleType

Feed = Mapping[str, npt.NDArray[Any]]

VARIANTS: tuple[Ops, ...] = ("native", "plugin")
_NUM_FEEDS = 2
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
    engine.select_backend(config)
    device = cuda.open_device()
    comparison = _import_comparison()
    with tempfile.TemporaryDirectory(prefix="trtconv-bench-") as folder, ExitStack() as until:
        built = {str(ops): _build(model_path, config, ops, Path(folder), progress) for ops in VARIANTS}
        feeds = _make_feeds(comparison, model_path, config)
        paths = [built[ops].path for ops in VARIANTS]
        compared = comparison.compare(*paths, feeds, _tolerance(model_path, config))
        report = ModelReport(
            model=model_path,
            machine=_machine(device, built["plugin"]),
            shapes={name: list(values.shape) for name, values in feeds[0].items()},
            options=built["plugin"].manifest["options"],
            variants=built,
            outputs=compared.to_json()["outputs"],
            tolerance=compared.tolerance,
            agree=compared.passed,
        )
        if not compared.passed:
            return report
        runners = {ops: _runner(built[ops], device, feeds[0], until) for ops in VARIANTS}
        timings = time_side_by_side(device, {ops: _enqueue(runner) for ops, runner in runners.items()})
        layer_times = {str(ops): runners[ops].layer_times(device, _PROFILED_RUNS) for ops in VARIANTS} if layers else {}
        return replace(report, timings=timings, layer_times=layer_times)


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


def _runner(built: BuiltVariant, device: Device, feed: Feed, until: ExitStack) -> EngineRunner:
    runner = EngineRunner(engine.load_engine(built.path), built.path.stem)
    runner.bind_inputs(device, feed, until)
    return runner


def _enqueue(runner: EngineRunner) -> Enqueue:
    return lambda index, stream: runner.enqueue(stream)


def _make_feeds(comparison: ModuleType, model_path: Path, config: BuildConfig) -> list[Feed]:
    """Return seeded inputs of the usual shapes of the first profile; shape tensors have their usual values."""
    profile = config.profiles[0] if config.profiles else {}
    shapes = {name: shape.opt for name, shape in profile.items() if shape.kind == "shape"}
    values = {name: shape.opt for name, shape in profile.items() if shape.kind == "values"}
    feeds: list[dict[str, npt.NDArray[Any]]] = comparison.random_inputs(model_path, shapes, num_sets=_NUM_FEEDS)
    for feed in feeds:
        feed.update({name: np.reshape(values[name], feed[name].shape).astype(feed[name].dtype) for name in values})
    return list(feeds)


def _tolerance(model_path: Path, config: BuildConfig) -> float:
    """Return how far the two engines may be apart, by the types that they compute in."""
    if config.precision is not None:
        return TOLERANCE[config.precision]
    graph = onnx.load(model_path, load_external_data=False).graph
    types = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output, *graph.value_info)}
    types |= {tensor.data_type for tensor in graph.initializer}
    for element_type, name in ((TensorProto.BFLOAT16, "bf16"), (TensorProto.FLOAT16, "fp16")):
        if element_type in types:
            return TOLERANCE[name]
    return TOLERANCE["fp32" if config.tf32 is False else "tf32"]


def _machine(device: Device, built: BuiltVariant) -> dict[str, Any]:
    return {
        "gpu": device.gpu.name,
        "gpu_arch": device.gpu.arch,
        "driver_cuda": device.gpu.driver,
        "trtconv": version("trtconv"),
        "tensorrt": built.manifest["backend_version"],
        "plugin_library_sha256": (built.manifest["plugin_library"] or {}).get("sha256"),
    }


def _import_comparison() -> ModuleType:
    try:
        from trtconv import comparison
    except ImportError as error:
        raise BackendError(f"the comparison needs polygraphy: {error}", hint=cuda.INSTALL_HINT) from None
    return comparison
