"""Part files: a file is written whole under a name that shows that it is not there yet, then takes its own name.

Its writer holds a lock on a part: one without a lock was left by a process that is dead, and the next run removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from trtconv.reading import described

_MAX_STEM_BYTES = 100  # of a name that gets more letters: 255 bytes are all that a file system takes


class Part(NamedTuple):
    """A written file that has not got the name of `target` yet."""

    path: Path
    target: Path

    def take_name(self) -> None:
        """Replace what is at `target`, and see to it that this outlives a loss of power."""
        with described(str(self.target), "written"):
            os.replace(self.path, self.target)
        _sync(self.target.parent)


@contextmanager
def written(
    path: Path, write: Callable[[BinaryIO], None], mode: int = 0o666, stem: str | None = None
) -> Iterator[Part]:
    """Write a file for `path` to its last byte; what has not taken its name by the end is removed.

    A link stays a link. The file has the permissions `mode`, less those that the umask takes away. Parts are known by
    the `stem` of their names, by default that of `path`.
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    stem = stem or target.name
    remove_abandoned(target.parent, stem)
    with described(str(path), "written"):
        part, file = _create(target.parent, stem, mode)
    try:
        with described(str(path), "written"):
            write(file)
            file.flush()
            os.fsync(file.fileno())
        yield Part(part, target)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a full disk, told before
            file.close()


def remove_abandoned(folder: Path, stem: str) -> None:
    """Remove the parts of files called `stem` whose writers are dead, as far as this process may."""
    pattern = re.compile(re.escape(_shortened(stem)) + r"\.[0-9a-f]{8}\.part")
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(".") and pattern.fullmatch(name[1:]):
                _remove_if_abandoned(folder / name)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, for as long as its files do not fit each other. Without locks there, hold none."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, descriptor)
            _lock(descriptor, fcntl.LOCK_EX)
        yield


def _lock(file: int | BinaryIO, operation: int) -> None:
    fcntl.flock(file, operation)


def _create(folder: Path, stem: str, mode: int) -> tuple[Path, BinaryIO]:
    """Create a part and lock it; another run may take it for abandoned in between, and remove it."""
    while True:
        path = folder / f".{_shortened(stem)}.{secrets.token_hex(4)}.part"
        file = open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode))  # noqa: SIM115
        with contextlib.suppress(OSError):  # this file system has no locks
            _lock(file, fcntl.LOCK_EX)
        if os.path.exists(path):
            return path, file
        file.close()


def _remove_if_abandoned(path: Path) -> None:
    with contextlib.suppress(OSError):  # a live writer has it locked, or it is another user's
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(descriptor)


def _shortened(stem: str) -> str:
    return os.fsdecode(os.fsencode(stem)[:_MAX_STEM_BYTES])


def _sync(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system can
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
