"""How far work is: the steps of a process, the time of each, and what a display is told of them."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

# Shape inference of 100,000 nodes takes 3 us and 100 bytes for each byte of the model; ten times that is allowed.
_BASE_SECONDS, _SECONDS_PER_BYTE = 60.0, 30e-6
_BASE_BYTES, _BYTES_PER_BYTE = 2 << 30, 1000


@dataclass(frozen=True)
class Step:
    """What a process is doing, such as "reading model.onnx".

    `is_of_model` says that a crash in it is the model's fault. A bounded step may take `max_seconds`, and `max_bytes`
    more memory than the process held before; None means without a bound.
    """

    name: str
    is_of_model: bool = False
    max_seconds: float | None = None
    max_bytes: int | None = None


START = Step("starting")
_Hear = Callable[[Step], None]
_listeners: list[_Hear] = []
# Those of one call and the threads that it starts: two builds in one process do not hear each other.
_call_listeners: ContextVar[tuple[_Hear, ...]] = ContextVar("_call_listeners", default=())
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


def listen(hear: _Hear) -> None:
    """Call `hear` with every step of this process from now on."""
    _listeners.append(hear)


@contextlib.contextmanager
def heard_by(hear: _Hear) -> Iterator[None]:
    """Call `hear` with every step of the work inside."""
    token = _call_listeners.set((*_call_listeners.get(), hear))
    try:
        yield
    finally:
        _call_listeners.reset(token)


@dataclass(frozen=True)
class StepTime:
    """A step of the process that is over, and how long it took."""

    name: str
    seconds: float


class StepTimes:
    """Measures the steps that it hears, from its making on; a bounded part is its step's."""

    def __init__(self) -> None:
        self._begun: list[tuple[str, float]] = [(START.name, time.monotonic())]

    def steps(self) -> list[StepTime]:
        """Return the steps so far, those of one name that follow each other as one; the last ends now."""
        ends = [*(begin for _, begin in self._begun[1:]), time.monotonic()]
        return [StepTime(name, end - begin) for (name, begin), end in zip(self._begun, ends, strict=True)]

    def hear(self, step: Step) -> None:
        """Begin a step, which ends the one before."""
        if step.max_seconds is None and self._begun[-1][0] != step.name:
            self._begun.append((step.name, time.monotonic()))


def _enter(step: Step) -> None:
    global _current
    _current = step
    for hear in (*_listeners, *_call_listeners.get()):
        hear(step)


class Progress(Protocol):
    """What is told of long work: its steps, and inside them TensorRT's phases. Calls may come from several threads."""

    def phase_start(self, name: str, parent: str | None, num_steps: int) -> None:
        """Begin a phase of `num_steps` steps, 0 where nobody knows, inside `parent` if it has one."""

    def step_complete(self, name: str, step: int) -> None:
        """Tell that step `step`, counted from 0, of phase `name` is done."""

    def phase_finish(self, name: str) -> None:
        """End a phase, finished or cancelled."""

    def tick(self) -> None:
        """Tell that a library is still at it, several times a second; steps alone can be minutes apart."""


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


class StepProgress:
    """Tells `progress` of the steps of a process as phases, and puts the phases of libraries into them.

    `hear` takes the steps. One that begins while a phase is open is part of it.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._step: str | None = None
        self._num_open = 0

    def hear(self, step: Step) -> None:
        """Begin a step, which ends the one before."""
        if step.max_seconds is not None or self._num_open or step.name == self._step:
            return
        self.end()
        self._step = step.name
        self._progress.phase_start(step.name, None, 0)

    def end(self) -> None:
        """End the last step."""
        if self._step is not None:
            self._progress.phase_finish(self._step)
            self._step = None

    def phase_start(self, name: str, parent: str | None, num_steps: int) -> None:
        """Begin a phase inside the step."""
        self._num_open += 1
        self._progress.phase_start(name, parent or self._step, num_steps)

    def step_complete(self, name: str, step: int) -> None:
        """Pass it on."""
        self._progress.step_complete(name, step)

    def phase_finish(self, name: str) -> None:
        """Pass it on."""
        self._num_open = max(self._num_open - 1, 0)
        self._progress.phase_finish(name)

    def tick(self) -> None:
        """Pass it on."""
        self._progress.tick()


@contextlib.contextmanager
def phase(progress: Progress, name: str, num_steps: int = 0) -> Iterator[Callable[[], None]]:
    """Tell `progress` of a phase; what is yielded tells that one more of its steps is done."""
    progress.phase_start(name, None, num_steps)
    steps = itertools.count()
    try:
        yield lambda: progress.step_complete(name, next(steps))
    finally:
        progress.phase_finish(name)


@contextlib.contextmanager
def following_steps(progress: Progress | None) -> Iterator[Progress]:
    """Yield a progress that also tells `progress` of each step of the work inside; None is told nothing."""
    told = StepProgress(progress or NoProgress())
    with heard_by(told.hear):
        try:
            yield told
        finally:
            told.end()
