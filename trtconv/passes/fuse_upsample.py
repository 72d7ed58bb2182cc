"""Fuse  Resize(Y) or Upsample(Y), nearest, by whole factors  ->  upsample of the op before or after it.

The plugins repeat elements: position i reads floor(i / f). Which of ONNX's ways to round give that is computed, with
exact fractions, from the formulas of its specification.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy.typing as npt
import onnx_graphsurgeon as gs

from trtconv.passes.base import NoMatch, PassContext
from trtconv.passes.constant_values import read_constants
from trtconv.passes.fusion import Fusion, Rule, is_op
from trtconv.passes.graph_edit import given_inputs, shape_of
from trtconv.passes.view_sizes import SizeReader
from trtconv.passes.views import Size

_HALF = Fraction(1, 2)
# (position in the result, factor) -> position in the input
_POSITIONS: Mapping[str, Callable[[int, int], Fraction]] = {
    "asymmetric": lambda i, factor: Fraction(i, factor),
    "half_pixel": lambda i, factor: (i + _HALF) / factor - _HALF,
    "half_pixel_symmetric": lambda i, factor: (i + _HALF) / factor - _HALF,
    "pytorch_half_pixel": lambda i, factor: (i + _HALF) / factor - _HALF,
    "tf_half_pixel_for_nn": lambda i, factor: (i + _HALF) / factor,
}
_ROUNDINGS: Mapping[str, Callable[[Fraction], int]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "round_prefer_floor": lambda x: math.ceil(x - _HALF),
    "round_prefer_ceil": lambda x: math.floor(x + _HALF),
}


def repeats_elements(factor: int, positions: str, rounding: str) -> bool:
    """Say whether nearest upsampling by a whole factor repeats each element that often, for any size.

    From one element to the next positions are alike; at the ends they are moved inside. An axis whose factor is 1 stays
    as it is, in whatever mode.
    """
    if factor == 1:
        return True
    if positions not in _POSITIONS or rounding not in _ROUNDINGS:
        return False
    inner = range(factor, 2 * factor)  # those of the second element of many
    return all(_ROUNDINGS[rounding](_POSITIONS[positions](i, factor)) == 1 for i in inner)


def _match(y: gs.Tensor, node: gs.Node, context: PassContext) -> Fusion | NoMatch:
    mode = node.attrs.get("mode", "nearest")
    if mode != "nearest":
        return NoMatch(f"its mode is {mode}, the plugin repeats elements")
    if node.inputs[0] is not y:
        return NoMatch("the tensor is not the input that it resizes")
    factors = _find_factors(y, node, context)
    if isinstance(factors, NoMatch):
        return factors
    if node.op == "Resize" and context.opset >= 11:
        positions = node.attrs.get("coordinate_transformation_mode", "half_pixel")
        rounding = node.attrs.get("nearest_mode", "round_prefer_floor")
        if not all(repeats_elements(factor, positions, rounding) for factor in factors):
            shown = "x".join(map(str, factors))
            return NoMatch(f"{positions} with {rounding} by {shown} does not repeat each element alike")
    return Fusion([node], f"upsampling by {'x'.join(map(str, factors))}", {"upsample": factors})


def _find_factors(y: gs.Tensor, node: gs.Node, context: PassContext) -> list[int] | NoMatch:
    """Return the whole factors of all axes."""
    dims = shape_of(y)
    if dims is None:
        return NoMatch("the rank of its input is unknown")
    given = _read_scales(node, context)
    if isinstance(given, NoMatch):
        return given
    by_sizes, values = given
    axes = node.attrs.get("axes") or list(range(len(dims)))
    axes = [axis % len(dims) for axis in axes]
    if len(values) != len(axes):
        return NoMatch(f"it has {len(values)} factors for {len(axes)} axes")
    if not all(isinstance(value, tuple) or math.isfinite(value) for value in values):
        return NoMatch("its factors are not finite")
    scales = [Fraction(1)] * len(dims)
    for axis, value in zip(axes, values, strict=True):
        size = dims[axis]
        if value == (axis,):  # as large as its input
            continue
        if by_sizes and not isinstance(size, int):
            return NoMatch("its sizes are given, and those of its input are not known")
        scales[axis] = Fraction(value) / size if by_sizes and isinstance(size, int) and size else Fraction(value)
    if any(scale < 1 or scale.denominator != 1 for scale in scales):
        return NoMatch(f"its factors are {', '.join(f'{float(scale):g}' for scale in scales)}, expected whole ones")
    return [int(scale) for scale in scales]


def _read_scales(node: gs.Node, context: PassContext) -> tuple[bool, Sequence[Any]] | NoMatch:
    """Return whether sizes are given, not factors, and the values; a size that is that of an axis is (axis,)."""
    if "scales" in node.attrs:  # Upsample before opset 9
        return False, node.attrs["scales"]
    inputs = given_inputs(node)
    scales_at = 1 if node.op == "Upsample" or context.opset < 11 else 2
    for by_sizes, position in ((False, scales_at), (True, 3)):
        tensor = inputs[position] if len(inputs) > position else None
        if tensor is None:
            continue
        value: npt.NDArray[Any] | NoMatch = read_constants([tensor], context.opset, context.folder)[tensor.name]
        if by_sizes and isinstance(value, NoMatch) and (sizes := _read_sizes(node.inputs[0], tensor, context)):
            return True, sizes
        if isinstance(value, NoMatch):
            return NoMatch(f"its {'sizes' if by_sizes else 'factors'} are only known at run time: {tensor.name}")
        if value.size:
            if by_sizes and node.attrs.get("keep_aspect_ratio_policy", "stretch") != "stretch":
                return NoMatch("it keeps the aspect ratio, its factors are not its sizes'")
            return by_sizes, value.reshape(-1).tolist()
    return NoMatch("it has neither factors nor sizes")


def _read_sizes(y: gs.Tensor, tensor: gs.Tensor, context: PassContext) -> list[Size] | None:
    """Return sizes that are computed of the shape of Y: numbers, and (axis,) for one that is as large as that of Y.

    None where some are neither.
    """

    def value_of(constant: gs.Tensor) -> npt.NDArray[Any] | None:
        (value,) = read_constants([constant], context.opset, context.folder).values()
        return None if isinstance(value, NoMatch) else value

    sizes = SizeReader(shape_of(y) or [], lambda _: None, value_of).read(tensor)
    return None if sizes is None or None in sizes or -1 in sizes else sizes


UPSAMPLE_RULE = Rule(2, lambda node: is_op(node, "Resize", "Upsample"), _match)
