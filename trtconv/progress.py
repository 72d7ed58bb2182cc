"""Show how far a build is: a bar on a terminal, a plain line every few seconds elsewhere, nothing when quiet."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TextIO

from trtconv.display import printable

if TYPE_CHECKING:
    from rich.progress import TaskID

PLAIN_INTERVAL_SECONDS = 5.0
# Shape inference of 100,000 nodes takes 3 us and 100 bytes for each byte of the model; ten times that is allowed.
_BASE_SECONDS, _SECONDS_PER_BYTE = 60.0, 30e-6
_BASE_BYTES, _BYTES_PER_BYTE = 2 << 30, 1000


@dataclass(frozen=True)
class Step:
    """What a process is doing, such as "reading model.onnx".

    `is_of_model` says that a crash in it is the model's fault. A bounded step may take `max_seconds`, and `max_bytes`
    more memory than the process held before; None is no bound.
    """

    name: str
    is_of_model: bool = False
    max_seconds: float | None = None
    max_bytes: int | None = None


START = Step("starting")
_listeners: list[Callable[[Step], None]] = []
_current = START


def announce(name: str, *, is_of_model: bool = False) -> None:
    """Say which step the process is in: who watches it can tell where it crashed."""
    _enter(Step(name, is_of_model))


@contextlib.contextmanager
def bounded(name: str, num_bytes: int) -> Iterator[None]:
    """Announce a part of the current step whose time and memory grow with the `num_bytes` of its model.

    A watcher ends the process where the part exceeds what an honest model takes; without a watcher nothing is bounded.
    """
    outer = _current
    seconds = _BASE_SECONDS + num_bytes * _SECONDS_PER_BYTE
    _enter(Step(f"{outer.name} ({name})", True, seconds, _BASE_BYTES + num_bytes * _BYTES_PER_BYTE))
    try:
        yield
    finally:
        _enter(outer)


def listen(hear: Callable[[Step], None]) -> None:
    """Call `hear` with every step of this process from now on."""
    _listeners.append(hear)


@dataclass(frozen=True)
class StepTime:
    """A step of the process that is over, and how long it took."""

    name: str
    seconds: float


class StepTimes:
    """Measures the steps that are announced while it is open, as a context manager; a bounded part is its step's."""

    def __init__(self) -> None:
        self._begun: list[tuple[str, float]] = []

    def __enter__(self) -> StepTimes:
        _listeners.append(self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _listeners.remove(self._hear)

    def steps(self) -> list[StepTime]:
        """Return the steps so far, those of one name that follow each other as one; the last ends now."""
        ends = [*(begin for _, begin in self._begun[1:]), time.monotonic()]
        return [StepTime(name, end - begin) for (name, begin), end in zip(self._begun, ends, strict=True)]

    def _hear(self, step: Step) -> None:
        if step.max_seconds is None and (not self._begun or self._begun[-1][0] != step.name):
            self._begun.append((step.name, time.monotonic()))


def _enter(step: Step) -> None:
    global _current
    _current = step
    for hear in _listeners:
        hear(step)


class Progress(Protocol):
    """What TensorRT tells while it builds. Calls may come from several threads."""

    def phase_start(self, name: str, parent: str | None, num_steps: int) -> None:
        """Begin a phase of `num_steps` steps, inside `parent` if it has one."""

    def step_complete(self, name: str, step: int) -> None:
        """Tell that step `step`, counted from 0, of phase `name` is done."""

    def phase_finish(self, name: str) -> None:
        """End a phase, finished or cancelled."""

    def tick(self) -> None:
        """Tell that the build is still at it, several times a second; steps alone can be minutes apart."""


class NoProgress:
    """Shows nothing."""

    def phase_start(self, name: str, parent: str | None, num_steps: int) -> None:
        """Ignore the phase."""

    def step_complete(self, name: str, step: int) -> None:
        """Ignore the step."""

    def phase_finish(self, name: str) -> None:
        """Ignore the end."""

    def tick(self) -> None:
        """Ignore the time."""


class PlainProgress:
    """One line every few seconds: the innermost phase, its steps, the time since the start; `label` says of what."""

    def __init__(
        self, stream: TextIO, interval_seconds: float = PLAIN_INTERVAL_SECONDS, label: str = "building"
    ) -> None:
        self._stream = stream
        self._label = label
        self._interval = interval_seconds
        self._start = self._last = time.monotonic()
        self._phases: dict[str, tuple[int, int]] = {}  # steps done and steps in all; the innermost phase is the last
        self._lock = threading.Lock()

    def phase_start(self, name: str, parent: str | None, num_steps: int) -> None:
        """Remember the phase."""
        with self._lock:
            self._phases[name] = (0, num_steps)

    def step_complete(self, name: str, step: int) -> None:
        """Remember the step."""
        with self._lock:
            if name in self._phases:
                self._phases[name] = (step + 1, self._phases[name][1])

    def phase_finish(self, name: str) -> None:
        """Forget the phase."""
        with self._lock:
            self._phases.pop(name, None)

    def tick(self) -> None:
        """Say where the build is, when the last line is old enough."""
        now = time.monotonic()
        if now - self._last < self._interval:
            return
        self._last = now
        with self._lock:
            name, (done, total) = next(reversed(self._phases.items()), ("Starting", (0, 0)))
        steps = f" {done}/{total}" if total else ""
        with contextlib.suppress(OSError):  # nobody reads it any more: no reason to stop a build
            print(
                f"{self._label:<10} {now - self._start:.0f} s: {printable(name)}{steps}", file=self._stream, flush=True
            )


class BarProgress:
    """A live bar for every phase under way, as a context manager; the bars vanish at the end."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        # A fixed width: phases come and go many times a second, and the bars must stay where they are.
        columns = (
            TextColumn("{task.description:<44}", markup=False),
            BarColumn(24),
            TimeElapsedColumn(),
            MofNCompleteColumn(),
        )
        self._bars = RichProgress(*columns, console=Console(file=stream), transient=True)
        self._tasks: dict[str, list[TaskID]] = {}
        self._depths: dict[str, int] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> BarProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def phase_start(self, name: str, parent: str | None, num_steps: int) -> None:
        """Add a bar, indented below the phase that it is part of."""
        with self._lock:
            self._depths[name] = depth = self._depths[parent] + 1 if parent in self._depths else 0
            task = self._bars.add_task("  " * depth + printable(name), total=max(num_steps, 1))
            self._tasks.setdefault(name, []).append(task)

    def step_complete(self, name: str, step: int) -> None:
        """Move the phase's bar."""
        with self._lock:
            for task in self._tasks.get(name, [])[-1:]:
                self._bars.update(task, completed=step + 1)

    def phase_finish(self, name: str) -> None:
        """Take the phase's bar away."""
        with self._lock:
            if tasks := self._tasks.get(name):
                self._bars.remove_task(tasks.pop())

    def tick(self) -> None:
        """Do nothing: the bars show the time themselves."""
