"""Tensors in files beside the model: check them when the model is read, carry the files when it is written."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import onnx
from onnx.external_data_helper import ExternalDataInfo

from trtconv.errors import ConfigError, ModelError
from trtconv.files import copy_atomically


def external_tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor of a model, branches and attributes included, whose data is in another file."""
    for tensor in _tensors(proto.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield tensor


def require_external_files(proto: onnx.ModelProto, model_path: Path) -> None:
    """Raise ModelError for an external tensor whose file is missing, too short, or outside the model's folder."""
    sizes: dict[str, int] = {}
    for tensor in external_tensors(proto):
        info = ExternalDataInfo(tensor)
        location = str(info.location)
        if location not in sizes:
            sizes[location] = _file_size(location, model_path, tensor.name)
        end = (info.offset or 0) + (info.length or 0)
        if end > sizes[location]:
            what = f"external data file {location} has {sizes[location]} bytes, tensor {tensor.name} ends at {end}"
            raise ModelError(what, where=str(model_path), hint="copy the data file again: it is truncated")


def carry_external_files(proto: onnx.ModelProto, source_folder: Path, target_folder: Path) -> list[Path]:
    """Bring the data files that `proto` names into `target_folder`, by hard link or else by copy; return the new ones.

    Raises ConfigError instead of overwriting a different file.
    """
    carried = []
    for location in sorted({str(ExternalDataInfo(tensor).location) for tensor in external_tensors(proto)}):
        source, target = source_folder / location, target_folder / location
        if target.exists():
            if not os.path.samefile(source, target) and not filecmp.cmp(source, target, shallow=False):
                raise ConfigError(
                    "is needed for the model's external data, but another file of this name is there",
                    where=str(target),
                    hint="write the model into another folder",
                )
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source.resolve(), target)
        except OSError:  # another file system, or one without hard links
            copy_atomically(source, target)
        carried.append(target)
    return carried


def _file_size(location: str, model_path: Path, tensor_name: str) -> int:
    relative = PurePosixPath(location)
    if not location or relative.is_absolute() or ".." in relative.parts:
        what = f"external data location {location!r} of tensor {tensor_name} leads out of the model's folder"
        raise ModelError(what, where=str(model_path))
    path = model_path.parent / relative
    if not path.is_file():
        what = f"external data file {location} is missing (it holds tensor {tensor_name})"
        raise ModelError(what, where=str(model_path), hint=f"put the file at {path}")
    return path.stat().st_size


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for subgraph in (attribute.g, *attribute.graphs):
                yield from _tensors(subgraph)
