"""Prove that two tensors have the same shape where shape inference knows some sizes by no name.

Inference makes up a new symbol for each size that it cannot compute, also behind a pad of 1 and a convolution that
takes 2 away again. Here such a size is followed back to a tensor whose size is known by itself, with what is added on
the way: by convolutions of stride 1, by pads, and by what keeps shapes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import onnx_graphsurgeon as gs

from trtconv.model.shape_inference import is_made_up
from trtconv.model.walking import is_onnx
from trtconv.ops.custom_op import Dim
from trtconv.ops.input_map import has_phases
from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.ops.output_map import padded_dims, spread
from trtconv.ops.reflect_pad import REFLECT_PAD
from trtconv.passes.base import NoMatch, PassContext, Site
from trtconv.passes.fusion import PluginNode, read_plugin_node
from trtconv.passes.graph_edit import dtype_of, shape_of
from trtconv.passes.pad_values import find_pads, read_pad_inputs

_KEEPS_SHAPE = frozenset(
    {"Relu", "LeakyRelu", "PRelu", "Elu", "Tanh", "Sigmoid", "Identity", "Cast", "Dropout", "Swish"}
    | {"BatchNormalization", "Clip", "Exp", "Neg", "Abs", "Softplus", "Erf", "HardSigmoid", "HardSwish", "Selu"}
)
_MAX_STEPS = 200

# A size: where it is from - a number's own place, a symbol, or an axis of a tensor - and what is added to that.
_Size = tuple[Hashable, int]


def are_same_shape(one: gs.Tensor, other: gs.Tensor, context: PassContext) -> bool:
    """Say whether two tensors have the same type and dimensions for any input that the graph takes."""
    dims, others = shape_of(one), shape_of(other)
    if dims is None or others is None or len(dims) != len(others) or dtype_of(one) != dtype_of(other):
        return False
    return all(
        (_is_named(dim) and dim == another) or _size(one, axis, context) == _size(other, axis, context)
        for axis, (dim, another) in enumerate(zip(dims, others, strict=True))
    )


def _is_named(dim: Dim) -> bool:
    return isinstance(dim, int) or (dim is not None and not is_made_up(dim))


def _size(tensor: gs.Tensor, axis: int, context: PassContext) -> _Size:
    """Follow the size of an axis back as far as it can be told what is added to it."""
    added = 0
    for _ in range(_MAX_STEPS):
        dims = shape_of(tensor)
        dim = dims[axis] if dims is not None and axis < len(dims) else None
        if isinstance(dim, int):
            return "number", dim + added
        if dim is not None and not is_made_up(dim):
            return dim, added
        step = _step_back(tensor, axis, context)
        if step is None:
            break
        tensor, added = step[0], added + step[1]
    return (id(tensor), axis), added


def _step_back(tensor: gs.Tensor, axis: int, context: PassContext) -> tuple[gs.Tensor, int] | None:
    """Return the tensor that a size comes from, and what is added to it; None where it comes from elsewhere."""
    node = tensor.inputs[0] if len(tensor.inputs) == 1 else None
    if node is None or not node.inputs or node.outputs[0] is not tensor:
        return None
    x = node.inputs[0]
    if plugin := read_plugin_node(node):
        added = _added_by_plugin(plugin, axis)
    elif not is_onnx(node.domain):
        return None
    elif node.op in _KEEPS_SHAPE or node.op == INSTANCE_NORM.form.op_type:
        added = 0
    elif node.op == "Conv":
        added = _added_by_conv(node, axis)
    elif node.op == REFLECT_PAD.form.op_type:
        added = _added_by_pad(node, axis, context)
    elif node.op in ("Add", "Sub", "Mul", "Div"):
        return _wider_operand(node, axis)
    else:
        return None
    return None if added is None else (x, added)


def _added_by_plugin(plugin: PluginNode, axis: int) -> int | None:
    rank = len(shape_of(plugin.inputs["X"]) or ())
    first = 2 if plugin.op is INSTANCE_NORM else 0
    if axis < first or not rank:
        return 0 if rank else None
    if "pads" not in plugin.attributes or has_phases(plugin.attributes):
        return None
    if spread(plugin.attributes["upsample"], rank - first)[axis - first] != 1:
        return None
    pads = spread(plugin.attributes["pads"], 2 * (rank - first))
    return _added_by(pads, axis - first)


def _added_by_conv(node: gs.Node, axis: int) -> int | None:
    """Return what a convolution of stride 1 adds to a spatial axis."""
    weight = shape_of(node.inputs[1]) if len(node.inputs) > 1 else None
    kernel: list[Any] = node.attrs.get("kernel_shape") or (weight or [])[2:]
    count, place = len(kernel), axis - 2
    if not 0 <= place < count or not isinstance(kernel[place], int):
        return None
    strides, dilations = (node.attrs.get(name) or [1] * count for name in ("strides", "dilations"))
    auto_pad = node.attrs.get("auto_pad", "NOTSET")
    if strides[place] != 1:
        return None
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        return 0
    pads = [0] * (2 * count) if auto_pad == "VALID" else node.attrs.get("pads") or [0] * (2 * count)
    taken: int = dilations[place] * (kernel[place] - 1)
    return _added_by(pads, place) - taken


def _added_by_pad(node: gs.Node, axis: int, context: PassContext) -> int | None:
    site = Site(gs.Graph(), node, node.name)
    try:
        (values,) = read_pad_inputs([site], context).values()
        found: Any = find_pads(site, values, context.opset)
    except Exception:  # a malformed node: others say so
        return None
    return None if isinstance(found, NoMatch) else _added_by(found.pads, axis)


def _added_by(pads: Sequence[int], place: int) -> int:
    (total,) = padded_dims([0], [pads[place], pads[place + len(pads) // 2]])
    assert isinstance(total, int)
    return total


def _wider_operand(node: gs.Node, axis: int) -> tuple[gs.Tensor, int] | None:
    """Return the operand whose size an axis has: that which is not broadcast over it, where that is known."""
    rank = max(len(shape_of(tensor) or ()) for tensor in node.inputs)
    rest = []
    for tensor in node.inputs:
        dims = shape_of(tensor)
        if dims is None:
            return None
        place = axis - rank + len(dims)
        if place < 0 or dims[place] == 1:
            continue
        if len(dims) != rank:
            return None
        rest.append(tensor)
    return (rest[0], 0) if len(rest) == 1 else None
