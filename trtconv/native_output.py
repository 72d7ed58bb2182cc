"""Keep what native libraries print by themselves away from the user's streams."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import IO

_lock = threading.RLock()


@contextlib.contextmanager
def kept_off_the_streams() -> Iterator[list[str]]:
    """Catch what is written to standard output and standard error below Python; its lines are there afterwards.

    TensorRT's parser and onnx's checker print there, whatever their caller wants. The streams belong to the whole
    process: put only short calls inside.
    """
    lines: list[str] = []
    with os.fdopen(os.memfd_create("trtconv"), "w+b") as caught:  # which needs no disk
        try:
            with _lock, _redirected(caught):
                yield lines
        finally:
            caught.seek(0)
            text = caught.read().decode(errors="replace")
            lines += filter(None, map(str.strip, text.splitlines()))


@contextlib.contextmanager
def _redirected(target: IO[bytes]) -> Iterator[None]:
    saved: dict[int, int] = {}
    _flush()
    for number in (1, 2):
        with contextlib.suppress(OSError):  # a closed stream stays closed
            saved[number] = os.dup(number)
            os.dup2(target.fileno(), number)
    try:
        yield
    finally:
        _flush()
        for number, copy in saved.items():
            os.dup2(copy, number)
            os.close(copy)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
