"""The types and shapes that ONNX infers, in spite of what exporters put in its way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx.shape_inference

from trtconv.model.external_data import with_small_tensors
from trtconv.model.light_copy import light_copy
from trtconv.model.walking import walk_graphs


def with_shapes(proto: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Return a light copy with inferred types; inference that fails on an invalid model leaves what it declares.

    `folder` is the model's, for external data.
    """
    inferable = _with_dynamic_dims(with_small_tensors(light_copy(proto), folder))
    try:
        return onnx.shape_inference.infer_shapes(inferable, data_prop=True)
    except Exception:
        return inferable


def _with_dynamic_dims(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with -1 for a dimension, as older exporters write a dynamic one, made unknown."""
    if not any(dim.dim_value < 0 for dim in _declared_dims(proto.graph)):
        return proto
    dynamic = onnx.ModelProto()
    dynamic.CopyFrom(proto)
    for dim in _declared_dims(dynamic.graph):
        if dim.dim_value < 0:
            dim.Clear()
    return dynamic


def _declared_dims(graph: onnx.GraphProto) -> Iterator[onnx.TensorShapeProto.Dimension]:
    for each in walk_graphs(graph):
        for value in (*each.input, *each.output, *each.value_info):
            yield from value.type.tensor_type.shape.dim
