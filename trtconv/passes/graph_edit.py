"""The only place that changes a graph, and what passes ask about its tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_graphsurgeon as gs
from onnx import TensorProto
from onnx_graphsurgeon.exporters.onnx_exporter import dtype_to_onnx

from trtconv.errors import ModelError
from trtconv.passes.base import Site
from trtconv.plugin_ops import DOMAIN, AttributeValue, PluginOp, attributes_for

Dim = int | str | None


def become_plugin(
    site: Site, op: PluginOp, inputs: Sequence[gs.Tensor], attributes: Mapping[str, AttributeValue], opset: int
) -> None:
    """Turn a node into the custom `op`, in place: its name, its outputs and its position stay."""
    node = site.node
    node.attrs = attributes_for(op, attributes, opset)
    node.inputs = list(inputs)
    node.op, node.domain = op.name, DOMAIN


def require_x(site: Site) -> gs.Tensor:
    """Return a node's first input; raise ModelError where that or the output is missing."""
    inputs, outputs = site.node.inputs, site.node.outputs
    if not inputs or not inputs[0].name or len(outputs) != 1 or not outputs[0].name:
        what = (
            f"{site.node.op} has {len(inputs)} inputs and {len(outputs)} outputs, the first input and one output needed"
        )
        raise ModelError(what, where=site.address)
    x: gs.Tensor = inputs[0]
    return x


def given_inputs(node: gs.Node) -> list[gs.Tensor | None]:
    """Return a node's inputs, with None for an optional one that was left out."""
    return [tensor if tensor.name else None for tensor in node.inputs]


def shape_of(tensor: gs.Tensor) -> list[Dim] | None:
    """Return a tensor's dimensions, each an int, a symbol or None, or None when not even the rank is known.

    Older exporters write -1 for a dynamic dimension.
    """
    if tensor.shape is None:
        return None
    return [None if isinstance(dim, int) and dim < 0 else dim for dim in tensor.shape]


def dtype_of(tensor: gs.Tensor) -> int | None:
    """Return a tensor's ONNX element type, or None when it is unknown."""
    if tensor.dtype is None:
        return None
    return int(dtype_to_onnx(tensor.dtype)) or None  # 0 is UNDEFINED


def describe_dtype(dtype: int) -> str:
    """Return the name of an ONNX element type as people write it: float16, int32."""
    return str(TensorProto.DataType.Name(dtype)).lower()


def set_type(tensor: gs.Tensor, dtype: int | None, shape: Sequence[Dim] | None) -> None:
    """Give a tensor the type and shape that it lacks, for the value_info of the written model."""
    if isinstance(tensor, gs.Variable):
        if tensor.dtype is None and dtype is not None:
            tensor.dtype = dtype
        if tensor.shape is None and shape is not None:
            tensor.shape = list(shape)
