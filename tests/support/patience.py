"""How long a test waits: the seconds of an idle machine, and more where other work takes the processors."""

from __future__ import annotations

import time
from collections.abc import Callable

_WORK_SECONDS = 0.05  # of processor time
_PAUSE_SECONDS = 0.02


def patience(seconds: float) -> float:
    """Return the seconds of wall time that work of `seconds` on an idle machine may take now."""
    return seconds * max(1.0, _slowness())


def wait_for(is_so: Callable[[], bool], seconds: float = 30) -> None:
    """Return as soon as something is so; fail where it is not within `seconds` of an idle machine."""
    begin = time.monotonic()
    while not is_so():
        waited = time.monotonic() - begin
        assert waited < seconds or waited < patience(seconds), f"not so after {waited:.0f} s"
        time.sleep(_PAUSE_SECONDS)


def _slowness() -> float:
    """Return the wall time of some work over its processor time: 1 on an idle machine."""
    began, used = time.monotonic(), time.thread_time()
    while time.thread_time() - used < _WORK_SECONDS:
        pass
    return (time.monotonic() - began) / (time.thread_time() - used)
