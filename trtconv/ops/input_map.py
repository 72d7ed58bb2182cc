"""What the custom ops make of X before anything else: its phases are put in place, and what is left over is cropped.

A convolution that computes b neighbouring positions of an axis at once writes each of them, a phase, as a block of
channels. Phases and crops are lists with one entry a spatial axis; a list of one entry counts for all. With B the
product of the phases, X is [N, B*C, d1..dk], and the op works on Xp [N, C, d1*b1 - crop1, ...]:

    Xp[n, c, i1, ...] = X[n, p*C + c, i1 // b1, ...]    p = (p1*b2 + p2)*b3 + ..., pa = ia % ba

For two axes with equal phases that is ONNX DepthToSpace(mode=DCR).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from trtconv.ops import output_map
from trtconv.ops.custom_op import Attribute, Dim
from trtconv.ops.function_body import FunctionBody
from trtconv.ops.output_map import spread


def _no_crop(values: Sequence[int]) -> str | None:
    return output_map.not_negative(values) if values else "must be one value, or one an axis, got none"


ATTRIBUTES: Mapping[str, Attribute] = {
    "phases": Attribute(list, output_map.whole_factors, default=[1]),
    "crop": Attribute(list, _no_crop, default=[0]),
}


def has_phases(values: Mapping[str, Any]) -> bool:
    """Say whether an op with these attributes puts phases in place."""
    return any(factor != 1 for factor in values.get("phases", ()))


def misfit(dims: Sequence[Dim] | None, phases: Sequence[int], crop: Sequence[int]) -> str | None:
    """Return why phases and crops of the spatial axes do not fit `dims`, those of X, None where they do."""
    count = max(len(phases), len(crop)) if dims is None else max(len(dims) - 2, 0)
    for name, values in (("phases", phases), ("crop", crop)):
        if len(values) not in (1, count):
            return f"{name} must be one value or {count} for the spatial axes, got {list(values)}"
    for factor, left_over in zip(spread(phases, count), spread(crop, count), strict=True):
        if left_over >= factor and left_over > 0:
            return f"crop {list(crop)} must be below the phases {list(phases)}"
    num_phases = math.prod(spread(phases, count))
    channels = None if dims is None or num_phases == 1 else dims[1]
    if isinstance(channels, int) and channels % num_phases:
        return f"the {num_phases} phases do not divide the {channels} channels"
    return None


def dims_in_place(dims: Sequence[Dim], phases: Sequence[int], crop: Sequence[int]) -> list[Dim]:
    """Return the dimensions of Xp for those of X, [N, C, D1..Dk] where there are phases; None for what is not known."""
    if all(factor == 1 for factor in phases):
        return list(dims)
    factors, ends = spread(phases, len(dims) - 2), spread(crop, len(dims) - 2)
    channels = dims[1] // math.prod(factors) if isinstance(dims[1], int) else None
    sizes = [
        max(dim * factor - end, 0) if isinstance(dim, int) else (dim if factor == 1 else None)
        for dim, factor, end in zip(dims[2:], factors, ends, strict=True)
    ]
    return [dims[0], channels, *sizes]


def put_in_place(x: npt.NDArray[Any], phases: Sequence[int], crop: Sequence[int]) -> npt.NDArray[Any]:
    """Return Xp of X [N, C, D1..Dk]; without phases X may have any rank."""
    if all(factor == 1 for factor in phases):
        return x
    num_axes = x.ndim - 2
    factors, dims = spread(phases, num_axes), dims_in_place(x.shape, phases, [0])
    blocks = x.reshape(x.shape[0], *factors, -1 if x.size else 0, *x.shape[2:])
    placed = blocks.transpose(_order(num_axes)).reshape(dims)
    kept = tuple(slice(size - end) for size, end in zip(placed.shape[2:], spread(crop, num_axes), strict=True))
    whole = (slice(None), slice(None))
    inside: npt.NDArray[Any] = placed[whole + kept]
    return inside


def _order(num_axes: int) -> list[int]:
    """Return the axes of [N, b1..bk, C, d1..dk] in the order N, C, d1, b1, ..., dk, bk."""
    channels = 1 + num_axes
    return [0, channels, *(axis for number in range(num_axes) for axis in (channels + 1 + number, 1 + number))]


def name_of(phases: Sequence[int], crop: Sequence[int]) -> str:
    """Return phases and crops as the part of a function's overload that tells it from others."""
    if all(factor == 1 for factor in phases):
        return ""
    name = output_map.name_of("phases", phases)
    return f"{name}_{output_map.name_of('crop', crop)}" if any(crop) else name


def write(body: FunctionBody, x: str, phases: Sequence[int], crop: Sequence[int]) -> str:
    """Write Xp into a function body, for phases and crops of all spatial axes; `x` where there are no phases."""
    if all(factor == 1 for factor in phases):
        return x
    num_axes, num_phases = len(phases), math.prod(phases)
    shape = body.add("Shape", [x])
    ones = [1] * num_axes
    placed = body.add("Mul", [shape, body.integers([1, 1, *phases])])
    placed = body.add("Div", [placed, body.integers([1, num_phases, *ones])])
    batch, channels, sizes = (body.part(*part) for part in ((shape, 0, 1), (placed, 1, 2), (shape, 2, 2 + num_axes)))
    split = body.add("Concat", [batch, body.integers(phases), channels, sizes], axis=0)
    blocks = body.add("Transpose", [body.add("Reshape", [x, split])], perm=_order(num_axes))
    y = body.add("Reshape", [blocks, placed])
    return body.slice(y, [0] * (2 + num_axes), [0, 0, *crop]) if any(crop) else y
