"""Run mutated files in forked children, so that one that ends its process or hangs is counted like any other.

A child takes hundreds of files, one after the other, and shape inference runs in it: that saves a fork for each run. It
tells its place in shared memory before each run. Where it dies, that run is repeated in a child of its own, with shape
inference in a child process as in the commands; how this ends is counted, and the next child goes on behind that place.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import mmap
import os
import pickle
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tests.fuzz.bounding import bound_cheaply
from tests.fuzz.targets import LOAD, Kind, Target, file_of, prepare_folder, targets_of, warm_up
from trtconv.errors import TrtconvError

PASSED, REFUSED = "passed", "refused"  # the two good ends: success and TrtconvError
MEMORY_BYTES = 1 << 30  # beyond what the child has from its parent
CPU_SECONDS, WALL_SECONDS = 5, 120  # of one run
BATCH = 400  # inputs of a child: what leaks, ends with it
_PACKAGE = str(Path(__file__).parents[2] / "trtconv") + os.sep

End = tuple[str, str]  # how a run ended, and for a bad end the traceback's last lines


@dataclass
class Tally:
    """How the runs ended: by kind, target and end. `failures` holds the first input of each different bad end.

    `repeated` counts the runs that ended the child they shared with others, and were repeated alone.
    """

    inputs: Counter[str] = field(default_factory=Counter)
    runs: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    failures: dict[tuple[str, str, str], tuple[int, str]] = field(default_factory=dict)
    repeated: int = 0

    @property
    def num_runs(self) -> int:
        """Return the number of runs."""
        return sum(self.runs.values())

    def count(self, number: int, kind: Kind, target: Target, end: End) -> None:
        """Add one run."""
        what, detail = end
        key = (kind.name, target.name, what)
        self.runs[key] += 1
        if what not in (PASSED, REFUSED):
            self.failures.setdefault(key, (number, detail))

    def add(self, other: Tally) -> None:
        """Add the runs of another one."""
        self.inputs += other.inputs
        self.runs += other.runs
        self.repeated += other.repeated
        for key, value in other.failures.items():
            self.failures.setdefault(key, value)


@dataclass(frozen=True)
class Plan:
    """Which inputs of a seed to run, through which paths, and when to stop: at the end of a batch, a child's inputs.

    Commands bound shape inference themselves, as they do for users; other paths run it cheaply.
    """

    seed: int
    start: int = 0
    seconds: float = 60
    max_runs: int = sys.maxsize
    batch: int = BATCH
    targets_for: Callable[[Kind, int, int], tuple[Target, ...]] = targets_of
    is_cheap: bool = True


def run_inputs(plan: Plan, total: Tally, on_batch: Callable[[int], None] = lambda number: None) -> None:
    """Run inputs and count them in `total`; after each batch `on_batch` is called with the number of the next input."""
    with tempfile.TemporaryDirectory() as folder:
        warm_up(Path(folder))
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page of this process
    number, until = plan.start, time.monotonic() + plan.seconds
    while time.monotonic() < until and total.num_runs < plan.max_runs:
        tally, number = _run_batch(plan, number, until)
        total.add(tally)
        on_batch(number)


def run_one(target: Target, name: str, data: bytes) -> End:
    """Run one file in a child and return how that ended."""
    with _child(lambda report: report(_attempt(target, name, data))) as child:
        status, reports = child
    return reports[0] if reports else _death(status)


def _run_batch(plan: Plan, start: int, until: float) -> tuple[Tally, int]:
    """Run a child over the next inputs; return what it did and where to go on."""
    place = mmap.mmap(-1, 16)

    def work(report: Callable[[object], None]) -> None:
        if plan.is_cheap:
            bound_cheaply()
        for number in range(start, start + plan.batch):
            kind, name, data = file_of(plan.seed, number)
            targets = plan.targets_for(kind, plan.seed, number)
            with _folder() as folder:
                ends = []
                for index, target in enumerate(targets):
                    place[:16] = number.to_bytes(8, "little") + index.to_bytes(8, "little")
                    ends.append(_attempt(target, name, data, folder))
            report((number, ends))
            if time.monotonic() > until:
                break

    with _child(work) as child:
        status, reports = child
    tally, number = Tally(), start - 1
    for number, ends in reports:
        kind = file_of(plan.seed, number)[0]
        tally.inputs[kind.name] += 1
        for target, end in zip(plan.targets_for(kind, plan.seed, number), ends, strict=True):
            tally.count(number, kind, target, end)
    if status:
        number, index = int.from_bytes(place[:8], "little"), int.from_bytes(place[8:16], "little")
        kind, name, data = file_of(plan.seed, number)
        target = plan.targets_for(kind, plan.seed, number)[index]
        tally.inputs[kind.name] += 1
        tally.repeated += 1
        tally.count(number, kind, target, run_one(target, name, data))
    return tally, number + 1


@contextlib.contextmanager
def _child(work: Callable[[Callable[[object], None]], None]) -> Iterator[tuple[int, list[Any]]]:
    """Fork, let the child do its work, and yield its wait status and what it reported."""
    with tempfile.TemporaryFile() as file:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                _limit()
                work(lambda report: _write(report, file))
                status = 0
            except BaseException:  # of the fuzzer itself
                _write(traceback.format_exc(), file)
            finally:
                os._exit(status)
        status = os.waitpid(pid, 0)[1]
        file.seek(0)
        reports = []
        with contextlib.suppress(EOFError, pickle.UnpicklingError):
            while True:
                reports.append(pickle.load(file))
        if reports and isinstance(reports[-1], str):
            raise RuntimeError(f"the fuzzer itself failed: {reports[-1]}")
        yield status, reports


def _write(report: object, file: IO[bytes]) -> None:
    pickle.dump(report, file)
    file.flush()


def _limit() -> None:
    """Limit the memory of this child, silence it, and let it die of the timers that each run sets."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    faulthandler.disable()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


def _attempt(target: Target, name: str, data: bytes, folder: Path | None = None) -> End:
    """Give a file to a path of the library, and say how that ended."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_folder()) if folder is None else folder
        path = folder / name
        path.write_bytes(data)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
        try:
            end = target.run(path)
        except TrtconvError as error:
            return _refused(error)
        except BaseException as error:
            return _failed(error)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
    return end if isinstance(end, tuple) else (PASSED, "")


def _refused(error: TrtconvError) -> End:
    """Return the end of a run that was refused: the message must be one that can be shown."""
    try:
        str(error).encode()
    except UnicodeEncodeError as problem:
        return _failed(problem.with_traceback(error.__traceback__))
    return REFUSED, ""


def _failed(error: BaseException) -> End:
    """Return the end of a run by any other exception: its type, and the innermost line of trtconv."""
    lines = traceback.format_exception(error, limit=-8)
    return f"{type(error).__name__} at {_place_of(error.__traceback__)}", "".join(lines)[-4000:]


def _place_of(trace: TracebackType | None) -> str:
    frames = [frame for frame in traceback.extract_tb(trace) if frame.filename.startswith(_PACKAGE)]
    if not frames:
        return "no line of trtconv"
    return f"{frames[-1].filename.removeprefix(_PACKAGE)}:{frames[-1].lineno} in {frames[-1].name}"


def _death(status: int) -> End:
    """Return the end of a child that died, by its wait status."""
    if not os.WIFSIGNALED(status):
        return f"exit status {os.WEXITSTATUS(status)}", ""
    number = os.WTERMSIG(status)
    what = {signal.SIGPROF: f"more than {CPU_SECONDS} s of CPU", signal.SIGALRM: f"no end in {WALL_SECONDS} s"}
    return what.get(signal.Signals(number), signal.Signals(number).name), ""


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Yield an empty folder in memory for one input, with the files that belong beside it."""
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="trtconv-fuzz-", dir=shared))
    try:
        prepare_folder(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


__all__ = ["LOAD", "PASSED", "REFUSED", "Tally", "run_inputs", "run_one"]
