"""Copy a model without the data of its large tensors: inference and the checker copy what they are given several times.

No shape depends on these values; a pass that asks for them gets those of the model as it was read.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any

import onnx

MAX_LIGHT_ELEMENTS = 1 << 16
_DATA_FIELDS = frozenset({"raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"})


def light_copy(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which large initializers and constants, in branches too, have their type and shape alone."""
    light = onnx.ModelProto()
    _copy_all_but({"graph"}, proto, light)
    if proto.HasField("graph"):
        light.graph.SetInParent()
        _copy_graph(proto.graph, light.graph)
    return light


def lacks_data(tensor: onnx.TensorProto) -> bool:
    """Say whether a tensor is one of those that a light copy has no data of."""
    return _is_large(tensor) and not any(field.name in _DATA_FIELDS for field, _ in tensor.ListFields())


def _is_large(tensor: onnx.TensorProto) -> bool:
    return bool(math.prod(tensor.dims) > MAX_LIGHT_ELEMENTS)


def _copy_graph(source: onnx.GraphProto, target: onnx.GraphProto) -> None:
    _copy_all_but({"node", "initializer"}, source, target)
    for tensor in source.initializer:
        _copy_tensor(tensor, target.initializer.add())
    for node in source.node:
        _copy_node(node, target.node.add())


def _copy_node(source: onnx.NodeProto, target: onnx.NodeProto) -> None:
    if not any(attribute.HasField("g") or attribute.HasField("t") for attribute in source.attribute):
        target.CopyFrom(source)
        return
    _copy_all_but({"attribute"}, source, target)
    for attribute in source.attribute:
        copied = target.attribute.add()
        _copy_all_but({"g", "t"}, attribute, copied)
        if attribute.HasField("g"):
            copied.g.SetInParent()
            _copy_graph(attribute.g, copied.g)
        if attribute.HasField("t"):
            copied.t.SetInParent()
            _copy_tensor(attribute.t, copied.t)


def _copy_tensor(source: onnx.TensorProto, target: onnx.TensorProto) -> None:
    if _is_large(source):
        _copy_all_but(_DATA_FIELDS, source, target)
    else:
        target.CopyFrom(source)


def _copy_all_but(skipped: set[str] | frozenset[str], source: Any, target: Any) -> None:
    for field, value in source.ListFields():
        if field.name in skipped:
            continue
        if hasattr(value, "extend"):
            getattr(target, field.name).extend(value)
        elif hasattr(value, "CopyFrom"):
            getattr(target, field.name).CopyFrom(value)
        else:
            with contextlib.suppress(UnicodeDecodeError):  # a doc string or the like that is not UTF-8 is left out
                setattr(target, field.name, value)
