"""Tensors in files beside the model: check them when the model is read, carry the files when it is written."""

from __future__ import annotations

import filecmp
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import onnx

from trtconv.errors import ConfigError, ModelError
from trtconv.files import copy_atomically
from trtconv.model.walking import branches, walk_graphs

# Two or more elements to a byte: their size in a file is for the runtime to check.
_PACKED_DTYPES = tuple(
    value
    for name, value in onnx.TensorProto.DataType.items()
    if name.lower() in ("int4", "uint4", "float4e2m1", "int2", "uint2")
)
_MAX_SHAPE_ELEMENTS = 64  # shapes, axes and pads, whose values shape inference reads


@dataclass(frozen=True)
class _Place:
    """Where a tensor's bytes are: a file, relative to the model's folder, and the part of it; None: to its end."""

    location: str
    offset: int
    length: int | None


def external_tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor of a model, branches, attributes and functions included, whose data is in another file."""
    return (tensor for tensor in all_tensors(proto) if tensor.data_location == onnx.TensorProto.EXTERNAL)


def all_tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every initializer and constant of a model, branches, attributes and functions included."""
    graphs = [proto.graph]
    graphs += (branch for function in proto.functions for node in function.node for branch in branches(node))
    for graph in (inner for each in graphs for inner in walk_graphs(each)):
        yield from graph.initializer
        yield from _dense(graph.sparse_initializer)
        yield from _node_tensors(graph.node)
    for function in proto.functions:
        yield from _node_tensors(function.node)


def require_external_files(proto: onnx.ModelProto, model_path: Path) -> None:
    """Raise ModelError for an external tensor whose file is missing, too short, or outside the model's folder."""
    sizes: dict[str, int] = {}
    for tensor in external_tensors(proto):
        place = _place_of(tensor, model_path)
        if place.location not in sizes:
            sizes[place.location] = _file_size(place.location, model_path, tensor.name)
        end = place.offset + max(place.length or 0, _num_bytes(tensor))
        if end > sizes[place.location]:
            size = sizes[place.location]
            what = f"external data file {place.location} has {size} bytes, tensor {tensor.name} ends at {end}"
            raise ModelError(what, where=str(model_path), hint="copy the data file again: it is truncated")


def with_small_tensors(proto: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Return the model with its small external tensors loaded, or `proto` itself where there are none."""
    if not any(0 <= math.prod(tensor.dims) <= _MAX_SHAPE_ELEMENTS for tensor in external_tensors(proto)):
        return proto
    loaded = onnx.ModelProto()
    loaded.CopyFrom(proto)
    for tensor in external_tensors(loaded):
        if 0 <= math.prod(tensor.dims) <= _MAX_SHAPE_ELEMENTS:
            tensor.CopyFrom(read_external_tensor(tensor, folder))
    return loaded


def leads_away(tensor: onnx.TensorProto, folder: Path) -> bool:
    """Say whether an external tensor's file is a link out of `folder`, the model's, which ONNX Runtime refuses."""
    location = _place_of(tensor, folder).location
    return not (folder / location).resolve().is_relative_to(folder.resolve())


def read_external_tensor(tensor: onnx.TensorProto, folder: Path) -> onnx.TensorProto:
    """Return a copy of an external tensor with its data. `folder` is the model's; symbolic links are followed.

    Download caches keep model and data as links into a common store, which onnx's own reader refuses.
    """
    place = _place_of(tensor, folder)
    loaded = onnx.TensorProto()
    loaded.CopyFrom(tensor)
    loaded.ClearField("external_data")
    loaded.data_location = onnx.TensorProto.DEFAULT
    with (folder / place.location).open("rb") as file:
        file.seek(place.offset)
        loaded.raw_data = file.read(_num_bytes(tensor) if place.length is None else place.length)
    return loaded


def data_locations(proto: onnx.ModelProto, folder: Path) -> list[str]:
    """Return the paths, relative to the model's `folder`, of the files that hold its external tensors."""
    return sorted({_place_of(tensor, folder).location for tensor in external_tensors(proto)})


def carry_external_files(proto: onnx.ModelProto, source_folder: Path, target_folder: Path) -> list[Path]:
    """Copy the data files that `proto` names into `target_folder`; return the new ones.

    No links: onnx refuses data files that have more than one, of the copy as of the original. Raises ConfigError
    instead of overwriting a different file; when it raises, no new file is left.
    """
    carried: list[Path] = []
    try:
        _carry(proto, source_folder, target_folder, carried)
    except BaseException:
        for path in carried:
            path.unlink(missing_ok=True)
        raise
    return carried


def _carry(proto: onnx.ModelProto, source_folder: Path, target_folder: Path, carried: list[Path]) -> None:
    for location in data_locations(proto, source_folder):
        source, target = source_folder / location, target_folder / location
        if target.exists():
            if not _is_same_file(source, target):
                raise ConfigError(
                    "is needed for the model's external data, but another file of this name is there",
                    where=str(target),
                    hint="write the model into another folder",
                )
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot be made: {error.strerror}", where=str(target.parent)) from None
        carried.append(target)
        copy_atomically(source, target)


def _is_same_file(source: Path, target: Path) -> bool:
    return target.is_file() and (os.path.samefile(source, target) or filecmp.cmp(source, target, shallow=False))


def _place_of(tensor: onnx.TensorProto, model_path: Path) -> _Place:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    numbers: dict[str, int | None] = {}
    for key in ("offset", "length"):
        text = entries.get(key)
        if text is not None and not (isinstance(text, str) and text.isdecimal() and len(text) < 20):
            raise ModelError(f"external data of tensor {tensor.name} has the {key} {text!r}", where=str(model_path))
        numbers[key] = None if text is None else int(text)
    location = entries.get("location", "")  # UTF-8, whatever Python takes the names of files for
    encoded = location.encode() if isinstance(location, str) else location
    return _Place(os.fsdecode(encoded), numbers["offset"] or 0, numbers["length"])


def _num_bytes(tensor: onnx.TensorProto) -> int:
    """Return how many bytes the dimensions of a tensor ask for; 0 for a type that is smaller than a byte or unknown."""
    try:
        item_size = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, TypeError):
        return 0
    return 0 if tensor.data_type in _PACKED_DTYPES else math.prod(tensor.dims) * item_size


def _file_size(location: str, model_path: Path, tensor_name: str) -> int:
    relative = PurePosixPath(location)
    if "\\" in location and not (model_path.parent / relative).is_file():
        what = f"external data location {location} of tensor {tensor_name} was written on Windows, with backslashes"
        hint = (
            "save it there again, all data beside the model: onnx.save(onnx.load(old), new, save_as_external_data=True)"
        )
        raise ModelError(what, where=str(model_path), hint=hint)
    if not location or relative.is_absolute() or ".." in relative.parts:
        what = f"external data location {location!r} of tensor {tensor_name} leads out of the model's folder"
        raise ModelError(what, where=str(model_path))
    path = model_path.parent / relative
    if not path.is_file():
        what = f"external data file {location} is missing (it holds tensor {tensor_name})"
        raise ModelError(what, where=str(model_path), hint=f"put the file at {path}")
    return path.stat().st_size


def _node_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("sparse_tensor"):
            yield from _dense([attribute.sparse_tensor])
        yield from _dense(attribute.sparse_tensors)


def _dense(tensors: Iterable[onnx.SparseTensorProto]) -> Iterator[onnx.TensorProto]:
    for sparse in tensors:
        yield from (sparse.values, sparse.indices)
