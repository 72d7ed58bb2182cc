"""`trtconv bench --ops`: the kernels beside a copy of the same bytes and beside TensorRT's own layers, in one run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trtconv import engine, installed
from trtconv.benchmark import checking, cuda
from trtconv.benchmark.cases import Case, Values, make_values, pack, select_cases, unpack
from trtconv.benchmark.cuda import Device, OutOfMemoryError
from trtconv.benchmark.engine_runner import EngineRunner
from trtconv.benchmark.kernels import KernelLibrary, NotOfferedError, Tensors, load_kernels
from trtconv.benchmark.one_op_engines import KINDS, BuiltEngine, Kind, build_engines
from trtconv.benchmark.ops_report import CaseResult, OpsReport
from trtconv.benchmark.timing import Enqueue, host_microseconds, time_side_by_side
from trtconv.config import BuildConfig
from trtconv.errors import BackendError, ConfigError
from trtconv.progress import NoProgress, Progress

Array = npt.NDArray[Any]
Engines = Mapping[tuple[Case, Kind], BuiltEngine]

PHASE = "checking and timing"
_SETS_BEYOND_L2 = 4  # how many times L2's size the buffers are that launches go round
_MEMORY_PER_JOB = 4 << 30  # a build of the largest case and its CUDA context
_POISON = 0xFF  # NaN in every float type


@dataclass(frozen=True)
class OpsOptions:
    """What to time: cases that a glob of `patterns` matches; TensorRT's layers too; the plugins in engines too.

    `num_jobs` processes build engines at once; by default one a processor, where the GPU has room for them.
    """

    patterns: Sequence[str] = ()
    native: bool = True
    engines: bool = False
    num_jobs: int | None = None

    def __post_init__(self) -> None:
        if self.num_jobs is not None and self.num_jobs < 1:
            raise ConfigError(f"need at least one process, got {self.num_jobs}", where="--jobs")


@dataclass(frozen=True)
class _Bench:
    """What every case needs."""

    device: Device
    library: KernelLibrary
    engines: Engines


def bench_ops(options: OpsOptions | None = None, progress: Progress | None = None) -> OpsReport:
    """Check every kernel against its reference, then time it; a wrong one is reported and not timed.

    Raises ConfigError for a pattern that matches nothing, BackendError without a GPU, cuda-bindings or the library.
    """
    options, progress = options or OpsOptions(), progress or NoProgress()
    cases = select_cases(options.patterns)
    device = cuda.open_device()
    library, described = load_kernels()
    kinds = [kind for kind, is_wanted in zip(KINDS, (options.native, options.engines), strict=True) if is_wanted]
    why_no_engines = _why_no_engines() if kinds else None
    with tempfile.TemporaryDirectory(prefix="trtconv-bench-") as folder:
        engines: Engines = {}
        if kinds and why_no_engines is None:
            num_jobs = options.num_jobs or _default_jobs(device)
            engines = build_engines(cases, kinds, Path(folder), num_jobs, progress)
        bench = _Bench(device, library, engines)
        progress.phase_start(PHASE, None, len(cases))
        results = []
        for step, case in enumerate(cases):
            progress.tick()
            results.append(_bench_case(bench, case))
            progress.step_complete(PHASE, step)
        progress.phase_finish(PHASE)
    machine = {
        "gpu": device.gpu.name,
        "gpu_arch": device.gpu.arch,
        "driver_cuda": device.gpu.driver,
        "l2_bytes": device.l2_bytes,
        "trtconv": version("trtconv"),
        "tensorrt": installed.backend_version("tensorrt") if engines else None,
        "plugin_library_sha256": described.sha256,
    }
    return OpsReport(machine, results, why_no_engines)


def _why_no_engines() -> str | None:
    """Return why TensorRT cannot build here, None where it can."""
    try:
        engine.select_backend(BuildConfig(backend="tensorrt"))
    except BackendError as error:
        return str(error)
    return None


def _default_jobs(device: Device) -> int:
    return max(min(os.cpu_count() or 1, device.memory_bytes // _MEMORY_PER_JOB), 1)


def _bench_case(bench: _Bench, case: Case) -> CaseResult:
    fits_l2 = case.num_bytes <= bench.device.l2_bytes
    num_sets = 1 if fits_l2 else max(_SETS_BEYOND_L2 * bench.device.l2_bytes // case.num_bytes + 1, 2)
    try:
        with ExitStack() as until:
            sets = [_allocate(bench, case, until) for _ in range(num_sets)]
            return _check_and_time(bench, case, sets, fits_l2)
    except (NotOfferedError, OutOfMemoryError) as error:
        return CaseResult(case, fits_l2, "skipped", error.what)


def _check_and_time(bench: _Bench, case: Case, sets: Sequence[Tensors], fits_l2: bool) -> CaseResult:
    device, values = bench.device, make_values(case)
    x = pack(case, values.x)
    for tensors in sets:
        for address, array in ((tensors.x, x), (tensors.scale, values.scale), (tensors.bias, values.bias)):
            if array is not None:
                device.upload(address, array)
    launches = [bench.library.bind(case, tensors) for tensors in sets]

    def kernel(index: int, stream: int) -> None:
        launches[index](stream)

    def copy(index: int, stream: int) -> None:
        device.copy(sets[index].y, sets[index].x, case.num_bytes // 2, stream)

    error = checking.worst_kernel_error(case, values, _run(device, case, sets[0], kernel))
    if error > 1:
        return CaseResult(case, fits_l2, "wrong", f"the kernel is wrong: {_times_bound(error)}", error)
    variants: dict[str, Enqueue] = {"kernel": kernel, "copy": copy}
    problems: dict[str, str] = {}
    for kind in KINDS:
        enqueue, problem = _engine_variant(bench, case, kind, sets, values)
        if enqueue is not None:
            variants[kind] = enqueue
        if problem is not None:
            problems[kind] = problem
    timings = time_side_by_side(device, variants, len(sets))
    host_us = host_microseconds(device, kernel)
    return CaseResult(case, fits_l2, "timed", None, error, len(sets), timings, host_us, problems)


def _engine_variant(
    bench: _Bench, case: Case, kind: Kind, sets: Sequence[Tensors], values: Values
) -> tuple[Enqueue | None, str | None]:
    """Return how to enqueue the engine of a case, once its result was found right, or why it is not timed."""
    built = bench.engines.get((case, kind))
    if built is None or built.path is None:
        return None, None if built is None else built.problem
    try:
        runner = EngineRunner(engine.load_engine(built.path), case.name)
    except BackendError as error:
        return None, error.what

    def enqueue(index: int, stream: int) -> None:
        runner.set_addresses({"x": sets[index].x, "y": sets[index].y})
        runner.enqueue(stream)

    y = _run(bench.device, case, sets[0], enqueue)
    check = checking.worst_kernel_error if kind == "plugin" else checking.worst_native_error
    worst = check(case, values, y)
    return (enqueue, None) if worst <= 1 else (None, f"its result is wrong: {_times_bound(worst)}")


def _allocate(bench: _Bench, case: Case, until: ExitStack) -> Tensors:
    """Return memory for one launch, and for a copy of as many bytes as the launch moves."""
    parameter_bytes = case.shape[1] * 4 if case.op == "InstanceNorm" else 0
    sizes = (
        max(case.input_bytes, case.num_bytes // 2),
        max(case.output_bytes, case.num_bytes // 2),
        parameter_bytes,
        parameter_bytes,
        bench.library.workspace_bytes(case),
    )
    return Tensors(*(bench.device.allocate(size, until) for size in sizes))


def _run(device: Device, case: Case, tensors: Tensors, enqueue: Enqueue) -> Array:
    """Return what one launch writes into an output of poison."""
    stored = np.empty(case.output_bytes, np.uint8)
    device.fill(tensors.y, _POISON, stored.nbytes)
    enqueue(0, device.stream)
    device.download(tensors.y, stored)
    return unpack(case, stored)


def _times_bound(error: float) -> str:
    return f"its error is {error:.3g} times what is allowed"
