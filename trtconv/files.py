"""Write files whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from trtconv.errors import BackendError, ConfigError, TrtconvError

_CHUNK_BYTES = 1 << 24


def require_readable(path: Path) -> None:
    """Raise ConfigError when there is no file to read at `path`."""
    if not path.exists():
        raise ConfigError("no such file", where=str(path), hint="check the path of the model")
    if path.is_dir():
        raise ConfigError("is a folder, expected an ONNX model", where=str(path))


def require_writable(path: Path, *, inputs: tuple[Path, ...] = ()) -> None:
    """Raise ConfigError, before any long work, when `path` cannot be written or is one of the `inputs`."""
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise ConfigError("the folder does not exist", where=str(path), hint=f"run: mkdir -p {folder}")
    if path.is_dir():
        raise ConfigError("is a folder, expected a file name", where=str(path))
    if path.exists() and not path.is_file():
        raise ConfigError("is not a regular file", where=str(path))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(
            "the folder is not writable", where=str(folder), hint=f"write elsewhere, for example: -o ~/{path.name}"
        )
    for source in inputs:
        if path.exists() and source.exists() and os.path.samefile(path, source):
            what = "belongs to the input model, which is never overwritten"
            raise ConfigError(what, where=str(path), hint="name another output")


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
    with tempfile.TemporaryDirectory(prefix="trtconv-") as folder:
        link = Path(folder, "link")
        link.symlink_to(path.parent.absolute(), target_is_directory=True)
        name = path.name if path.name.isascii() else "file"
        yield str(link / name)


def sha256(path: Path) -> str:
    """Return the hash of a file's content, which is never in memory as a whole."""
    digest = hashlib.sha256()
    with _described(path, "read"), path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def write_atomically(contents: Mapping[Path, bytes | memoryview]) -> None:
    """Write each file of `contents`; when one fails or is interrupted, all files of these names stay as they were."""
    _replace_all({path: partial(_write, data) for path, data in contents.items()})


def copy_atomically(source: Path, target: Path) -> None:
    """Copy a file; an unfinished copy never carries the name of `target`."""
    _replace_all({target: partial(_copy, source)})


def _write(data: bytes | memoryview, file: BinaryIO) -> None:
    file.write(data)


def _copy(source: Path, file: BinaryIO) -> None:
    with source.open("rb") as original:
        shutil.copyfileobj(original, file, _CHUNK_BYTES)


def _replace_all(writers: Mapping[Path, Callable[[BinaryIO], None]]) -> None:
    """Write every file under a temporary name, to the last byte, before the first one gets its own name."""
    temporaries: dict[Path, Path] = {}
    try:
        for path, write in writers.items():
            target = Path(os.path.realpath(path))  # a link stays a link
            temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part")
            temporaries[target] = temporary
            with _described(path), open(temporary, "xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
        for target, temporary in temporaries.items():
            with _described(target):
                os.replace(temporary, target)
    finally:
        for temporary in temporaries.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def _described(path: Path, participle: str = "written") -> Iterator[None]:
    """Turn the system's errors into trtconv's."""
    try:
        yield
    except OSError as error:
        what = f"cannot be {participle}: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BackendError(what, where=str(path), hint="free some space") from error
        kind: Callable[..., TrtconvError] = BackendError if error.errno == errno.EIO else ConfigError
        raise kind(what, where=str(path)) from error
