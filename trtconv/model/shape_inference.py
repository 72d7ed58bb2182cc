"""The types and shapes that ONNX infers, in spite of what exporters and editors put in its way.

Shapes follow from the inputs. What a model declares of its other tensors fills only what inference does not find: an
input that was made dynamic by hand, or got another size, leaves the old sizes declared everywhere behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import onnx
import onnx.shape_inference

from trtconv.errors import ModelError
from trtconv.model.bounded import OutOfLimitsError, run_bounded
from trtconv.model.external_data import with_small_tensors
from trtconv.model.light_copy import light_copy
from trtconv.model.size_growth import filling_nodes, stays_small
from trtconv.model.walking import fed_inputs, walk_graphs
from trtconv.shapes import Dims

_MAX_NAMED_TENSORS = 3
# Sizes to try for dynamic dimensions: a prime times a power of two passes through networks that halve their input.
_TRIED_PRIMES = (11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61)
_TRIED_FACTOR = 1 << 7
_LEADING_SIZES = (3, 5, 7, 11, 13)  # of the first axis: a batch

# What honest models take at most, several times over: 0.1 ms and 10 KiB for a node, which has 50 bytes or more.
_MAX_BYTES, _MAX_BYTES_PER_BYTE = 256 << 20, 256
_MAX_SECONDS, _SECONDS_PER_MEGABYTE = 10, 50

_MADE_UP_DIM = re.compile(r"unk__\d+")


class Inferred(NamedTuple):
    """A light copy of a model with inferred types, and what was wrong with the shapes that the model declares.

    `stale` names the tensors whose declared shape contradicts the shapes of the inputs; where there are any, `model`
    holds nothing of what was declared.
    """

    model: onnx.ModelProto
    stale: tuple[str, ...] = ()

    @property
    def warning(self) -> str | None:
        """What a report says of stale shapes."""
        if not self.stale:
            return None
        named = ", ".join(self.stale[:_MAX_NAMED_TENSORS])
        hidden = len(self.stale) - _MAX_NAMED_TENSORS
        more = f" and {hidden} more" if hidden > 0 else ""
        return (
            f"the shapes that the model declares do not follow from its inputs and are not used: those of {named}{more}"
        )


def with_shapes(proto: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Return a light copy with inferred types; inference that fails on an invalid model leaves what it declares.

    `folder` is the model's, for external data.
    """
    return infer(proto, folder).model


def infer(proto: onnx.ModelProto, folder: Path, sizes: Mapping[str, Dims] | None = None) -> Inferred:
    """Infer the types and shapes of a model whose inputs have the dimensions `sizes`, as far as these are numbers.

    Raises ModelError when that takes far more memory or time than the size of the model accounts for.
    """
    declared = with_small_tensors(light_copy(proto), folder)
    _make_dynamic(declared)
    _set_sizes(declared.graph, sizes or {})
    if stays_small(declared):
        return _infer_from_inputs(declared)
    try:
        return _infer_bounded(declared, propagates=True)
    except OutOfLimitsError:  # onnx keeps a value for each element of a tensor that a node may read sizes from
        pass
    try:
        return _infer_bounded(declared, propagates=False)
    except OutOfLimitsError as error:
        named = ", ".join(filling_nodes(declared.graph))
        what = "the shapes of its tensors cannot be inferred" + (f" (those after {named})" if named else "")
        hint = "a size in the model is far too large: correct it where the model is exported"
        raise ModelError(f"{what}: {error}", hint=hint) from None


def _infer_bounded(declared: onnx.ModelProto, propagates: bool) -> Inferred:
    """Infer in a child; without `propagates` no shape follows from values that nodes compute from shapes."""
    num_bytes = declared.ByteSize()
    data, stale = run_bounded(
        lambda: _as_bytes(_infer_from_inputs(declared, propagates)),
        _MAX_BYTES + _MAX_BYTES_PER_BYTE * num_bytes,
        _MAX_SECONDS + _SECONDS_PER_MEGABYTE * (num_bytes >> 20),
    )
    return Inferred(onnx.ModelProto.FromString(data), stale)


def _as_bytes(inferred: Inferred) -> tuple[bytes, tuple[str, ...]]:
    return inferred.model.SerializeToString(), inferred.stale


def _infer_from_inputs(declared: onnx.ModelProto, propagates: bool = True) -> Inferred:
    if not any(dim.HasField("dim_value") for value in _declared_values(declared.graph) for dim in _dims(value)):
        return Inferred(_infer(declared, propagates))
    bare = onnx.ModelProto()
    bare.CopyFrom(declared)
    for value in _declared_values(bare.graph):
        value.type.tensor_type.ClearField("shape")
    tried = onnx.ModelProto()
    tried.CopyFrom(bare)
    is_fixed = not _try_sizes(tried.graph, _declared_numbers(declared.graph))
    found = _infer(tried, propagates)
    stale, is_complete = _compare(declared, found)
    if is_fixed and (stale or is_complete):
        return Inferred(found, stale)
    return Inferred(_infer(bare if stale else declared, propagates), stale)


def drop_stale_shapes(proto: onnx.ModelProto, inferred: onnx.ModelProto) -> None:
    """Take the declared shapes out of a model; outputs, whose rank ONNX wants, keep what `inferred` has."""
    symbols = {dim.dim_param for value in proto.graph.input for dim in _dims(value) if dim.dim_param}
    found = {value.name: _dims(value) for value in _declared_values(inferred.graph)}
    for graph in walk_graphs(proto.graph):
        graph.ClearField("value_info")
    for value in _declared_values(proto.graph):
        follows = found.get(value.name, [])
        is_known = len(follows) == len(_dims(value))
        for dim, other in zip(_dims(value), follows if is_known else _dims(value), strict=True):
            if is_known and (other.HasField("dim_value") or other.dim_param in symbols):
                dim.CopyFrom(other)
            elif dim.HasField("dim_value"):
                dim.Clear()


def _infer(proto: onnx.ModelProto, propagates: bool) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(proto, data_prop=propagates)
    except MemoryError:
        raise
    except Exception:
        return proto


def _compare(declared: onnx.ModelProto, found: onnx.ModelProto) -> tuple[tuple[str, ...], bool]:
    """Return the tensors whose declared shape is another one than was found, and whether all of them were found.

    A dimension that depends on a dynamic one cannot be declared as a number. Whether it depends is not visible in what
    inference finds, for after a convolution it makes up symbols: so `found` is what follows from numbers for the
    dynamic dimensions that nobody declares.
    """
    values = {value.name: value for value in _declared_values(found.graph)}
    pairs = [(value, values.get(value.name)) for value in _declared_values(declared.graph) if _dims(value)]
    stale = dict.fromkeys(said.name for said, follows in pairs if follows is not None and _contradicts(said, follows))
    is_complete = all(follows is not None and _is_fixed(follows) for _, follows in pairs)
    return tuple(stale), is_complete


def _is_fixed(value: onnx.ValueInfoProto) -> bool:
    return value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in _dims(value))


def _declared_numbers(graph: onnx.GraphProto) -> set[int]:
    return {dim.dim_value for value in _declared_values(graph) for dim in _dims(value)}


def _try_sizes(graph: onnx.GraphProto, declared: set[int]) -> bool:
    """Give the dynamic dimensions of the inputs sizes; equal symbols, and unnamed ones of one axis, have one size.

    Return whether there was one.
    """
    taken: dict[str, int] = {}
    for value in fed_inputs(graph):
        for axis, dim in enumerate(_dims(value)):
            if not dim.HasField("dim_value"):
                key = dim.dim_param or f"axis {axis}"
                if key not in taken:
                    taken[key] = _unused_size(axis, declared | set(taken.values()))
                dim.dim_value = taken[key]
    return bool(taken)


def _unused_size(axis: int, taken: set[int]) -> int:
    if axis == 0:
        return next((size for size in _LEADING_SIZES if size not in taken), _LEADING_SIZES[-1])
    halves = [(prime * _TRIED_FACTOR, {prime << power for power in range(10)}) for prime in _TRIED_PRIMES]
    return next((size for size, related in halves if not related & taken), halves[-1][0])


def _contradicts(declared: onnx.ValueInfoProto, found: onnx.ValueInfoProto) -> bool:
    if not (declared.type.tensor_type.HasField("shape") and found.type.tensor_type.HasField("shape")):
        return False
    if len(_dims(declared)) != len(_dims(found)):
        return True
    return any(
        said.HasField("dim_value") and follows.HasField("dim_value") and said.dim_value != follows.dim_value
        for said, follows in zip(_dims(declared), _dims(found), strict=True)
    )


def _set_sizes(graph: onnx.GraphProto, sizes: Mapping[str, Dims]) -> None:
    """Fix the dimensions of inputs that are not fixed in the model."""
    for value in graph.input:
        wanted = sizes.get(value.name, ())
        if len(wanted) == len(_dims(value)):
            for dim, size in zip(_dims(value), wanted, strict=True):
                if isinstance(size, int) and not dim.HasField("dim_value"):
                    dim.dim_value = size


def _make_dynamic(proto: onnx.ModelProto) -> None:
    """Make -1 for a dimension, as older exporters write a dynamic one, an unknown one."""
    for graph in walk_graphs(proto.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            for dim in _dims(value):
                if dim.dim_value < 0:
                    dim.Clear()


def _declared_values(graph: onnx.GraphProto) -> Iterator[onnx.ValueInfoProto]:
    """Yield what a model declares of tensors that nodes write, in branches too."""
    for each in walk_graphs(graph):
        yield from (value for value in (*each.value_info, *each.output) if value.type.HasField("tensor_type"))


def _dims(value: onnx.ValueInfoProto) -> list[onnx.TensorShapeProto.Dimension]:
    return list(value.type.tensor_type.shape.dim)


def is_made_up(dim: int | str | None) -> bool:
    """Say whether a dimension is a name that inference made up for a size that it does not know."""
    return isinstance(dim, str) and _MADE_UP_DIM.fullmatch(dim) is not None
