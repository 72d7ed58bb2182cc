"""Read .npz files of inputs: one input set each, an array for every input of the model."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Sequence
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


def _read(path: Path, where: str) -> dict[str, npt.NDArray[Any]]:
    try:
        with zipfile.ZipFile(path):  # numpy reads other kinds of files too
            pass
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}", where=where) from None
    except (ValueError, zipfile.BadZipFile) as error:
        raise ConfigError(f"is no .npz file of arrays: {error}", where=where, hint=_HINT) from None
