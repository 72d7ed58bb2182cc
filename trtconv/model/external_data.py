"""Tensors in files beside the model: check them when the model is read, carry the files when it is written."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import onnx

from trtconv import files, parts, reading
from trtconv.element_types import BY_ONNX, ElementType
from trtconv.errors import ConfigError, ModelError
from trtconv.model import data_places
from trtconv.model.data_places import DataFile, find_data_file, shown

_MAX_SHAPE_ELEMENTS = 64  # shapes, axes and pads, whose values shape inference reads
_MAX_DIGITS = 19  # of an offset or a length; 2^63 has as many
_TRUNCATED = "copy the data file again: it is truncated"


class _Place(NamedTuple):
    """Where a tensor's bytes are: a file, relative to the model's folder, and the part of it; None: to its end."""

    location: str
    offset: int
    length: int | None


def external_tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor of a model, wherever it is held, whose data is in another file."""
    return (tensor for tensor in all_tensors(proto) if tensor.data_location == onnx.TensorProto.EXTERNAL)


def all_tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor that a model holds: initializers, attributes, branches, functions, sparse ones and training.

    What an attribute holds beside the kind that it claims to be is yielded too.
    """
    yield from _graph_tensors(proto.graph)
    for training in proto.training_info:
        yield from _graph_tensors(training.initialization)
        yield from _graph_tensors(training.algorithm)
    for function in proto.functions:
        yield from _attribute_tensors(function.attribute_proto)
        yield from _node_tensors(function.node)


def require_external_files(proto: onnx.ModelProto, model_path: Path, trust_links: bool = False) -> tuple[str, ...]:
    """Raise ModelError for an external tensor whose file is missing, too short, or not the model's own.

    Return warnings of the links out of the model's folder that were followed, which `trust_links` allows.
    """
    found: dict[str, DataFile] = {}
    for tensor in external_tensors(proto):
        place = _place_of(tensor, model_path)
        num_bytes = _require_length(tensor, place, model_path)
        location = place.location
        if location not in found:
            found[location] = find_data_file(location, tensor.name, model_path, trust_links)
        end = place.offset + max(place.length or 0, num_bytes)
        if end > (size := found[location].size):
            what = f"external data file {shown(location)} has {size} bytes, tensor {tensor.name} ends at {end}"
            raise ModelError(what, where=str(model_path), hint=_TRUNCATED)
    return tuple(
        f"external data file {shown(location)} is a link to {file.trusted_target}, which was trusted (--trust-links)"
        for location, file in found.items()
        if file.trusted_target is not None
    )


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
    return data_places.leads_away(_place_of(tensor, folder).location, folder)


def read_external_tensor(tensor: onnx.TensorProto, folder: Path) -> onnx.TensorProto:
    """Return a copy of an external tensor with its data, out of a model in `folder` that was read: links are followed.

    Download caches keep model and data as links into a common store, which onnx's own reader refuses. Raises ModelError
    where the file has become shorter since.
    """
    place = _place_of(tensor, folder)
    loaded = onnx.TensorProto()
    loaded.CopyFrom(tensor)
    loaded.ClearField("external_data")
    loaded.data_location = onnx.TensorProto.DEFAULT
    num_bytes = _num_bytes(tensor) if place.length is None else place.length
    with reading.opened(folder / place.location, reading.DATA_FILE) as file:
        file.seek(place.offset)
        loaded.raw_data = file.read(num_bytes)
    if len(loaded.raw_data) < num_bytes:
        what = f"external data file {shown(place.location)} ends within tensor {tensor.name}"
        raise ModelError(what, where=str(folder), hint=_TRUNCATED)
    return loaded


def files_of(proto: onnx.ModelProto, model_path: Path) -> tuple[Path, ...]:
    """Return the files that a model consists of: its own, and those that hold its external tensors."""
    folder = model_path.parent
    return (model_path, *(folder / location for location in data_locations(proto, folder)))


def data_locations(proto: onnx.ModelProto, folder: Path) -> list[str]:
    """Return the paths, relative to the model's `folder`, of the files that hold its external tensors."""
    return sorted({_place_of(tensor, folder).location for tensor in external_tensors(proto)})


def file_sizes(proto: onnx.ModelProto, folder: Path) -> dict[str, int]:
    """Return the sizes in bytes of the data files beside a model in `folder`, by their paths relative to it."""
    return {name: reading.size_of(folder / name) for name in data_locations(proto, folder)}


def carry_external_files(proto: onnx.ModelProto, source_folder: Path, target_folder: Path) -> list[Path]:
    """Copy the data files that `proto` names, with their permissions, into `target_folder`; return the new ones.

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
        parts.remove_abandoned(target.parent, target.name)
        if os.path.lexists(target):
            if not _is_same_file(source, target):
                raise ConfigError(
                    "is needed for the model's external data, but a different file of this name exists",
                    where=str(target),
                    hint="write the model into another folder",
                )
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot be made: {error.strerror}", where=str(target.parent)) from None
        carried.append(target)
        files.copy_atomically(source, target)


def _is_same_file(source: Path, target: Path) -> bool:
    if not os.path.isfile(target):
        return False
    is_one = os.path.samefile(source, target)
    return is_one or (
        reading.size_of(source) == reading.size_of(target) and files.sha256(source) == files.sha256(target)
    )


def _place_of(tensor: onnx.TensorProto, model_path: Path) -> _Place:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if len(entries) < len(tensor.external_data):  # which of the two another reader takes is not known
        what = f"external data of tensor {tensor.name} gives one entry twice"
        raise ModelError(what, where=str(model_path))
    numbers: dict[str, int | None] = {}
    for key in ("offset", "length"):
        text = entries.get(key)
        if text is not None and not _is_number(text):
            raise ModelError(f"external data of tensor {tensor.name} has the {key} {text!r}", where=str(model_path))
        numbers[key] = None if text is None else int(text)
    location = entries.get("location", "")  # UTF-8, whatever Python takes the names of files for
    encoded = location.encode() if isinstance(location, str) else location
    return _Place(os.fsdecode(encoded), numbers["offset"] or 0, numbers["length"])


def _is_number(text: object) -> bool:
    """Say whether this is a whole number in ASCII; protobuf hands out text that is not UTF-8 as bytes."""
    return isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS


def _require_length(tensor: onnx.TensorProto, place: _Place, model_path: Path) -> int:
    """Return how many bytes a tensor takes; raise ModelError where its dimensions and its length disagree."""
    if any(dim < 0 for dim in tensor.dims):
        raise ModelError(f"tensor {tensor.name} has a negative dimension", where=str(model_path))
    num_bytes = _num_bytes(tensor)
    if place.length is not None and _has_size(tensor) and place.length != num_bytes:
        what = f"external data of tensor {tensor.name} has the length {place.length}, its dimensions take {num_bytes}"
        raise ModelError(what, where=str(model_path), hint="export the model again")
    return num_bytes


def _num_bytes(tensor: onnx.TensorProto) -> int:
    """Return how many bytes the dimensions of a tensor ask for; 0 where its type does not tell."""
    return BY_ONNX[tensor.data_type].num_bytes(math.prod(tensor.dims)) if _has_size(tensor) else 0


def _has_size(tensor: onnx.TensorProto) -> bool:
    """Say whether the size of an element is known: not of text, nor of types whose elements straddle bytes."""
    found: ElementType | None = BY_ONNX.get(tensor.data_type)
    return found is not None and found.bits > 0 and (found.bits >= 8 or 8 % found.bits == 0)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    yield from _dense(graph.sparse_initializer)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        yield from _attribute_tensors(node.attribute)


def _attribute_tensors(attributes: Iterable[onnx.AttributeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in attributes:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("sparse_tensor"):
            yield from _dense([attribute.sparse_tensor])
        yield from _dense(attribute.sparse_tensors)
        if attribute.HasField("g"):
            yield from _graph_tensors(attribute.g)
        for graph in attribute.graphs:
            yield from _graph_tensors(graph)


def _dense(tensors: Iterable[onnx.SparseTensorProto]) -> Iterator[onnx.TensorProto]:
    for sparse in tensors:
        yield from (sparse.values, sparse.indices)
