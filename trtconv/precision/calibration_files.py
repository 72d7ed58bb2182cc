"""Read .npz files of inputs, one input set each with an array for every input of the model, and .npy files."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trtconv.errors import ConfigError

_HINT = "write it with: numpy.savez(file, NAME=array, ...)"


def read_feeds(
    paths: Sequence[Path], inputs: Collection[str], option: str = "--calibration"
) -> list[dict[str, npt.NDArray[Any]]]:
    """Return the input set of each file. Raises ConfigError for a file without an array for each of `inputs`.

    `option` is what errors call the place where the user named the file.
    """
    feeds = []
    for path in paths:
        feed = _read(path, f"{option} {path}")
        missing = [name for name in inputs if name not in feed]
        if missing:
            what = f"has no array for {', '.join(missing)}; it holds {', '.join(feed) or 'nothing'}"
            raise ConfigError(what, where=f"{option} {path}", hint=_HINT)
        feeds.append(feed)
    return feeds


def read_array(path: Path, where: str) -> npt.NDArray[Any]:
    """Return the array of an .npy file. Raises ConfigError, which calls the place `where`."""
    with _described(where, "is no .npy file of an array"), path.open("rb") as file:
        array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array


def _read(path: Path, where: str) -> dict[str, npt.NDArray[Any]]:
    with _described(where, "is no .npz file of arrays", _HINT):
        with zipfile.ZipFile(path):  # numpy reads other kinds of files too
            pass
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}


@contextmanager
def _described(where: str, what: str, hint: str | None = None) -> Iterator[None]:
    """Turn what numpy, zipfile and zlib raise for a damaged file, a dozen kinds of exceptions, into ConfigError."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}", where=where) from None
    except Exception as error:
        raise ConfigError(f"{what}: {str(error) or type(error).__name__}", where=where, hint=hint) from None
