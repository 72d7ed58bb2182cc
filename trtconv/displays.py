"""Show progress: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from trtconv.display import printable

if TYPE_CHECKING:
    from rich.progress import TaskID

PLAIN_INTERVAL_SECONDS = 5.0
_TICK_SECONDS = 0.1
_NAME_WIDTH = 44


class PlainProgress:
    """One line every few seconds: the innermost phase, its steps, the time since the start; `label` says of what.

    As a context manager it looks at the clock by itself.
    """

    def __init__(
        self, stream: TextIO, interval_seconds: float = PLAIN_INTERVAL_SECONDS, label: str = "building"
    ) -> None:
        self._stream = stream
        self._label = label
        self._interval = interval_seconds
        self._start = self._last = time.monotonic()
        self._phases: dict[str, tuple[int, int]] = {}  # steps done and steps in all; the innermost phase is the last
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._clock = threading.Thread(target=self._run_clock, name="trtconv-progress", daemon=True)

    def __enter__(self) -> PlainProgress:
        self._clock.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._clock.join()

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
        with self._lock:
            if now - self._last < self._interval:
                return
            self._last = now
            name, (done, total) = next(reversed(self._phases.items()), ("Starting", (0, 0)))
        steps = f" {done}/{total}" if total else ""
        with contextlib.suppress(OSError):  # nobody reads it any more: no reason to stop a build
            print(
                f"{self._label:<10} {now - self._start:.0f} s: {printable(name)}{steps}", file=self._stream, flush=True
            )

    def _run_clock(self) -> None:
        while not self._is_over.wait(_TICK_SECONDS):
            self.tick()


class BarProgress:
    """A live bar for every phase under way, as a context manager; the bars vanish at the end."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Task, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column
        from rich.text import Text

        class StepsColumn(MofNCompleteColumn):
            """The steps done of those in all; nothing where nobody knows how many there are."""

            def render(self, task: Task) -> Text:
                return super().render(task) if task.total else Text()

        # A fixed width: phases come and go many times a second, and the bars must stay where they are.
        name = Column(width=_NAME_WIDTH, no_wrap=True, overflow="ellipsis")
        columns = (
            TextColumn("{task.description}", markup=False, table_column=name),
            BarColumn(16),
            TimeElapsedColumn(),
            StepsColumn(),
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
            task = self._bars.add_task("  " * depth + printable(name), total=num_steps or None)
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
