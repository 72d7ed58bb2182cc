"""The only place that changes a graph, and what passes ask about its tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_graphsurgeon as gs
from onnx_graphsurgeon.exporters.onnx_exporter import dtype_to_onnx

from trtconv import element_types
from trtconv.errors import ModelError
from trtconv.ops.custom_op import DOMAIN, AttributeValue, CustomOp, Dim, Operand, attributes_for
from trtconv.passes.base import Site


def become_plugin(
    site: Site, op: CustomOp, inputs: Sequence[gs.Tensor], attributes: Mapping[str, AttributeValue], opset: int
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
    """Return a tensor's dimensions, each an int, a symbol or None, or None when not even the rank is known."""
    return None if tensor.shape is None else list(tensor.shape)


def dtype_of(tensor: gs.Tensor) -> int | None:
    """Return a tensor's ONNX element type, or None when it is unknown."""
    if tensor.dtype is None:
        return None
    return int(dtype_to_onnx(tensor.dtype)) or None  # 0 is UNDEFINED


def operand_of(tensor: gs.Tensor) -> Operand:
    """Return what is known of a tensor, as the rules of the custom ops ask for it."""
    return Operand(dtype_of(tensor), shape_of(tensor))


def describe_dtype(dtype: int) -> str:
    """Return the name of an ONNX element type as people write it: float32, int32."""
    return element_types.name_of(dtype)


def set_type(tensor: gs.Tensor, dtype: int | None, shape: Sequence[Dim] | None) -> None:
    """Give a tensor the type and the sizes that shape inference did not find, for the written value_info."""
    if not isinstance(tensor, gs.Variable):
        return
    if tensor.dtype is None and dtype is not None:
        tensor.dtype = dtype
    known = shape_of(tensor)
    if shape is None or (known is not None and len(known) != len(shape)):
        return
    tensor.shape = (
        list(shape)
        if known is None
        else [
            new if isinstance(new, int) and not isinstance(old, int) else old
            for old, new in zip(known, shape, strict=True)
        ]
    )
