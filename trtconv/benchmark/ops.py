"""`trtconv bench --ops`: the kernels beside a copy of the same bytes and beside TensorRT's own layers, in one run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from trtconv import files
from trtconv.benchmark import checking, kernels
from trtconv.benchmark.cases import Case, Values, make_values, pack, select_cases, unpack
from trtconv.benchmark.kernels import NotOfferedError, Tensors
from trtconv.benchmark.one_op_engines import KINDS, BuiltEngine, Kind, build_engines
from trtconv.benchmark.ops_report import CaseResult, OpsReport
from trtconv.config import BuildConfig
from trtconv.engine import backends, loading
from trtconv.engine.engine_runner import EngineRunner
from trtconv.errors import BackendError, ConfigError, TrtconvError
from trtconv.gpu import device as gpu_device
from trtconv.gpu.device import Device, OutOfMemoryError
from trtconv.gpu.timing import Enqueue, host_microseconds, time_side_by_side
from trtconv.plugins.kernels import KernelLibrary, load_kernels
from trtconv.progress import NoProgress, Progress

Array = npt.NDArray[Any]
Engines = Mapping[tuple[Case, Kind], BuiltEngine]

PHASE = "checking and timing"
_SETS_BEYOND_L2 = 4  # how many times L2's size the buffers are that launches go round
_MEMORY_PER_JOB = 4 << 30  # a build of the largest case and its CUDA context
# The driver copies some sizes beyond this at 2.4 TB/s in one piece and at 2.9 to 3.0 in pieces, which is what a copying
# kernel reaches (H100, 136, 272, 537 and 543 MB); smaller pieces cost more, 16 MiB 2.6 TB/s.
COPY_PIECE_BYTES = 128 << 20
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


class _WrongResultError(TrtconvError):
    """A kernel of ours computes something else than its reference."""

    def __init__(self, subject: str, worst_error: float) -> None:
        super().__init__(f"{subject} is wrong: {_times_bound(worst_error)}")
        self.worst_error = worst_error


def bench_ops(options: OpsOptions | None = None, progress: Progress | None = None) -> OpsReport:
    """Check every kernel against its reference, then time it; a wrong one is reported and not timed.

    Raises ConfigError for a pattern that matches nothing, BackendError without a GPU, cuda-bindings or the library.
    """
    options, progress = options or OpsOptions(), progress or NoProgress()
    cases = select_cases(options.patterns)
    device = gpu_device.open_device()
    library, described = load_kernels()
    kinds = [kind for kind in KINDS if (options.engines if kind == "plugin" else options.native)]
    tensorrt_version, why_no_engines = find_tensorrt() if kinds else (None, None)
    num_jobs = options.num_jobs or _default_jobs(device)
    with files.temporary_folder() as folder:
        engines: Engines = {}
        if tensorrt_version is not None:
            engines = build_engines(cases, kinds, folder, num_jobs, progress)
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
        "tensorrt": tensorrt_version,
        "engines_built_at_once": num_jobs if engines else None,
        "plugin_library_sha256": described.sha256,
    }
    return OpsReport(machine, results, why_no_engines)


def find_tensorrt() -> tuple[str | None, str | None]:
    """Return the version of TensorRT, or None and why it cannot build here."""
    try:
        backend, _ = backends.select_backend(BuildConfig(backend="tensorrt"))
    except BackendError as error:
        return None, str(error)
    return backend.version, None


def _default_jobs(device: Device) -> int:
    return max(min(os.cpu_count() or 1, device.memory_bytes // _MEMORY_PER_JOB), 1)


def _bench_case(bench: _Bench, case: Case) -> CaseResult:
    fits_l2 = case.num_bytes <= bench.device.l2_bytes
    num_sets = 1 if fits_l2 else max(_SETS_BEYOND_L2 * bench.device.l2_bytes // case.num_bytes + 1, 2)
    try:
        with ExitStack() as until:
            sets = [_allocate(bench, case, until) for _ in range(num_sets)]
            return _check_and_time(bench, case, sets, fits_l2)
    except _WrongResultError as error:
        return CaseResult(case, fits_l2, "wrong", error.what, error.worst_error)
    except (NotOfferedError, OutOfMemoryError) as error:
        return CaseResult(case, fits_l2, "skipped", error.what)


def _check_and_time(bench: _Bench, case: Case, sets: Sequence[Tensors], fits_l2: bool) -> CaseResult:
    device, values = bench.device, make_values(case)
    _upload(device, case, sets, values)
    launches = [kernels.bind(bench.library, case, tensors) for tensors in sets]

    def kernel(index: int, stream: int) -> None:
        launches[index](stream)

    error = checking.worst_kernel_error(case, values, _run(device, case, sets[0], kernel))
    if error > 1:
        raise _WrongResultError("the kernel", error)
    variants: dict[str, Enqueue] = {"kernel": kernel, "copy": _copy_variant(device, case, sets)}
    problems: dict[str, str] = {}
    for kind, built in ((kind, bench.engines.get((case, kind))) for kind in KINDS):
        if built is not None:
            try:
                variants[kind] = _engine_variant(device, case, kind, built, sets, values)
            except BackendError as problem:
                problems[kind] = problem.what
    timings = time_side_by_side(device, variants, len(sets))
    host_us = _host_us(bench, case, sets[0], kernel)
    return CaseResult(case, fits_l2, "timed", None, error, len(sets), timings, host_us, problems)


def _upload(device: Device, case: Case, sets: Sequence[Tensors], values: Values) -> None:
    x, residual = (None if each is None else pack(case, each) for each in (values.x, values.residual))
    for tensors in sets:
        given = (
            (tensors.x, x),
            (tensors.residual, residual),
            (tensors.scale, values.scale),
            (tensors.bias, values.bias),
        )
        for address, array in given:
            if array is not None:
                device.upload(address, array)


def _host_us(bench: _Bench, case: Case, tensors: Tensors, kernel: Enqueue) -> float:
    """Return what a launch costs the processor, beyond the call out of Python."""
    idle = kernels.bind(bench.library, replace(case, shape=(0, *case.shape[1:])), tensors)  # enqueues nothing
    call_us = host_microseconds(bench.device, lambda index, stream: idle(stream))
    return max(host_microseconds(bench.device, kernel) - call_us, 0.0)


def _copy_variant(device: Device, case: Case, sets: Sequence[Tensors]) -> Enqueue:
    num_bytes = case.num_bytes // 2  # each of them is read and written

    def copy(index: int, stream: int) -> None:
        for begin in range(0, num_bytes, COPY_PIECE_BYTES):
            piece = min(COPY_PIECE_BYTES, num_bytes - begin)
            device.copy(sets[index].y + begin, sets[index].x + begin, piece, stream)

    return copy


def _engine_variant(
    device: Device, case: Case, kind: Kind, built: BuiltEngine, sets: Sequence[Tensors], values: Values
) -> Enqueue:
    """Return how to enqueue the engine of a case, once its result was found right; raise BackendError where it is not.

    A wrong plugin of ours is a _WrongResultError.
    """
    if built.path is None:
        raise BackendError(built.problem or "was not built")
    runner = EngineRunner(loading.load_engine(built.path), case.name)

    def enqueue(index: int, stream: int) -> None:
        runner.set_addresses({name: getattr(sets[index], name) for name in (*case.tensor_inputs, "y")})
        runner.enqueue(stream)

    y = _run(device, case, sets[0], enqueue)
    check = checking.worst_kernel_error if kind == "plugin" else checking.worst_native_error
    worst = check(case, values, y)
    if worst > 1 and kind == "plugin":
        raise _WrongResultError("the plugin in an engine", worst)
    if worst > 1:
        raise BackendError(f"its result is wrong: {_times_bound(worst)}")
    return enqueue


def _allocate(bench: _Bench, case: Case, until: ExitStack) -> Tensors:
    """Return memory for one launch, and for a copy of as many bytes as the launch moves."""
    parameter_bytes = case.shape[1] * 4 if case.is_norm else 0
    sizes = (
        max(case.input_bytes, case.num_bytes // 2),
        max(case.output_bytes, case.num_bytes // 2),
        parameter_bytes,
        parameter_bytes,
        case.input_bytes if case.has_residual else 0,
        kernels.workspace_bytes(bench.library, case),
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
