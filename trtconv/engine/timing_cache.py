"""The timing cache: measured tactics kept in a file, so that the next build of a like network is faster.

A cache belongs to one TensorRT version and one GPU. One that does not fit, or is damaged, costs a note and is replaced.
Several builds may share a file: each merges what it measured into what is there by then, under a lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trtconv import files, reading
from trtconv.errors import TrtconvError


def use_timing_cache(builder_config: Any, path: Path, notes: list[str]) -> None:
    """Give `builder_config` the cache in `path`, or an empty one, and note why an existing file is not used."""
    cache, reason = _read(builder_config, path)
    if cache is not None and not builder_config.set_timing_cache(cache, ignore_mismatch=False):
        cache, reason = None, "is of another GPU"
    if reason is not None:
        notes.append(f"timing cache {path} {reason}: a new one replaces it")
    if cache is None:
        builder_config.set_timing_cache(builder_config.create_timing_cache(b""), ignore_mismatch=False)


def save_timing_cache(builder_config: Any, path: Path, notes: list[str]) -> None:
    """Write the cache of a finished build to `path`, with what other builds put there in the meantime.

    Where it cannot be written, that is a note: the engine is worth more than the cache.
    """
    cache = builder_config.get_timing_cache()
    try:
        with _locked(path):
            others, _ = _read(builder_config, path)
            if others is not None:
                cache.combine(others, ignore_mismatch=False)  # refuses what was measured on another GPU
            files.write_atomically({path: memoryview(cache.serialize())})
    except (OSError, TrtconvError) as error:
        notes.append(f"timing cache {path} was not written: {error}")


def _read(builder_config: Any, path: Path) -> tuple[Any | None, str | None]:
    """Return the cache in a file, or None and why it is of no use, or twice None where there is no file."""
    if not os.path.exists(path):
        return None, None
    try:
        data = reading.read_bytes(path, reading.TIMING_CACHE)
    except TrtconvError as error:
        return None, error.what
    cache = builder_config.create_timing_cache(data)
    # What TensorRT cannot read, because of its version or of damage, becomes None or an empty cache.
    empty_size = memoryview(builder_config.create_timing_cache(b"").serialize()).nbytes
    if cache is None or memoryview(cache.serialize()).nbytes < min(len(data), empty_size + 1):
        return None, "is damaged or of another TensorRT version"
    return cache, None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a cache file. The lock is a file of its own, since the cache's is replaced by every build."""
    lock = Path(f"{path}.lock")
    with reading.described(str(lock), "written"):
        descriptor = reading.open_regular(lock, os.O_RDWR | os.O_CREAT, reading.FILE, str(lock))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
