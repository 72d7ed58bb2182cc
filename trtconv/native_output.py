"""Keep what native libraries print by themselves away from the user's streams."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import IO

_lock = threading.RLock()


@contextlib.contextmanager
def kept_off_the_streams(log: Callable[[str], None] | None = None) -> Iterator[None]:
    """Catch what is written to standard output and standard error below Python; hand its lines to `log` afterwards.

    TensorRT's parser and onnx's checker print there, whatever their caller wants. The streams belong to the whole
    process: put only short calls inside.
    """
    with tempfile.TemporaryFile() as caught:
        try:
            with _lock, _redirected(caught):
                yield
        finally:
            if log is not None:
                caught.seek(0)
                for line in caught.read().decode(errors="replace").splitlines():
                    if line.strip():
                        log(line)


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
