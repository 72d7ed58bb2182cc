"""Write files whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from trtconv import parts, reading
from trtconv.errors import ConfigError, MachineError
from trtconv.reading import described

Contents = Mapping[Path, "bytes | memoryview | Callable[[], bytes]"]  # of files

_CHUNK_BYTES = 1 << 24
_MAX_LINKS = 40  # as many as Linux follows
_PERMISSIONS = 0o777


def require_writable(path: Path, *, inputs: Sequence[Path] = ()) -> None:
    """Raise ConfigError, before any long work, when `path` cannot be written or is one of the `inputs`."""
    where = str(path)
    if "\0" in where:
        raise ConfigError("is not a path: it holds a null character", where=where)
    if _is_stream(path):
        raise ConfigError("is an open file of a process, not a name to write to", where=where, hint="name a file")
    target = Path(os.path.realpath(path))
    folder = target.parent
    with described(where, "written"):
        status = _status(folder)
        if status is None or not stat.S_ISDIR(status.st_mode):
            raise ConfigError("the folder does not exist", where=where, hint=f"run: mkdir -p {folder}")
        if not os.access(folder, os.W_OK | os.X_OK):
            hint = f"write elsewhere, for example: -o ~/{path.name}"
            raise ConfigError("the folder is not writable", where=str(folder), hint=hint)
        status = _status(target)
        if status is None:
            return
        if stat.S_ISDIR(status.st_mode):
            raise ConfigError("is a folder, expected a file name", where=where)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError("is not a regular file", where=where)
        if any(other is not None and os.path.samestat(status, other) for other in map(_status, inputs)):
            raise ConfigError("is an input, which is never overwritten", where=where, hint="name another output")


def _status(path: Path) -> os.stat_result | None:
    """Return what is at a path, links followed, or None where there is nothing."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_stream(path: Path) -> bool:
    """Say whether a path is, or leads by links to, what a process has open, such as /dev/stdout or /dev/fd/1."""
    for _ in range(_MAX_LINKS):
        path = Path(os.path.realpath(path.parent), path.name)
        if path.is_relative_to("/proc"):
            return True
        if not os.path.islink(path):
            return False
        path = path.parent / os.readlink(path)
    return False


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a new folder for temporary files, which is removed with all that is in it.

    Raises MachineError where none can be made.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix="trtconv-", ignore_cleanup_errors=True)
    except OSError as error:
        what = f"no folder for temporary files can be made: {error.strerror}"
        raise MachineError(what, hint="free some space, or set TMPDIR to a folder that has some") from error
    with made as folder:
        yield Path(folder)


@contextmanager
def text_path(path: Path) -> Iterator[str]:
    """Yield a path to the same folder that is UTF-8 text, as libraries want it: the path, else by a temporary link.

    Names of files are bytes: those unpacked on a Chinese or Japanese Windows are often not UTF-8, and in the C locale
    Python takes no name beyond ASCII for text. Through the link, a library that is given the file's content finds the
    data files beside it; the name of the file itself may be another.
    """
    try:
        text = os.fsencode(path).decode()
    except UnicodeDecodeError:
        text = None
    if text is not None:
        yield text
        return
    with temporary_folder() as folder:
        link = folder / "link"
        link.symlink_to(path.parent.absolute(), target_is_directory=True)
        name = path.name if path.name.isascii() else "file"
        yield str(link / name)


def sha256(path: Path) -> str:
    """Return the hash of a file's content, which is never in memory as a whole."""
    digest = hashlib.sha256()
    with reading.opened(path, reading.FILE) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def write_atomically(contents: Contents) -> None:
    """Write each file of `contents`; when one fails or is interrupted, all files of these names stay as they were.

    A function is called for the bytes of its file when that is written, so that few are in memory at once.
    """
    with written_before(contents):
        pass


@contextmanager
def written_before(contents: Contents) -> Iterator[None]:
    """Write files that get their names after the block: where it raises, or one cannot be written, they stay as before.

    One that cannot be written raises before the block begins.
    """
    with _replaced_all({path: partial(_write, data) for path, data in contents.items()}):
        yield


def copy_atomically(source: Path, target: Path) -> None:
    """Copy a file and its permissions; an unfinished copy never carries the name of `target`."""
    with _replaced_all({target: partial(_copy, source)}, mode=0o600):
        pass


def _write(data: bytes | memoryview | Callable[[], bytes], file: BinaryIO) -> None:
    file.write(data() if callable(data) else data)


def _copy(source: Path, file: BinaryIO) -> None:
    with reading.opened(source, reading.DATA_FILE) as original:
        shutil.copyfileobj(original, file, _CHUNK_BYTES)
        os.fchmod(file.fileno(), os.fstat(original.fileno()).st_mode & _PERMISSIONS)


@contextmanager
def _replaced_all(writers: Mapping[Path, Callable[[BinaryIO], None]], mode: int = 0o666) -> Iterator[None]:
    """Write every file under a temporary name, to the last byte; after the block they get their own names.

    New files have the permissions `mode`, less those that the umask takes away.
    """
    with contextlib.ExitStack() as stack:
        written = [stack.enter_context(parts.written(path, write, mode)) for path, write in writers.items()]
        yield
        for part in written:
            part.take_name()
