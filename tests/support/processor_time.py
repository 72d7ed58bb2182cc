"""Processor time of a piece of work, whatever ran before it in this process."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def least_time(work: Callable[[], T], runs: int = 2) -> tuple[T, float]:
    """Return the result of ``work`` and the processor seconds of the fastest run.

    What earlier tests of this process left in memory is kept from the garbage collector, which would walk it again and
    again: the more tests ran before, the longer it takes.
    """
    times = []
    gc.collect()
    gc.freeze()
    try:
        for _ in range(runs):
            start = time.process_time()
            result = work()
            times.append(time.process_time() - start)
    finally:
        gc.unfreeze()
    return result, min(times)
