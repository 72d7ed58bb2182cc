"""A build reports its phases, and ends when the user or a failing display wants it to, even where TensorRT is deaf."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.patience import patience
from trtconv.engine.monitored_build import build_serialized
from trtconv.errors import Interrupted
from trtconv.progress import NoProgress

INTERRUPT_SECONDS = 2.0


class FakeMonitorBase:
    pass


FAKE_TRT = SimpleNamespace(IProgressMonitor=FakeMonitorBase)


class FakeBuilder:
    """Builds for as many steps as it is told, asking the monitor after each, or never."""

    def __init__(self, num_steps: int, *, asks: bool = True, step_seconds: float = 0.05) -> None:
        self.num_steps, self.asks, self.step_seconds = num_steps, asks, step_seconds
        self.was_cancelled = False
        self.thread: threading.Thread | None = None

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        self.thread = threading.current_thread()
        config.progress_monitor.phase_start("Building", None, self.num_steps)
        for step in range(self.num_steps):
            time.sleep(self.step_seconds)
            if self.asks and not config.progress_monitor.step_complete("Building", step):
                self.was_cancelled = True
                return None
        config.progress_monitor.phase_finish("Building")
        return b"plan"


class Recorder(NoProgress):
    """Remembers what it is told; `on_tick` is called with each tick."""

    def __init__(self, on_tick: Callable[[], None] = lambda: None) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.on_tick = on_tick

    def phase_start(self, name: str, parent: str | None, num_steps: int) -> None:
        self.events.append(("start", name, parent, num_steps))

    def step_complete(self, name: str, step: int) -> None:
        self.events.append(("step", name, step))

    def phase_finish(self, name: str) -> None:
        self.events.append(("finish", name))

    def tick(self) -> None:
        self.on_tick()


def build(builder: Any, progress: NoProgress) -> Any:
    return build_serialized(FAKE_TRT, builder, "network", SimpleNamespace(), "parser", progress)


def test_the_plan_and_the_phases_come_through() -> None:
    progress = Recorder()
    builder = FakeBuilder(2)
    assert build(builder, progress) == b"plan"
    steps = [("step", "Building", 0), ("step", "Building", 1)]
    assert progress.events == [("start", "Building", None, 2), *steps, ("finish", "Building")]
    assert builder.thread is not threading.main_thread()


def test_ctrl_c_cancels_through_the_monitor() -> None:
    builder = FakeBuilder(1000)
    threading.Timer(0.2, _thread.interrupt_main).start()
    with pytest.raises(Interrupted):
        build(builder, NoProgress())
    assert builder.was_cancelled


def test_ctrl_c_abandons_a_builder_that_never_asks() -> None:
    """A single step of TensorRT can take minutes."""
    threading.Timer(0.2, _thread.interrupt_main).start()
    start = time.monotonic()
    with pytest.raises(Interrupted):
        build(FakeBuilder(10, asks=False, step_seconds=1.0), NoProgress())
    assert time.monotonic() - start < patience(0.2 + INTERRUPT_SECONDS)


def test_a_failing_display_cancels_the_build() -> None:
    def fail() -> None:
        raise OSError("no terminal")

    builder = FakeBuilder(1000)
    with pytest.raises(OSError, match="no terminal"):
        build(builder, Recorder(on_tick=fail))
    assert builder.was_cancelled


def test_an_exception_of_the_builder_is_raised() -> None:
    class BrokenBuilder:
        def build_serialized_network(self, network: Any, config: Any) -> None:
            raise MemoryError("too large")

    with pytest.raises(MemoryError, match="too large"):
        build(BrokenBuilder(), NoProgress())
