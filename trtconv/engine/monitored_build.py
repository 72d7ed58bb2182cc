"""Run TensorRT's builder in a thread of its own, so that progress shows and Ctrl-C cancels."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

from trtconv.errors import Interrupted
from trtconv.progress import Progress
from trtconv.watching import watched


def build_serialized(trt: Any, builder: Any, network: Any, config: Any, parser: Any, progress: Progress) -> Any:
    """Return TensorRT's serialized engine, or None when it could not build one.

    `parser` owns the weights of `network`; the thread holds it, for an abandoned build still reads them. Raises
    Interrupted on Ctrl-C.
    """
    cancelled = threading.Event()
    monitor = _make_monitor(trt, progress, cancelled)
    config.progress_monitor = monitor
    work = partial(_build, trt, builder, network, config, kept=(parser, monitor))
    try:
        return watched(work, progress, name="trtconv-build", cancel=cancelled.set)
    except KeyboardInterrupt:
        raise Interrupted("the build was interrupted, no engine was written") from None


def _build(trt: Any, builder: Any, network: Any, config: Any, kept: object) -> Any:
    """Build through a stream where the version has one (10.14 and later): engines over 2 GB need it.

    `kept` is what TensorRT reads besides, which lives as long as this call.
    """
    if not hasattr(builder, "build_serialized_network_to_stream"):
        return builder.build_serialized_network(network, config)

    class Writer(trt.IStreamWriter):  # type: ignore[misc]
        """Collects what TensorRT writes."""

        def __init__(self) -> None:
            trt.IStreamWriter.__init__(self)
            self.data = bytearray()

        def write(self, data: Any) -> int:
            self.data += data
            return len(data)

    writer = Writer()
    return writer.data if builder.build_serialized_network_to_stream(network, config, writer) else None


def _make_monitor(trt: Any, progress: Progress, cancelled: threading.Event) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Hands TensorRT's phases to `progress`; answering False to a step cancels the build."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.phase_start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress.step_complete(phase_name, step)
            return not cancelled.is_set()

        def phase_finish(self, phase_name: str) -> None:
            progress.phase_finish(phase_name)

    return Monitor()
