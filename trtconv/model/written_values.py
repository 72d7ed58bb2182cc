"""Attributes, constants and types of a graph-surgeon graph as ONNX has them, and whether they are as they were read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import numpy_helper
from onnx_graphsurgeon.exporters.onnx_exporter import OnnxExporter, constant_to_onnx_tensor
from onnx_graphsurgeon.ir.tensor import LazyValues, SparseValues

from trtconv.errors import GraphEditError, first_line
from trtconv.model.as_read import AsRead, TensorAsRead

_LISTS = {
    onnx.AttributeProto.INTS: "ints",
    onnx.AttributeProto.FLOATS: "floats",
    onnx.AttributeProto.STRINGS: "strings",
}
_FEW = 16
_FLOATS = (onnx.AttributeProto.FLOAT, onnx.AttributeProto.FLOATS)


def attribute_of(name: str, value: Any, as_read: AsRead) -> onnx.AttributeProto:
    """Return an attribute with the value that a node of graph-surgeon carries; branches are those that were read."""
    if isinstance(value, gs.Graph):
        attribute = onnx.AttributeProto(name=name, type=onnx.AttributeProto.GRAPH)
        read = as_read.graphs.get(id(value))
        attribute.g.CopyFrom(_new_graph(value) if read is None else read.source)
        return attribute
    if isinstance(value, gs.Constant):
        return onnx.helper.make_attribute(name, tensor_proto(value, value.name, as_read))
    if type(value) in (str, int):
        return _plain_attribute(name, value)
    if isinstance(value, list) and len(value) <= _FEW and all(type(each) is int for each in value):
        return _plain_attribute(name, tuple(value))
    return _exported(name, value)


@lru_cache(maxsize=4096)  # the nodes that passes write carry the same few values again and again
def _plain_attribute(name: str, value: str | int | tuple[int, ...]) -> onnx.AttributeProto:
    return _exported(name, list(value) if isinstance(value, tuple) else value)


def _exported(name: str, value: Any) -> onnx.AttributeProto:
    written: onnx.AttributeProto = OnnxExporter.export_attributes({name: value})[0]
    if written.type in _FLOATS and _has_infinity((written.f, *written.floats)) and not _has_infinity(np.ravel(value)):
        raise ValueError(f"{name} is beyond the range of float32, {value}")
    return written


def _has_infinity(numbers: Iterable[float]) -> bool:
    return any(map(math.isinf, numbers))


def _new_graph(graph: gs.Graph) -> onnx.GraphProto:
    """Return a branch that a pass made, without its nodes."""
    proto = onnx.GraphProto(name=graph.name or "", doc_string=graph.doc_string or "")
    for tensors, values in ((graph.inputs, proto.input), (graph.outputs, proto.output)):
        values.extend(value_info(tensor.name, tensor) for tensor in tensors)
    return proto


def value_info(name: str, tensor: gs.Tensor) -> onnx.ValueInfoProto:
    """Return what is known of a tensor's type, under the name that it is written by."""
    value: onnx.ValueInfoProto = OnnxExporter.export_value_info_proto(tensor, do_type_check=False)
    value.name = name
    return value


def is_retyped(read: TensorAsRead) -> bool:
    """Say whether a pass gave a tensor another type; to learn a size of what a node writes is not a change."""
    dtype, shape = read.tensor.dtype, read.tensor.shape
    if not isinstance(read.tensor, gs.Variable) or (read.dtype is None and read.shape is None):
        return False
    if read.dtype is not None and dtype != read.dtype:
        return True
    if read.shape is None or shape is None:
        return read.shape is not None
    if read.is_input or len(shape) != len(read.shape):
        return list(shape) != list(read.shape)
    pairs = zip(read.shape, shape, strict=True)
    return any(old != new and (isinstance(old, int) or not isinstance(new, int)) for old, new in pairs)


def is_same_attribute(value: Any, source: onnx.AttributeProto, as_read: AsRead) -> bool:
    """Say whether a node carries the very value of an attribute of its source."""
    kind = onnx.AttributeProto
    if source.ref_attr_name:
        return isinstance(value, gs.Node.AttributeRef) and value.name == source.ref_attr_name
    if source.type == kind.GRAPH:
        return id(value) in as_read.graphs and as_read.graphs[id(value)].source is source.g
    if source.type == kind.TENSOR:
        return isinstance(value, gs.Constant) and is_same_tensor(value, source.t, as_read)
    if source.type in _LISTS:
        items = [each.decode() if isinstance(each, bytes) else each for each in getattr(source, _LISTS[source.type])]
        return isinstance(value, list) and len(value) == len(items) and all(map(_is_same, value, items))
    plain = {kind.INT: source.i, kind.FLOAT: source.f, kind.STRING: source.s}
    if source.type not in plain:  # graphs and the like, which no pass writes: what is plain now was put in their place
        return not isinstance(value, (int, float, str))
    given = plain[source.type]
    return _is_same(value, given.decode() if isinstance(given, bytes) else given)


def _is_same(value: Any, given: Any) -> bool:
    if type(value) is not type(given):
        return False
    return bool(value == given) or (isinstance(given, float) and math.isnan(value) and math.isnan(given))


def is_same_tensor(constant: gs.Constant, source: onnx.TensorProto, as_read: AsRead) -> bool:
    """Say whether a constant has the values that it was read with; a pass that looked at them has loaded them."""
    if isinstance(constant._values, LazyValues):
        return as_read.source_of(constant._values) is source
    if source.data_location == onnx.TensorProto.EXTERNAL:
        return False
    given = numpy_helper.to_array(source)
    values = constant._values
    is_like = (values.dtype, values.shape) == (given.dtype, given.shape)
    return bool(is_like and values.tobytes() == given.tobytes())


def tensor_proto(constant: gs.Constant, name: str, as_read: AsRead) -> onnx.TensorProto:
    """Return a constant as it is written under `name`: what was not loaded has the data that it was read with."""
    proto = onnx.TensorProto()
    values = constant._values
    if isinstance(values, SparseValues):
        raise GraphEditError("a sparse tensor cannot be given another place", where=constant.name)
    if isinstance(values, LazyValues):
        proto.CopyFrom(as_read.source_of(values) or values.tensor)
    else:
        try:
            proto.CopyFrom(constant_to_onnx_tensor(constant))
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise GraphEditError(f"cannot be written: {first_line(error)}", where=constant.name) from error
    proto.name = name
    return proto
