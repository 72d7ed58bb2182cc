"""Let TensorRT-RTX build for one architecture at a time: builds for two in one process fail at random (1.7.1)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from trtconv.engine.backends import Backend

_changed = threading.Condition()
_building: list[str] = []  # the architecture of each build under way


@contextmanager
def turn_of(backend: Backend) -> Iterator[None]:
    """Wait until no other thread builds for another architecture; TensorRT itself has no such limit."""
    if backend.key != "tensorrt-rtx":
        yield
        return
    with _changed:
        _changed.wait_for(lambda: set(_building) <= {backend.arch})
        _building.append(backend.arch)
    try:
        yield
    finally:
        with _changed:
            _building.remove(backend.arch)
            _changed.notify_all()
