"""Where the custom ops write a result: nearest upsampling by whole factors, then pads, then another element type.

Factors and pads are lists with one entry an axis, pads with the begins of all axes before their ends. A list of one
entry counts for all axes and ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from trtconv import element_types
from trtconv.ops.custom_op import Attribute, Dim
from trtconv.ops.function_body import FunctionBody

PAD_MODES = ("reflect", "edge", "zero")
ONNX_PAD_MODES: Mapping[str, str] = {"reflect": "reflect", "edge": "edge", "zero": "constant"}
FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16})
_LARGEST_INT = int(np.iinfo(np.int32).max)  # a plugin's field holds int32


def whole_factors(values: Sequence[int]) -> str | None:
    """Say what is wrong with upsampling factors."""
    if not values or min(values) < 1 or max(values) > _LARGEST_INT:
        return f"must be whole factors from 1 to {_LARGEST_INT}, got {list(values)}"
    return None


def not_negative(values: Sequence[int]) -> str | None:
    """Say what is wrong with the values of pads, whatever their number."""
    if values and min(values) < 0:
        return f"must not be negative, got {list(values)}"
    if values and max(values) > _LARGEST_INT:
        return f"must be at most {_LARGEST_INT}, got {list(values)}"
    return None


def one_or_two_an_axis(values: Sequence[int]) -> str | None:
    """Say what is wrong with pads that may be one value for all ends."""
    if len(values) != 1 and (len(values) % 2 or not values):
        return f"must be one value, or two an axis, got {len(values)} values"
    return not_negative(values)


def _no_pad_mode(value: str) -> str | None:
    return None if value in PAD_MODES else f"must be one of {', '.join(PAD_MODES)}, got {value!r}"


def _no_float_type(value: int) -> str | None:
    if value == TensorProto.UNDEFINED or value in FLOATS:
        return None
    names = " or ".join(f"{dtype} ({element_types.name_of(dtype)})" for dtype in sorted(FLOATS))
    return f"must be 0 for the type of X, or {names}, got {value}"


UPSAMPLE = Attribute(list, whole_factors, default=[1])
PADS = Attribute(list, one_or_two_an_axis, default=[0])
PAD_MODE = Attribute(str, _no_pad_mode, default="reflect")
TO = Attribute(int, _no_float_type, default=0)


def spread(values: Sequence[int], count: int) -> list[int]:
    """Return one entry for each of `count`: of a list of one entry, that."""
    return list(values) * count if len(values) == 1 else list(values)


def find_bad_pad(dims: Sequence[Dim], pads: Sequence[int], mode: str = "reflect") -> int | None:
    """Return the first axis that is too short for its pads, or None: a reflection never reaches beyond its axis."""
    for axis, dim in enumerate(dims):
        largest = max(pads[axis], pads[axis + len(dims)])
        shortest = {"reflect": largest + 1, "edge": 1}.get(mode, 0)
        if isinstance(dim, int) and largest > 0 and dim < shortest:
            return axis
    return None


def padded_dims(dims: Sequence[Dim], pads: Sequence[int]) -> list[Dim]:
    """Return the dimensions after padding; one that is padded and not known stays unknown."""
    totals = [pads[axis] + pads[axis + len(dims)] for axis in range(len(dims))]
    return [
        dim + total if isinstance(dim, int) else (dim if total == 0 else None)
        for dim, total in zip(dims, totals, strict=True)
    ]


def upsampled_dims(dims: Sequence[Dim], factors: Sequence[int]) -> list[Dim]:
    """Return the dimensions after upsampling; one that is upsampled and not known stays unknown."""
    pairs = zip(dims, factors, strict=True)
    return [dim * factor if isinstance(dim, int) else (dim if factor == 1 else None) for dim, factor in pairs]


def placed_dims(dims: Sequence[Dim], upsample: Sequence[int], pads: Sequence[int]) -> list[Dim]:
    """Return the dimensions of what is upsampled and then padded."""
    return padded_dims(upsampled_dims(dims, spread(upsample, len(dims))), spread(pads, 2 * len(dims)))


def misfit(dims: Sequence[Dim], upsample: Sequence[int], pads: Sequence[int], mode: str, axes: str) -> str | None:
    """Return why factors and pads do not fit `dims`, the sizes of the `axes` of X, None where they do."""
    if len(upsample) not in (1, len(dims)):
        return f"upsample must be one value or {len(dims)} for {axes}, got {list(upsample)}"
    if len(pads) not in (1, 2 * len(dims)):
        return f"pads must be one value or {2 * len(dims)} for {axes}, got {list(pads)}"
    upsampled = upsampled_dims(dims, spread(upsample, len(dims)))
    axis = find_bad_pad(upsampled, spread(pads, 2 * len(dims)), mode)
    if axis is None:
        return None
    rule = "smaller than the axis that they reflect" if mode == "reflect" else "of an axis that has an edge"
    return f"pads {list(pads)} must be {rule}, axis {axis} of {axes} has size {upsampled[axis]}"


def element_bytes(to: int, bytes_of_x: int) -> int:
    """Return the size of an element of Y."""
    return element_types.BY_ONNX[to].num_bytes(1) if to else bytes_of_x


def place(y: npt.NDArray[Any], upsample: Sequence[int], pads: Sequence[int], mode: str) -> npt.NDArray[Any]:
    """Upsample and pad `y`; the lists speak of its last axes, those of one entry only where there is one.

    The formula of a reflection is that of ONNX Pad(mode=reflect): padded[i] = x[f(i - begin)] with f(j) = |j| below dim
    and 2 * (dim - 1) - j from there on.
    """
    num_axes = len(upsample)
    for number in range(num_axes):
        axis = y.ndim - num_axes + number
        y = y.repeat(upsample[number], axis=axis)
        begin, end, dim = pads[number], pads[number + num_axes], y.shape[axis]
        if begin == end == 0:
            continue
        position = np.arange(-begin, dim + end)
        if mode == "reflect":
            position = np.abs(position)
            y = y.take(np.where(position < dim, position, 2 * (dim - 1) - position), axis=axis)
        elif mode == "edge":
            y = y.take(position.clip(0, dim - 1), axis=axis)
        else:
            widths = [(0, 0)] * y.ndim
            widths[axis] = (begin, end)
            y = np.pad(y, widths)
    return y


def write_upsample(body: FunctionBody, y: str, upsample: Sequence[int]) -> str:
    """Write an upsampling of all axes into a function body."""
    return body.upsample(y, upsample) if any(factor != 1 for factor in upsample) else y


def write_pad(body: FunctionBody, y: str, pads: Sequence[int], mode: str) -> str:
    """Write pads of all axes into a function body."""
    return body.pad(y, pads, ONNX_PAD_MODES[mode]) if any(pads) else y


def write_cast(body: FunctionBody, y: str, to: int) -> str:
    """Write the change of type into a function body."""
    return body.add("Cast", [y], to=to) if to else y


def name_of(prefix: str, values: Sequence[int]) -> str:
    """Return a list as the part of a function's overload that tells it from others."""
    return prefix + "x".join(map(str, values))
