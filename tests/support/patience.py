"""How long a test waits: the seconds of an idle machine, and more where other work takes the processors."""

from __future__ import annotations

import time

_WORK_SECONDS = 0.05  # of processor time


def patience(seconds: float) -> float:
    """Return the seconds of wall time that work of `seconds` on an idle machine may take now."""
    return seconds * max(1.0, _slowness())


def _slowness() -> float:
    """Return the wall time of some work over its processor time: 1 on an idle machine."""
    began, used = time.monotonic(), time.thread_time()
    while time.thread_time() - used < _WORK_SECONDS:
        pass
    return (time.monotonic() - began) / (time.thread_time() - used)
