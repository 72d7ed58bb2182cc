"""trtconv::InstanceNorm(X, scale, bias [, residual] [, slope]) -> Y    X [N, C, D1..Dk], k >= 1.

Y = place(activate(scale * (X - mean) / sqrt(var + epsilon) + bias + residual)); mean and var of each channel or, with
`groups`, of C / groups neighbouring channels. scale and bias are [C] or, for each image its own, [N, C]; residual has
the shape of X, or is larger by `residual_pads`, which are left out; slope [C] is there for activation prelu alone. With
`phases` all of this speaks of X with its phases in place (input_map.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from trtconv import element_types
from trtconv.ops import activations, input_map, output_map
from trtconv.ops.custom_op import MAX_RANK, Attribute, Call, CustomOp, Dim, OnnxForm, Operand
from trtconv.ops.instance_norm_function import RESIDUAL, SLOPE, name_overload, write_body
from trtconv.ops.output_map import padded_dims, spread

DEFAULT_EPSILON = 1e-5  # ONNX's own
_LARGEST_FLOAT = float(np.finfo(np.float32).max)  # a plugin's field holds float32
_LARGEST_INT = int(np.iinfo(np.int32).max)

Array = npt.NDArray[Any]


def instance_norm_reference(
    x: Array,
    scale: Array,
    bias: Array,
    epsilon: float,
    *,
    residual: Array | None = None,
    slope: Array | None = None,
    activation: str = activations.NONE,
    alpha: float = 0.0,
    groups: int = 0,
    upsample: Sequence[int] = (1,),
    pads: Sequence[int] = (0,),
    pad_mode: str = "reflect",
    residual_pads: Sequence[int] = (0,),
    to: int = 0,
    phases: Sequence[int] = (1,),
    crop: Sequence[int] = (0,),
) -> npt.NDArray[np.float64]:
    """Return Y in float64, before it is rounded to its type, which `to` says.

    var is the population variance; without the rest, the formula is that of ONNX InstanceNormalization.
    """
    x, num_axes = input_map.put_in_place(x, phases, crop), x.ndim - 2
    y = _normalised(x.astype(np.float64), epsilon, groups)
    y = _of_channels(scale, num_axes) * y + _of_channels(bias, num_axes)
    if residual is not None:
        y = y + _inside(residual, spread(residual_pads, 2 * num_axes)).astype(np.float64)
    y = activations.activate(y, activation, alpha if slope is None else _of_channels(slope, num_axes))
    return output_map.place(y, spread(upsample, num_axes), spread(pads, 2 * num_axes), pad_mode)


def _normalised(x: npt.NDArray[np.float64], epsilon: float, groups: int) -> npt.NDArray[np.float64]:
    slices = x.reshape(x.shape[0], groups or x.shape[1], -1 if x.size else 0)
    deviation = slices - slices.mean(axis=2, keepdims=True)
    variance = np.square(deviation).mean(axis=2, keepdims=True)
    normalised: npt.NDArray[np.float64] = (deviation / np.sqrt(variance + epsilon)).reshape(x.shape)
    return normalised


def _of_channels(values: Array, num_axes: int) -> npt.NDArray[np.float64]:
    """Return [C] or [N, C] as it is broadcast over [N, C, D1..Dk]."""
    rows = values.astype(np.float64) if values.ndim == 2 else values.astype(np.float64).reshape(1, -1)
    return rows.reshape(rows.shape + (1,) * num_axes)


def _inside(residual: Array, pads: Sequence[int]) -> Array:
    num_axes = len(pads) // 2
    ends = zip(pads[:num_axes], pads[num_axes:], residual.shape[2:], strict=True)
    kept = tuple(slice(begin, size - end) for begin, end, size in ends)
    whole = (slice(None), slice(None))
    return residual[whole + kept]


def _not_negative(value: float) -> str | None:
    if 0 <= value <= _LARGEST_FLOAT:
        return None
    return f"must be a number not below 0, got {value:g}"


def _no_group_count(value: int) -> str | None:
    if 0 <= value <= _LARGEST_INT:
        return None
    return f"must be 0 for each channel by itself, or a number of groups, got {value}"


def _optional_roles(count: int, values: Mapping[str, Any]) -> tuple[str, ...] | None:
    slopes = (SLOPE,) if values["activation"] == activations.PRELU else ()
    residuals = {len(slopes): (), len(slopes) + 1: (RESIDUAL,)}
    return (*residuals[count], *slopes) if count in residuals else None


def _misfit(call: Call) -> str | None:
    """Parameters hold one value a channel, tensors fit each other, and all have the type of X."""
    values, given = call.attributes, call.operands[0]
    phases, crop = values["phases"], values["crop"]
    if problem := input_map.misfit(given.dims, phases, crop):
        return problem
    x = Operand(given.dtype, None if given.dims is None else input_map.dims_in_place(given.dims, phases, crop))
    checks = (
        activations.misfit(values),
        *(_parameter_misfit(role, call.operand(role), x) for role in ("scale", "bias", SLOPE)),
        _ranks_misfit(call.operand("scale"), call.operand("bias")),
        *(_dtype_misfit(role, call.operand(role), x) for role in call.roles[1:]),
        _groups_misfit(values["groups"], x),
        _residual_misfit(call, x),
        _map_misfit(values, x),
        _type_misfit(values["to"], x),
    )
    return next(filter(None, checks), None)


def _parameter_misfit(role: str, operand: Operand, x: Operand) -> str | None:
    if operand.dims is None:
        return None
    batch, channels = (None, None) if x.dims is None else x.dims[:2]
    expected = [channels] if role == SLOPE or len(operand.dims) != 2 else [batch, channels]
    if len(operand.dims) == len(expected) and _may_be_equal(operand.dims, expected):
        return None
    return f"{role} has shape {list(operand.dims)}, expected [{'C' if channels is None else channels}]" + (
        "" if role == SLOPE else f" or [{'N' if batch is None else batch}, {'C' if channels is None else channels}]"
    )


def _ranks_misfit(scale: Operand, bias: Operand) -> str | None:
    if scale.dims is None or bias.dims is None or len(scale.dims) == len(bias.dims):
        return None
    return f"scale has shape {list(scale.dims)}, bias {list(bias.dims)}: expected both of one rank"


def _dtype_misfit(role: str, operand: Operand, x: Operand) -> str | None:
    if operand.dtype is None or x.dtype is None or operand.dtype == x.dtype:
        return None
    given, expected = (element_types.name_of(dtype) for dtype in (operand.dtype, x.dtype))
    return f"{role} is of type {given}, expected {expected}, the type of X"


def _groups_misfit(groups: int, x: Operand) -> str | None:
    channels = None if x.dims is None else x.dims[1]
    if groups == 0 or not isinstance(channels, int) or channels % groups == 0:
        return None
    return f"groups {groups} do not divide the {channels} channels"


def _residual_misfit(call: Call, x: Operand) -> str | None:
    pads, residual = call.attributes["residual_pads"], call.operand(RESIDUAL)
    if RESIDUAL not in call.roles and any(pads):
        return f"residual_pads are {list(pads)}, and there is no residual"
    if x.dims is None:
        return None
    num_axes = len(x.dims) - 2
    if len(pads) not in (1, 2 * num_axes):
        return f"residual_pads must be one value or {2 * num_axes}, got {list(pads)}"
    expected = [*x.dims[:2], *padded_dims(x.dims[2:], spread(pads, 2 * num_axes))]
    if residual.dims is None or _may_be_equal(residual.dims, expected):
        return None
    return f"residual has shape {list(residual.dims)}, expected {expected}"


def _map_misfit(values: Mapping[str, Any], x: Operand) -> str | None:
    if x.dims is None:
        return None
    upsample, pads, mode = values["upsample"], values["pads"], values["pad_mode"]
    return output_map.misfit(x.dims[2:], upsample, pads, mode, "the spatial axes")


def _type_misfit(to: int, x: Operand) -> str | None:
    if not to or x.dtype in (None, TensorProto.FLOAT, to):
        return None
    name = element_types.name_of(x.dtype)
    return f"to changes the type of float32 alone: a result in {name} was rounded before"


def _may_be_equal(dims: Sequence[Dim], expected: Sequence[Dim]) -> bool:
    pairs = zip(dims, expected, strict=False)
    return len(dims) == len(expected) and all(
        one == other or not isinstance(one, int) or not isinstance(other, int) for one, other in pairs
    )


def _output_dims(dims: Sequence[Dim], values: Mapping[str, Any]) -> list[Dim]:
    values = INSTANCE_NORM.complete(values)
    dims = input_map.dims_in_place(dims, values["phases"], values["crop"])
    return [*dims[:2], *output_map.placed_dims(dims[2:], values["upsample"], values["pads"])]


def _bytes_moved(dims: Sequence[int], element_bytes: int, values: Mapping[str, Any], roles: Sequence[str]) -> int:
    """X and the residual are read once and Y written once; scale, bias and slope are next to nothing."""
    complete = INSTANCE_NORM.complete(values)
    added = input_map.dims_in_place(dims, complete["phases"], complete["crop"]) if RESIDUAL in roles else [0]
    num_read = math.prod(dims) + math.prod(size for size in added if isinstance(size, int))
    num_written = math.prod(size for size in _output_dims(dims, values) if isinstance(size, int))
    return num_read * element_bytes + num_written * output_map.element_bytes(values.get("to", 0), element_bytes)


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
    optional_inputs=(RESIDUAL, SLOPE),
    optional_roles=_optional_roles,
    attributes={
        "epsilon": Attribute(float, _not_negative, default=DEFAULT_EPSILON),
        **activations.attributes(activations.ACTIVATIONS),
        "groups": Attribute(int, _no_group_count, default=0),
        "upsample": output_map.UPSAMPLE,
        "pads": output_map.PADS,
        "pad_mode": output_map.PAD_MODE,
        "residual_pads": output_map.PADS,
        "to": output_map.TO,
        **input_map.ATTRIBUTES,
    },
    dtypes=frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16}),
    no_dtype="the plugin has no kernel for",
    ranks=range(3, MAX_RANK + 1),
    misfit=_misfit,
    output_dims=_output_dims,
    bytes_moved=_bytes_moved,
    reference=instance_norm_reference,
    body=write_body,
    overload=name_overload,
)
