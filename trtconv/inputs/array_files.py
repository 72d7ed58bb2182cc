"""Read and write .npy and .npz files.

What an array is, and how large, is looked at before any of it is unpacked. A compressed file of a few megabytes may
hold arrays of many gigabytes.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trtconv import reading
from trtconv.errors import ConfigError
from trtconv.reading import SmallReads

MAX_SET_BYTES = 2 << 30  # of all arrays of one input set
_MAX_DIRECTORY_BYTES = 4 << 20  # of an .npz file, some 40,000 names
_SUFFIX = ".npy"
_MAX_NAME_BYTES = (1 << 16) - 1 - len(_SUFFIX)  # the zip format has 16 bits for the length of a name
_SHOWN_CHARS = 80

Array = npt.NDArray[Any]
# Raises for an array of this name, shape and type that is not wanted; returns how many bytes an element of it takes.
Check = Callable[[str, tuple[int, ...], np.dtype[Any]], int]

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(path: Path, name: str, check: Check, where: str) -> Array:
    """Return the array of an .npy file; `name` is what the array is for, `where` what errors call the file.

    Raises ConfigError for what is too large or cut off; what `check` and numpy raise comes through as it is.
    """
    with reading.opened(path, reading.ARRAYS, where) as file:
        _look(file, name, reading.size_of(path), check, where, MAX_SET_BYTES)
        file.seek(0)
        return _read(file)


def read_npz(path: Path, names: Iterable[str], check: Check, where: str) -> tuple[dict[str, Array], list[str]]:
    """Return those arrays of an .npz file that are called so, and the names of all that it holds; errors as read_npy.

    So does what zipfile raises.
    """
    with (
        reading.opened(path, reading.ARRAYS, where) as file,
        zipfile.ZipFile(SmallReads(file, _MAX_DIRECTORY_BYTES)) as archive,
    ):
        entries = {entry.filename.removesuffix(_SUFFIX): entry for entry in archive.infolist()}
        wanted = {name: entries[name] for name in names if name in entries}
        left = MAX_SET_BYTES
        for name, entry in wanted.items():
            with archive.open(entry) as packed:
                left -= _look(packed, name, entry.file_size, check, where, left)
        arrays = {}
        for name, entry in wanted.items():
            with archive.open(entry) as packed:
                arrays[name] = _read(packed)
        return arrays, list(entries)


def npy_bytes(array: Array) -> bytes:
    """Return the content of an .npy file; every numpy reads it."""
    content = io.BytesIO()
    np.lib.format.write_array(content, _plain(array), allow_pickle=False)
    return content.getvalue()


def npz_bytes(arrays: Mapping[str, Array]) -> bytes:
    """Return the content of an .npz file of arrays by name; every numpy reads it.

    numpy.savez itself takes no array of the name `file`. Raises ConfigError for a name that such a file cannot hold.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            _require_name(name)
            with archive.open(f"{name}{_SUFFIX}", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, _plain(array), allow_pickle=False)
    return content.getvalue()


def _require_name(name: str) -> None:
    num_bytes = len(name.encode(errors="surrogateescape"))
    if num_bytes > _MAX_NAME_BYTES or "\0" in name:
        shown = name if len(name) <= _SHOWN_CHARS else f"{name[:_SHOWN_CHARS]}..."
        what = f"an .npz file cannot hold an array called {shown} ({num_bytes} bytes)"
        hint = f"rename the tensor: at most {_MAX_NAME_BYTES} bytes, without null characters"
        raise ConfigError(what, hint=hint)


def _plain(array: Array) -> Array:
    """Return an array in a type that every numpy reads: bfloat16 as float32, text without pickling."""
    if array.dtype.kind == "V":
        return array.astype(np.float32)
    return array.astype(str) if array.dtype == object else array


def _look(file: Any, name: str, file_bytes: int, check: Check, where: str, limit: int) -> int:
    """Read the header of an array in a file of that many bytes, and return how many bytes the array takes."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"{name} is in version {version[0]}.{version[1]} of the format, expected 1.0 or 2.0")
    shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ConfigError(f"{name} holds Python objects, expected numbers or text", where=where)
    element_bytes = max(check(name, shape, dtype), dtype.itemsize)
    num_elements = math.prod(shape)
    if num_elements * element_bytes > limit:
        what = f"{name} takes {num_elements * element_bytes} bytes, more than the {MAX_SET_BYTES >> 30} GiB"
        raise ConfigError(f"{what} that the arrays of an input set may take", where=where, hint="give smaller inputs")
    data_bytes = file_bytes - file.tell()
    if num_elements * dtype.itemsize > data_bytes:
        what = f"{name} has {data_bytes} bytes of data, its header asks for {num_elements * dtype.itemsize}"
        raise ConfigError(what, where=where, hint="write the file again")
    return num_elements * element_bytes


def _read(file: Any) -> Array:
    array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array
