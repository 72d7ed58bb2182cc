"""Show how far a build is: a bar on a terminal, a plain line every few seconds elsewhere, nothing when quiet."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import TaskID

PLAIN_INTERVAL_SECONDS = 5.0


class Progress(Protocol):
    """What TensorRT tells while it builds. Calls may come from several threads."""

    def phase_start(self, name: str, parent: str | None, num_steps: int) -> None:
        """Begin a phase of `num_steps` steps, inside `parent` if it has one."""

    def step_complete(self, name: str, step: int) -> None:
        """Tell that step `step`, counted from 0, of phase `name` is done."""

    def phase_finish(self, name: str) -> None:
        """End a phase, finished or cancelled."""


class NoProgress:
    """Shows nothing."""

    def phase_start(self, name: str, parent: str | None, num_steps: int) -> None:
        """Ignore the phase."""

    def step_complete(self, name: str, step: int) -> None:
        """Ignore the step."""

    def phase_finish(self, name: str) -> None:
        """Ignore the end."""


class PlainProgress:
    """One line at most every few seconds: the innermost phase, its steps, the time since the start."""

    def __init__(self, stream: TextIO, interval_seconds: float = PLAIN_INTERVAL_SECONDS) -> None:
        self._stream = stream
        self._interval = interval_seconds
        self._start = self._last = time.monotonic()
        self._num_steps: dict[str, int] = {}
        self._lock = threading.Lock()

    def phase_start(self, name: str, parent: str | None, num_steps: int) -> None:
        """Remember the phase, and say it when the last line is old enough."""
        with self._lock:
            self._num_steps[name] = num_steps
            self._say(name, 0)

    def step_complete(self, name: str, step: int) -> None:
        """Say the step when the last line is old enough."""
        with self._lock:
            self._say(name, step + 1)

    def phase_finish(self, name: str) -> None:
        """Forget the phase."""
        with self._lock:
            self._num_steps.pop(name, None)

    def _say(self, name: str, done: int) -> None:
        now = time.monotonic()
        if now - self._last >= self._interval:
            self._last = now
            total = self._num_steps.get(name, 0)
            print(f"building   {now - self._start:.0f} s: {name} {done}/{total}", file=self._stream, flush=True)


class BarProgress:
    """A live bar for every phase under way, as a context manager; the bars vanish at the end."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = RichProgress(*columns, console=Console(file=stream), transient=True)
        self._tasks: dict[str, list[TaskID]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> BarProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def phase_start(self, name: str, parent: str | None, num_steps: int) -> None:
        """Add a bar."""
        with self._lock:
            self._tasks.setdefault(name, []).append(self._bars.add_task(name, total=max(num_steps, 1)))

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
