"""The gate: every file that is read is opened here, and looked at before its first byte is read.

Only regular files are read: a device never ends, and opening a pipe may wait for ever. Each kind of file has a limit.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from trtconv.errors import ConfigError, MachineError, ModelError, TrtconvError

NO_SUCH_FILE = "no such file"
# Opening neither waits (for the writer of a pipe) nor takes a terminal.
_FLAGS = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FAULTS_OF_THE_MACHINE = (errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_NO_FILES = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


class FileKind(NamedTuple):
    """What a file is expected to be, in words, and how many bytes it may have (None: any number).

    `limit` says what is wrong with a larger one, `hint` what to do, `error` is what it raises.
    """

    title: str
    max_bytes: int | None = None
    limit: str = ""
    hint: str | None = None
    error: type[TrtconvError] = ConfigError


FILE = FileKind("a file")
MODEL = FileKind(
    "an ONNX model",
    (1 << 31) - 1,
    "is larger than 2 GiB, which no ONNX file can be",
    "export the model again, with external data",
    ModelError,
)
DATA_FILE = FileKind("a file of external data")  # only what its tensors take is read
ENGINE = FileKind("an engine", 64 << 30, "is larger than 64 GiB, the limit for engines", "is it the right file?")
DOCUMENT = FileKind(
    "a JSON file",
    64 << 20,
    "is larger than 64 MiB, the limit for manifests and decision files",
    "is it the right file?",
)
TIMING_CACHE = FileKind(
    "a timing cache",
    1 << 30,
    "is larger than 1 GiB, the limit for timing caches",
    "delete it: a build writes a new one",
)
ARRAYS = FileKind(
    "arrays", 16 << 30, "is larger than 16 GiB, the limit for files of arrays", "write one file for each input set"
)
IMAGE = FileKind("an image", 512 << 20, "is larger than 512 MiB, the limit for images", "write an .npz file instead")
LIBRARY = FileKind("a shared library", 4 << 30, "is larger than 4 GiB, the limit for the plugin library")


@contextmanager
def opened(path: Path, kind: FileKind, where: str | None = None) -> Iterator[BinaryIO]:
    """Open a regular file that is no larger than its kind may be; `where` is what errors call it, by default its path.

    Raises ConfigError when there is no such file, when it is not a regular file or may not be read, `kind.error` when
    it is too large, BackendError when the disk fails.
    """
    place = where or str(path)
    with described(place, "read"):
        descriptor = open_regular(path, os.O_RDONLY, kind, place)
        with os.fdopen(descriptor, "rb") as file:
            if kind.max_bytes is not None and os.fstat(descriptor).st_size > kind.max_bytes:
                raise kind.error(kind.limit, where=place, hint=kind.hint)
            yield file


def read_bytes(path: Path, kind: FileKind, where: str | None = None) -> bytes:
    """Return the content of a file; errors as in `opened`."""
    with opened(path, kind, where) as file:
        num_bytes = os.fstat(file.fileno()).st_size
        data = file.read(num_bytes + 1) or b""  # None where the system has nothing to give now
    if len(data) > num_bytes:
        what = f"holds more than the {num_bytes} bytes of its size: it is being written, or is not on a disk"
        raise ConfigError(what, where=where or str(path), hint="copy it first, and name the copy")
    return data


def read_head(path: Path, num_bytes: int) -> bytes:
    """Return the first bytes of a file of any size; errors as in `opened`."""
    with opened(path, FILE) as file:
        return file.read(num_bytes) or b""


def size_of(path: Path, kind: FileKind = FILE) -> int:
    """Return the size in bytes of a file that can be read; errors as in `opened`."""
    with opened(path, kind) as file:
        return os.fstat(file.fileno()).st_size


class SmallReads(io.BufferedIOBase):
    """An open file that gives at most `max_bytes` at once: a zip file's directory, of any size, is read in one go."""

    def __init__(self, file: BinaryIO, max_bytes: int) -> None:
        self._file = file
        self._max_bytes = max_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        """Return that many bytes, or all that are left; raise ConfigError where these are too many."""
        wanted = self._max_bytes + 1 if size is None or size < 0 else size
        data = self._file.read(min(wanted, self._max_bytes + 1))
        if len(data) > self._max_bytes:
            raise ConfigError(f"holds a part of more than {self._max_bytes >> 20} MiB that has to be read at once")
        return data

    def seekable(self) -> bool:
        """Say that positions can be chosen."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a position."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()


def require_readable(path: Path, kind: FileKind = MODEL) -> None:
    """Raise ConfigError when there is no regular file that can be read at `path`; its size does not matter yet."""
    with described(str(path), "read"):
        os.close(open_regular(path, os.O_RDONLY, kind, str(path)))


def open_regular(path: Path, flags: int, kind: FileKind, where: str) -> int:
    """Return the descriptor of a regular file, opened without waiting for anything; the caller closes it.

    Raises ConfigError for anything else that has a name, and what the system raises.
    """
    try:
        descriptor = os.open(path, flags | _FLAGS, 0o666)
    except ValueError as error:
        raise ConfigError(f"is not a path: {error}", where=where) from None
    try:
        _require_regular(os.fstat(descriptor).st_mode, kind, where)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _require_regular(mode: int, kind: FileKind, where: str) -> None:
    if stat.S_ISDIR(mode):
        raise ConfigError(f"is a folder, expected {kind.title}", where=where)
    if not stat.S_ISREG(mode):
        what = f"is not a regular file but {_NO_FILES.get(stat.S_IFMT(mode), 'something else')}"
        raise ConfigError(what, where=where, hint="write its content into a file, and name that")


@contextmanager
def described(where: str, participle: str) -> Iterator[None]:
    """Turn the system's errors into trtconv's; `participle` is what the file at `where` cannot be: read, written."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # a library's own
            raise
        raise _error_of(error, where, participle) from error


def _error_of(error: OSError, where: str, participle: str) -> TrtconvError:
    number = error.errno
    if number == errno.ENOENT and participle == "read":
        return ConfigError(NO_SUCH_FILE, where=where, hint="check the path")
    if number == errno.ENXIO:  # a socket, or a device that is not there
        return ConfigError("is not a regular file", where=where)
    what = f"cannot be {participle}: {error.strerror}"
    if number in _FULL:
        return MachineError(what, where=where, hint="free some space")
    kind: Callable[..., TrtconvError] = MachineError if number in _FAULTS_OF_THE_MACHINE else ConfigError
    return kind(what, where=where, hint="choose a shorter name" if number == errno.ENAMETOOLONG else None)
