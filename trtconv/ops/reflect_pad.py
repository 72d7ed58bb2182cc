"""trtconv::ReflectPad(X) -> Y    X and Y of rank >= 1; pads in ONNX order, begins then ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from trtconv.ops.custom_op import MAX_RANK, Attribute, Attributes, CustomOp, Dim, OnnxForm, Operand, reference_to

_LARGEST_PAD = int(np.iinfo(np.int32).max)  # a plugin's field holds int32


def reflect_pad_reference(x: npt.NDArray[Any], pads: Sequence[int]) -> npt.NDArray[Any]:
    """Pad `x` by reflection without repeating the border; `pads` holds all begins, then all ends, each < its dimension.

    The formula is that of ONNX Pad(mode=reflect): padded[i] = x[f(i - begin)] with f(j) = |j| below dim and
    2 * (dim - 1) - j from there on.
    """
    for axis in range(x.ndim):
        begin, end, dim = pads[axis], pads[axis + x.ndim], x.shape[axis]
        position = np.abs(np.arange(-begin, dim + end))
        x = x.take(np.where(position < dim, position, 2 * (dim - 1) - position), axis=axis)
    return x


def find_bad_pad(dims: Sequence[Dim], pads: Sequence[int]) -> int | None:
    """Return the first axis whose pad reaches beyond its known dimension, which ONNX forbids, or None."""
    for axis, dim in enumerate(dims):
        largest = max(pads[axis], pads[axis + len(dims)])
        if isinstance(dim, int) and largest > 0 and largest >= dim:
            return axis
    return None


def padded_dims(dims: Sequence[Dim], pads: Sequence[int]) -> list[Dim]:
    """Return the dimensions after padding; one that is padded and not known stays unknown."""
    totals = [pads[axis] + pads[axis + len(dims)] for axis in range(len(dims))]
    return [
        dim + total if isinstance(dim, int) else (dim if total == 0 else None)
        for dim, total in zip(dims, totals, strict=True)
    ]


def _two_an_axis(pads: Sequence[int]) -> str | None:
    if len(pads) % 2 or not pads:
        return f"must be two values an axis, got {len(pads)} values"
    if min(pads) < 0:
        return f"must not be negative, got {list(pads)}"
    if max(pads) > _LARGEST_PAD:
        return f"must be at most {_LARGEST_PAD}, got {list(pads)}"
    return None


def _misfit(operands: Sequence[Operand], attributes: Attributes) -> str | None:
    """There are two pads for each axis, and each is below the axis that it reflects."""
    dims, pads = operands[0].dims, cast("list[int]", attributes["pads"])
    if dims is None:
        return None
    if len(pads) != 2 * len(dims):
        return f"pads must be {2 * len(dims)} values for X of rank {len(dims)}, got {pads}"
    axis = find_bad_pad(dims, pads)
    if axis is None:
        return None
    return f"pads {pads} must be smaller than the axis that they reflect, axis {axis} of x has size {dims[axis]}"


def _output_dims(dims: Sequence[Dim], attributes: Attributes) -> list[Dim]:
    return padded_dims(dims, cast("list[int]", attributes["pads"]))


def _bytes_moved(dims: Sequence[int], element_bytes: int, attributes: Attributes) -> int:
    """X is read once and Y written once."""
    padded = cast("list[int]", _output_dims(dims, attributes))
    return (math.prod(dims) + math.prod(padded)) * element_bytes


def _body(opset: int) -> list[onnx.NodeProto]:
    if opset < 11:
        pad = helper.make_node("Pad", ["X"], ["Y"], mode="reflect")
        pad.attribute.append(reference_to("paddings" if opset < 2 else "pads", onnx.AttributeProto.INTS, of="pads"))
        return [pad]
    constant = helper.make_node("Constant", [], ["pads"])
    if opset in _PADS_TENSOR_OPSETS:
        constant.attribute.append(reference_to("value", onnx.AttributeProto.TENSOR, of="pads_tensor"))
    else:
        constant.attribute.append(reference_to("value_ints", onnx.AttributeProto.INTS, of="pads"))
    return [constant, helper.make_node("Pad", ["X", "pads"], ["Y"], mode="reflect")]


# Since opset 11 Pad takes its pads as an input, but Constant cannot be made of a list of integers before opset 12.
_PADS_TENSOR_OPSETS = frozenset({11})

REFLECT_PAD = CustomOp(
    name="ReflectPad",
    replaces="Pad(reflect)",
    replaces_long="Pad(mode=reflect)",
    form=OnnxForm(
        op_type="Pad",
        title=lambda attributes: f"Pad({attributes.get('mode', 'constant')})",
        inputs={"pads": 1, "constant_value": 2, "axes": 3},  # since opset 11; attributes of these names before
        attributes=("pads", "paddings", "value"),
        small_inputs=frozenset({"pads", "constant_value", "axes"}),
        others="Pads of other modes",
        why_not_others="the plugin pads by reflection only",
    ),
    kind="pad",
    inputs=("X",),
    attributes={"pads": Attribute(list, _two_an_axis, tensor_opsets=_PADS_TENSOR_OPSETS)},
    dtypes=frozenset(
        {
            TensorProto.FLOAT,
            TensorProto.FLOAT16,
            TensorProto.BFLOAT16,
            TensorProto.INT64,
            TensorProto.INT32,
            TensorProto.INT8,
            TensorProto.BOOL,
        }
    ),
    no_dtype="TensorRT gives plugins no tensors of",
    ranks=range(1, MAX_RANK + 1),
    misfit=_misfit,
    output_dims=_output_dims,
    bytes_moved=_bytes_moved,
    reference=reflect_pad_reference,
    body=_body,
)
