"""Write files whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from trtconv.errors import BackendError, ConfigError, TrtconvError


def require_writable(path: Path, *, inputs: tuple[Path, ...] = ()) -> None:
    """Raise ConfigError, before any long work, when `path` cannot be written or is one of the `inputs`."""
    if not path.parent.is_dir():
        raise ConfigError("the folder does not exist", where=str(path), hint=f"run: mkdir -p {path.parent}")
    if path.is_dir():
        raise ConfigError("is a folder, expected a file name", where=str(path))
    if not os.access(path.parent, os.W_OK):
        raise ConfigError("the folder is not writable", where=str(path.parent))
    for source in inputs:
        if path.exists() and source.exists() and os.path.samefile(path, source):
            raise ConfigError(
                "is the input model, which is never overwritten", where=str(path), hint="name another output"
            )


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write `data` to `path`; when that fails or is interrupted, an older file of that name stays as it was."""
    with _replacing(path) as file:
        file.write(data)


def copy_atomically(source: Path, target: Path) -> None:
    """Copy a file; an unfinished copy never carries the name of `target`."""
    with _replacing(target) as file, source.open("rb") as original:
        shutil.copyfileobj(original, file, 1 << 24)


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _write_error(path: Path, error: OSError) -> TrtconvError:
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BackendError(f"cannot be written: {reason}", where=str(path), hint="free some space")
    kind: Callable[..., TrtconvError] = BackendError if error.errno == errno.EIO else ConfigError
    return kind(f"cannot be written: {reason}", where=str(path))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
