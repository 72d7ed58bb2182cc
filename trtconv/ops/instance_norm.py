"""trtconv::InstanceNorm(X, scale, bias) -> Y    X and Y [N, C, D1..Dk], k >= 1; scale and bias [C]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from trtconv import element_types
from trtconv.ops.custom_op import MAX_RANK, Attribute, Attributes, CustomOp, Dim, OnnxForm, Operand, reference_to

DEFAULT_EPSILON = 1e-5  # ONNX's own
_LARGEST_FLOAT = float(np.finfo(np.float32).max)  # a plugin's field holds float32


def instance_norm_reference(
    x: npt.NDArray[Any], scale: npt.NDArray[Any], bias: npt.NDArray[Any], epsilon: float
) -> npt.NDArray[np.float64]:
    """Normalise each [n, c] slice of `x` [N, C, D1..Dk] in float64: scale * (x - mean) / sqrt(var + epsilon) + bias.

    var is the population variance; the formula is that of ONNX InstanceNormalization.
    """
    x = x.astype(np.float64)
    axes = tuple(range(2, x.ndim))
    per_channel = (1, -1) + (1,) * len(axes)
    deviation = x - x.mean(axis=axes, keepdims=True)
    variance = np.square(deviation).mean(axis=axes, keepdims=True)
    normalised: npt.NDArray[np.float64] = deviation / np.sqrt(variance + epsilon)
    return scale.astype(np.float64).reshape(per_channel) * normalised + bias.astype(np.float64).reshape(per_channel)


def _not_negative(value: float) -> str | None:
    if 0 <= value <= _LARGEST_FLOAT:
        return None
    return f"must be a number not below 0, got {value:g}"


def _misfit(operands: Sequence[Operand], attributes: Attributes) -> str | None:
    """Each of scale and bias holds one value a channel, of the type of X."""
    x = operands[0]
    channels = None if x.dims is None else x.dims[1]
    for role, operand in zip(("scale", "bias"), operands[1:], strict=True):
        if operand.dims is not None:
            length = operand.dims[0] if len(operand.dims) == 1 else None
            is_known = isinstance(length, int) and isinstance(channels, int)
            if len(operand.dims) != 1 or (is_known and length != channels):
                return f"{role} has shape {list(operand.dims)}, expected [{'C' if channels is None else channels}]"
        if operand.dtype is not None and x.dtype is not None and operand.dtype != x.dtype:
            given, expected = (element_types.name_of(dtype) for dtype in (operand.dtype, x.dtype))
            return f"{role} is of type {given}, expected {expected}, the type of X"
    return None


def _output_dims(dims: Sequence[Dim], attributes: Attributes) -> list[Dim]:
    return list(dims)


def _bytes_moved(dims: Sequence[int], element_bytes: int, attributes: Attributes) -> int:
    """X is read once and Y written once; scale and bias are next to nothing."""
    return 2 * math.prod(dims) * element_bytes


def _body(opset: int) -> list[onnx.NodeProto]:
    node = helper.make_node("InstanceNormalization", ["X", "scale", "bias"], ["Y"])
    node.attribute.append(reference_to("epsilon", onnx.AttributeProto.FLOAT))
    return [node]


INSTANCE_NORM = CustomOp(
    name="InstanceNorm",
    replaces="InstanceNormalization",
    replaces_long="InstanceNormalization",
    form=OnnxForm(
        op_type="InstanceNormalization",
        title=lambda attributes: "InstanceNormalization",
        inputs={"scale": 1, "bias": 2},
        attributes=("epsilon",),
    ),
    kind="norm",
    inputs=("X", "scale", "bias"),
    attributes={"epsilon": Attribute(float, _not_negative, default=DEFAULT_EPSILON)},
    dtypes=frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16}),
    no_dtype="the plugin has no kernel for",
    ranks=range(3, MAX_RANK + 1),
    misfit=_misfit,
    output_dims=_output_dims,
    bytes_moved=_bytes_moved,
    reference=instance_norm_reference,
    body=_body,
)
