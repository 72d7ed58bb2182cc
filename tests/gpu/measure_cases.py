"""Engines of many small models, of TensorRT's own layers and as `--ops auto` makes them: outputs, then times.

    python -m tests.gpu.measure_cases OUT.json MODEL|FOLDER... [--seconds 500] [--workers 8] [--opt-level 0..5]
        [--precisions fp32,fp16]

A model whose shapes are open is built at two sizes, and each model in fp32 and with --precision fp16. A model that
`auto` leaves native is not built. Engines are built by several processes at once; the two of a case share a timing
cache, so that the layers that they share are the same. Then they are compared with ONNX Runtime and timed one case
after another. Where `auto` was slower than noise allows, the case is built again by a process that has the GPU alone,
and what that one took counts; what it took first stays in the file. OUT.json is written after each case.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import onnx

from trtconv import BuildConfig, ShapeRange
from trtconv.benchmark.layer_kinds import times_by_kind
from trtconv.benchmark.variants import REFERENCE, BuiltVariant, build_variant, same_as_before, written_graph
from trtconv.comparison import acceptance, compare, random_inputs
from trtconv.comparison.default_precision import built_precision
from trtconv.comparison.remembered import remembered
from trtconv.comparison.tolerance import TOLERANCE
from trtconv.costs.tables import table_for
from trtconv.engine import backends, loading
from trtconv.engine.engine_runner import EngineRunner
from trtconv.engine.network_parsing import kernels_kept
from trtconv.errors import TrtconvError
from trtconv.gpu import device as gpu_device
from trtconv.gpu.device import Device
from trtconv.gpu.timing import Enqueue, time_side_by_side
from trtconv.model.exact_norms import exact_reference
from trtconv.model.walking import describe_inputs
from trtconv.progress import NoProgress

Entry = dict[str, Any]

AUTO = "auto"
_VARIANTS = (REFERENCE, AUTO)
_SIZES = {"small": (3000, 96, 32), "large": (100_000, 512, 96)}  # of open axes: a sequence, an image, a volume
_FIRST_SPATIAL_RANK = 3
_PRECISIONS: Mapping[str, Any] = {"fp32": None, "fp16": "fp16"}
_PROFILED_RUNS = 10
_BUILDS_SHARE = 0.7  # of the time


@dataclass(frozen=True)
class Case:
    """A model at a size and a precision: shapes of its inputs with open axes, by name."""

    model: Path
    size: str
    precision: Any
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def name(self) -> str:
        """What the results call it."""
        return f"{self.model.stem} {self.size} {self.precision or 'fp32'}"

    def config(self, opt_level: int | None, timing_cache: Path | None = None) -> BuildConfig:
        """Return the options of its engines."""
        profile = {name: ShapeRange(dims, dims, dims) for name, dims in self.shapes.items()}
        return BuildConfig(
            backend="tensorrt",
            profiles=[profile] if profile else [],
            precision=self.precision,
            opt_level=opt_level,
            timing_cache=timing_cache,
        )


Built = dict[str, BuiltVariant] | str  # the engines, the reason why there are none, or "same"

_SAME = "same"


def main(arguments: list[str] | None = None) -> int:
    """Measure all cases that the command line names."""
    options = _parse(arguments)
    if options.built:
        backend, _ = backends.select_backend(BuildConfig(backend="tensorrt"))
        with kernels_kept(backend):
            for case in pickle.loads(options.built.read_bytes()):
                _left_by(case, options.out).write_bytes(pickle.dumps(_build(case, options.out, options.opt_level)))
        return 0
    files = [file for each in options.models for file in (sorted(each.rglob("*.onnx")) if each.is_dir() else [each])]
    wanted = [_PRECISIONS[name] for name in options.precisions.split(",")]
    cases = [case for file in files for case in cases_of(file) if case.precision in wanted]
    cases.sort(key=lambda case: (case.size == "small", case.precision is None))  # what counts most comes first
    begin = time.monotonic()
    deadline = begin + options.seconds
    with tempfile.TemporaryDirectory() as text:
        run = _Run(Path(text), options, deadline, gpu_device.open_device())
        _build_all(cases, run.folder, options, begin + _BUILDS_SHARE * options.seconds)
        run.measure(cases)
        run.measure_again([case for case in cases if run.entries.get(case.name, {}).get("is_slower")])
    return 0


@dataclass(frozen=True)
class _Run:
    """Where the engines are, when to end, and what was measured."""

    folder: Path
    options: argparse.Namespace
    deadline: float
    device: Device
    entries: dict[str, Entry] = field(default_factory=dict)

    def measure(self, cases: Sequence[Case]) -> None:
        """Measure what was built, one case after another."""
        for case in cases:
            if time.monotonic() < self.deadline and _left_by(case, self.folder).is_file():
                first = self.entries.get(case.name, {}).get("us")
                self.entries[case.name] = self._entry_of(case) | ({"first": first} if first else {})
                self._write()
                print(case.name, _line(self.entries[case.name]), flush=True)

    def measure_again(self, cases: Sequence[Case]) -> None:
        """Build cases again, in one process, and measure them anew."""
        for case in cases:
            _left_by(case, self.folder).unlink()
        _build_apart(cases, self.folder, self.options, self.deadline)
        self.measure(cases)

    def _entry_of(self, case: Case) -> Entry:
        built: Built = pickle.loads(_left_by(case, self.folder).read_bytes())
        if isinstance(built, str):
            return {"same": True} if built == _SAME else {"problem": built}
        try:
            return _measured(case, built, case.config(self.options.opt_level), self.device)
        except TrtconvError as error:
            return {"problem": str(error)}

    def _write(self) -> None:
        about = {"what": "tests.gpu.measure_cases", "gpu": self.device.gpu.name, "opt_level": self.options.opt_level}
        self.options.out.write_text(json.dumps({**about, "cases": self.entries}, indent=1) + "\n")


def cases_of(model: Path) -> Iterator[Case]:
    """Yield the cases of a model: one size where all its axes are fixed, else two."""
    described = describe_inputs(onnx.load(model, load_external_data=False))
    opened = {name: dims for name, dims in described.items() if any(not isinstance(dim, int) for dim in dims or ())}
    for size in _SIZES if opened else ["fixed"]:
        shapes = {name: _shape(dims or (), _SIZES[size]) for name, dims in opened.items()}  # none where it is fixed
        for precision in _PRECISIONS.values():
            yield Case(model, size, precision, shapes)


def _shape(dims: Sequence[int | str | None], sizes: Sequence[int]) -> tuple[int, ...]:
    size = sizes[min(max(len(dims) - _FIRST_SPATIAL_RANK, 0), len(sizes) - 1)]
    return tuple(dim if isinstance(dim, int) else size if axis else 1 for axis, dim in enumerate(dims))


def _build_all(cases: Sequence[Case], folder: Path, options: argparse.Namespace, deadline: float) -> None:
    """Build in several processes, each of which goes through a share of the cases."""
    shares = [cases[first :: options.workers] for first in range(options.workers)]
    with ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(lambda share: _build_apart(share, folder, options, deadline), shares))
    num_built = sum(_left_by(case, folder).is_file() for case in cases)
    print(f"{num_built} of {len(cases)} cases were built", flush=True)


def _build_apart(cases: Sequence[Case], folder: Path, options: argparse.Namespace, deadline: float) -> None:
    """Build in a process of its own and, where it crashes, the rest in one more."""
    while cases and time.monotonic() < deadline:
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".cases") as share:
            Path(share.name).write_bytes(pickle.dumps(list(cases)))
            level = [] if options.opt_level is None else ["--opt-level", str(options.opt_level)]
            given = ["--built", share.name, str(folder), *level]
            child = subprocess.Popen([sys.executable, "-m", "tests.gpu.measure_cases", *given])
            try:
                child.wait(max(deadline - time.monotonic(), 1))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                return
        cases = [case for case in cases if not _left_by(case, folder).is_file()]
        if cases:
            reason = f"its build ended with status {child.returncode}"
            _left_by(cases[0], folder).write_bytes(pickle.dumps(reason))
            cases = cases[1:]


def _build(case: Case, folder: Path, opt_level: int | None) -> Built:
    own = Path(tempfile.mkdtemp(dir=folder))
    config = case.config(opt_level, own / "timing.cache")
    try:
        written = {ops: written_graph(case.model, config, ops) for ops in _VARIANTS}
        if same_as_before(written, AUTO):
            return _SAME
        return {ops: build_variant(case.model, config, ops, written[ops], own, NoProgress()) for ops in _VARIANTS}
    except TrtconvError as error:
        return str(error)


def _left_by(case: Case, folder: Path) -> Path:
    return folder / f"{case.name.replace(' ', '.')}.pickle"


def _measured(case: Case, built: Mapping[str, BuiltVariant], config: BuildConfig, device: Device) -> Entry:
    proto = onnx.load(case.model)
    feeds = random_inputs(case.model, case.shapes, num_sets=2)
    reference = remembered(exact_reference(proto, case.model))
    tolerance = TOLERANCE[built_precision(config, proto)]
    compared = {ops: compare(reference, each.path, feeds, tolerance) for ops, each in built.items()}
    with ExitStack() as until:
        runners = {ops: EngineRunner(loading.load_engine(each.path), ops) for ops, each in built.items()}
        for runner in runners.values():
            runner.bind_inputs(device, feeds[0], until)
        timings = time_side_by_side(device, {ops: _enqueue(runner) for ops, runner in runners.items()})
        kinds = {
            ops: times_by_kind(runner.layer_times(device, _PROFILED_RUNS), runner.layers(), built[ops].ops_by_node)
            for ops, runner in runners.items()
        }
        memory = {ops: runner.device_memory_bytes for ops, runner in runners.items()}
    us = {ops: timing.median_us for ops, timing in timings.items()}
    return {
        "plugins": built[AUTO].num_plugins,
        "us": us,
        "is_slower": us[AUTO] - us[REFERENCE] > table_for(device.gpu).noise.of(us[REFERENCE]),
        "problem_of_outputs": acceptance.problem_of(compared[AUTO], compared[REFERENCE]),
        "errors": {ops: each.worst.relative_error for ops, each in compared.items()},
        "memory": memory,
        "timings": {ops: asdict(timing) for ops, timing in timings.items()},
        "kinds": {ops: {kind: asdict(each) for kind, each in of.items()} for ops, of in kinds.items()},
    }


def _enqueue(runner: EngineRunner) -> Enqueue:
    return lambda index, stream: runner.enqueue(stream)


def _line(entry: Entry) -> str:
    if "us" not in entry:
        return str(entry.get("problem", _SAME))
    native, auto = (entry["us"][ops] for ops in _VARIANTS)
    marks = [name for name in ("is_slower", "problem_of_outputs", "first") if entry.get(name)]
    return f"{native:.1f} -> {auto:.1f} us ({native / auto:.2f}x) {' '.join(marks)}"


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.measure_cases", description=__doc__)
    parser.add_argument("--built", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("out", type=Path)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--seconds", type=float, default=500)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--opt-level", type=int)
    parser.add_argument("--precisions", default=",".join(_PRECISIONS))
    return parser.parse_intermixed_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
