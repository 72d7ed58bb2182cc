"""Which files a model may name for its external data: those in its own folder, and the blobs of a model cache.

A model comes from others, and a link beside it may lead to any file of this machine, which would be read, and copied
beside a rewritten model. Links are followed inside the model's folder, in the folder of the file that the model itself
is a link to, and from a snapshot of a model cache to the blobs beside it, as the Hugging Face hub lays them:

    blobs/<sha256>    snapshots/<revision>/model.onnx -> ../../blobs/<sha256>
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from trtconv import reading
from trtconv.errors import ConfigError, ModelError

_SNAPSHOTS, _BLOBS = "snapshots", "blobs"
_IN_MEMORY = "_ORT_MEM_ADDR_"  # ONNX Runtime takes the offset after this for an address in its own memory
_SHOWN_CHARS = 80
_TRUST_HINT = "copy the file there, or if you trust this model and its folder: --trust-links"
_SAVE_AGAIN = "onnx.save(onnx.load(old), new, save_as_external_data=True)"


class DataFile(NamedTuple):
    """A file of external data: its size in bytes, and where it is if a link that was trusted leads to it."""

    size: int
    trusted_target: Path | None = None


def find_data_file(location: str, tensor_name: str, model_path: Path, trust_links: bool) -> DataFile:
    """Return the file that a tensor names, relative to the model's folder; raise ModelError where it may not be read.

    With `trust_links` a link may lead anywhere.
    """
    _require_inside(location, tensor_name, model_path)
    path = model_path.parent / location
    target = _outside_target(path, model_path)
    if target is not None and not trust_links:
        what = (
            f"external data file {shown(location)} of tensor {tensor_name} is a link to {target}, outside the "
            "model's folder"
        )
        raise ModelError(what, where=str(model_path), hint=_TRUST_HINT)
    try:
        return DataFile(reading.size_of(path, reading.DATA_FILE), target)
    except ConfigError as error:
        is_missing = error.what == reading.NO_SUCH_FILE
        problem, hint = ("is missing", f"put the file at {path}") if is_missing else (error.what, error.hint)
        what = f"external data file {shown(location)} {problem} (it holds tensor {tensor_name})"
        raise ModelError(what, where=str(model_path), hint=hint) from None


def leads_away(location: str, folder: Path) -> bool:
    """Say whether a data file is a link out of `folder`, the model's, which ONNX Runtime refuses."""
    return not _real(folder / location).is_relative_to(_real(folder))


def shown(location: str) -> str:
    """Return a location as an error shows it: cut where it is long."""
    return location if len(location) <= _SHOWN_CHARS else f"{location[:_SHOWN_CHARS]}..."


def _require_inside(location: str, tensor_name: str, model_path: Path) -> None:
    relative = PurePosixPath(location)
    if "\\" in location and not os.path.isfile(model_path.parent / relative):
        what = (
            f"external data location {shown(location)} of tensor {tensor_name} was written on Windows, with backslashes"
        )
        raise ModelError(
            what, where=str(model_path), hint=f"save it there again, all data beside the model: {_SAVE_AGAIN}"
        )
    is_path = location and "\0" not in location and _IN_MEMORY not in relative.parts
    if not is_path or relative.is_absolute() or ".." in relative.parts:
        what = f"external data location {shown(location)!r} of tensor {tensor_name} leads out of the model's folder"
        raise ModelError(what, where=str(model_path))


def _outside_target(path: Path, model_path: Path) -> Path | None:
    """Return what a data file really is where that belongs to no folder of the model, else None."""
    target = _real(path)
    return None if any(target.is_relative_to(folder) for folder in _own_folders(model_path)) else target


def _own_folders(model_path: Path) -> Iterator[Path]:
    folder = _real(model_path.parent)
    yield folder
    yield _real(model_path).parent
    for parent in folder.parents:
        if parent.name == _SNAPSHOTS:
            yield parent.with_name(_BLOBS)  # not followed, should it be a link itself
            return


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
