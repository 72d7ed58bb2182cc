"""trtconv::DynamicReflectPad(X, begins, ends) -> Y    X and Y of rank >= 1; the pads are the dimensions of the others.

TensorRT tells a plugin the dimensions of its inputs when they are known, but not the values of a shape tensor. So pads
that are computed at run time are the dimensions of two int32 tensors, whose values nobody reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from trtconv import element_types
from trtconv.ops.custom_op import MAX_RANK, Attribute, Call, Dim
from trtconv.ops.output_map import find_bad_pad
from trtconv.ops.reflect_pad import REFLECT_PAD, reflect_pad_reference


def dynamic_reflect_pad_reference(
    x: npt.NDArray[Any], begins: npt.NDArray[Any], ends: npt.NDArray[Any], rank: Sequence[int] = ()
) -> npt.NDArray[Any]:
    """Pad `x` by reflection; `begins` and `ends` have as many elements along an axis as it gets before and after it."""
    return reflect_pad_reference(x, [*begins.shape, *ends.shape])


def _one_rank(rank: Sequence[int]) -> str | None:
    if len(rank) == 1 and 1 <= rank[0] <= MAX_RANK:
        return None
    return f"must be one value from 1 to {MAX_RANK}, got {list(rank)}"


def _misfit(call: Call) -> str | None:
    """All inputs have the rank that the attribute says, and known pads are below the axis that they reflect."""
    operands, rank = call.operands, call.attributes["rank"][0]
    for role, operand in zip(("X", "begins", "ends"), operands, strict=True):
        if operand.dims is not None and len(operand.dims) != rank:
            return f"{role} has rank {len(operand.dims)}, expected {rank}"
        if role != "X" and operand.dtype not in (None, TensorProto.INT32):
            return f"{role} is of type {element_types.name_of(operand.dtype)}, expected int32"
    dims, pads = operands[0].dims, [dim for each in operands[1:] for dim in each.dims or [None] * rank]
    axis = None if dims is None else find_bad_pad(dims, [pad if isinstance(pad, int) else 0 for pad in pads])
    if dims is None or axis is None:
        return None
    return f"pads {pads} must be smaller than the axis that they reflect, axis {axis} of X has size {dims[axis]}"


def _output_dims(dims: Sequence[Dim], values: Mapping[str, Any]) -> list[Dim]:
    return [None] * len(dims)


def _bytes_moved(dims: Sequence[int], element_bytes: int, values: Mapping[str, Any], roles: Sequence[str]) -> int:
    """X is read once; how much is written depends on the pads, which are small."""
    return 2 * math.prod(dims) * element_bytes


def _body(opset: int, call: Call) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Shape", ["begins"], ["before"]),
        helper.make_node("Shape", ["ends"], ["after"]),
        helper.make_node("Concat", ["before", "after"], ["pads"], axis=0),
        helper.make_node("Pad", ["X", "pads"], ["Y"], mode="reflect"),
    ]


DYNAMIC_REFLECT_PAD = replace(
    REFLECT_PAD,
    name="DynamicReflectPad",
    inputs=("X", "begins", "ends"),
    attributes={"rank": Attribute(list, _one_rank)},
    misfit=_misfit,
    output_dims=_output_dims,
    bytes_moved=_bytes_moved,
    reference=dynamic_reflect_pad_reference,
    body=_body,
    overload=lambda call: "",
)
