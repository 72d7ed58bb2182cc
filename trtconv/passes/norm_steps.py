"""What the elementwise nodes of a norm give, as steps of norm_reader.py."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import onnx_graphsurgeon as gs

from trtconv import element_types
from trtconv.passes import moments
from trtconv.passes.graph_edit import dtype_of, given_inputs
from trtconv.passes.moments import NotMoments
from trtconv.passes.norm_reader import Quantity, Reader, Step

_LARGEST_FLOAT, _LARGEST_HALF = 3.4e38, 65504.0


def _add(reader: Reader, node: gs.Node) -> Quantity:
    (first, *rest), view = reader.operands(node)
    for other in rest:
        first = moments.plus(first, other, -1.0 if node.op == "Sub" else 1.0)
    return Quantity(first, view)


def _multiply(reader: Reader, node: gs.Node) -> Quantity:
    if node.op == "Mul" and _are_equal(reader, *node.inputs):
        (base, _), view = reader.operands(node, is_squared=True)
        return Quantity(moments.times(base, base), view, is_square=True)
    (first, second), view = reader.operands(node)
    if node.op == "Div":
        second = moments.power(second, -1.0)
    return Quantity(moments.times(first, second), view)


def _are_equal(reader: Reader, one: gs.Tensor, other: gs.Tensor) -> bool:
    """Say whether two factors are one tensor, or the absolute values of one: their product is a square."""
    first, second = (reader.reading.quantities.get(id(tensor)) for tensor in (one, other))
    if first is None or second is None:
        return False
    if one is other or not (first.is_absolute and second.is_absolute and first.view == second.view):
        return one is other
    return not moments.plus(first.moments, second.moments, -1.0).terms


def _raise_to(reader: Reader, node: gs.Node) -> Quantity:
    (base, exponent), view = reader.operands(node, is_squared=True)
    number = exponent.terms.get(moments.ONE, 0.0)
    if not exponent.terms.keys() <= {moments.ONE} or not isinstance(number, float):
        raise NotMoments("an exponent is not one constant")
    is_even = number % 2 == 0
    if not is_even:
        reader.operands(node)  # an absolute value has no other power
    return Quantity(moments.power(base, number), view, is_square=is_even and number > 0)


def _root(reader: Reader, node: gs.Node) -> Quantity:
    base = reader.quantity(node.inputs[0])
    return Quantity(moments.power(base.moments, 0.5 if node.op == "Sqrt" else -1.0), base.view)


def _negate(reader: Reader, node: gs.Node) -> Quantity:
    base = reader.quantity(node.inputs[0])
    return Quantity(moments.times(base.moments, moments.number(-1.0)), base.view)


def _clip(reader: Reader, node: gs.Node) -> Quantity:
    """Clip, Max, Relu and Abs of what is not negative, which guard a root against rounding."""
    inputs = given_inputs(node)
    if node.op == "Max":
        known = [each for each in node.inputs if id(each) in reader.reading.quantities]
        bounds = [reader.value_of(each) for each in node.inputs if id(each) not in reader.reading.quantities]
        if len(known) != 1 or any(bound is None or bound.size != 1 for bound in bounds):
            raise NotMoments("it takes the larger of two tensors")
        lowest = max((float(bound.reshape(-1)[0]) for bound in bounds if bound is not None), default=-math.inf)
        base = reader.quantity(known[0])
    else:
        base = reader.quantity(node.inputs[0])
        lowest = 0.0
        if node.op == "Clip":
            lowest = _bound(reader, node, inputs, 1, "min", -math.inf)
            is_half = dtype_of(node.inputs[0]) == element_types.FLOAT16.onnx
            if _bound(reader, node, inputs, 2, "max", math.inf) < (_LARGEST_HALF if is_half else _LARGEST_FLOAT):
                raise NotMoments("it clips at a maximum")
    if lowest == -math.inf or (base.is_square and lowest <= 0):
        return base
    return Quantity(moments.clipped_below(base.moments, lowest), base.view)


def _absolute(reader: Reader, node: gs.Node) -> Quantity:
    base = reader.quantity(node.inputs[0], is_squared=True)
    if base.is_absolute:
        return base
    try:
        return _clip(reader, node)
    except NotMoments:
        return Quantity(base.moments, base.view, is_absolute=True)


def _bound(
    reader: Reader, node: gs.Node, inputs: Sequence[gs.Tensor | None], index: int, name: str, default: float
) -> float:
    if name in node.attrs:
        return float(node.attrs[name])
    tensor = inputs[index] if len(inputs) > index else None
    if tensor is None:
        return default
    value = reader.value_of(tensor)
    if value is None or value.size != 1:
        raise NotMoments("it clips at a bound that is known at run time only")
    return float(value.reshape(-1)[0])


STEPS: Mapping[str, Step] = {
    **dict.fromkeys(("Add", "Sub", "Sum"), _add),
    **dict.fromkeys(("Mul", "Div"), _multiply),
    "Pow": _raise_to,
    **dict.fromkeys(("Sqrt", "Reciprocal"), _root),
    "Neg": _negate,
    **dict.fromkeys(("Clip", "Max", "Relu"), _clip),
    "Abs": _absolute,
}
