"""What the elementwise nodes and the reductions of a norm give, as steps of norm_reader.py."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import onnx_graphsurgeon as gs

from trtconv import element_types
from trtconv.passes import moments
from trtconv.passes.graph_edit import dtype_of, given_inputs
from trtconv.passes.moments import Moments, NotMoments
from trtconv.passes.norm_reader import Quantity, Reader, Step

_LARGEST_FLOAT, _LARGEST_HALF = 3.4e38, 65504.0


def _add(reader: Reader, node: gs.Node) -> Quantity:
    (first, *rest), view = reader.operands(node)
    for other in rest:
        first = moments.plus(first, other, -1.0 if node.op == "Sub" else 1.0)
    return Quantity(first, view)


def _multiply(reader: Reader, node: gs.Node) -> Quantity:
    (first, second), view = reader.operands(node)
    if node.op == "Div":
        second = moments.power(second, -1.0)
    return Quantity(moments.times(first, second), view)


def _raise_to(reader: Reader, node: gs.Node) -> Quantity:
    exponent = reader.value_of(node.inputs[1])
    if exponent is None or exponent.size != 1:
        raise NotMoments("an exponent is no constant")
    base = reader.quantity(node.inputs[0])
    return Quantity(moments.power(base.moments, float(exponent.reshape(-1)[0])), base.view)


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
    if lowest == -math.inf:
        return base
    return Quantity(moments.clipped_below(base.moments, lowest), base.view)


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


def _batch_norm(reader: Reader, node: gs.Node) -> Quantity:
    """BatchNormalization of given statistics: (x - mean) / sqrt(var + epsilon) * scale + bias, one a channel."""
    if len(node.inputs) < 5 or node.attrs.get("training_mode") or len(node.outputs) > 1:
        raise NotMoments("it takes the statistics of the batch")
    x = reader.quantity(node.inputs[0])
    scale, bias, mean, variance = (reader.beside(tensor, x.view) for tensor in node.inputs[1:5])
    epsilon = moments.number(float(node.attrs.get("epsilon", 1e-5)))
    inverse = moments.power(moments.plus(variance, epsilon), -0.5)
    normalised = moments.times(moments.plus(x.moments, mean, -1.0), inverse)
    return Quantity(moments.plus(moments.times(normalised, scale), bias), x.view)


def _reduce(reader: Reader, node: gs.Node) -> Quantity:
    base = reader.quantity(node.inputs[0])
    axes = _reduced(reader, node, len(base.view))
    reduced = frozenset(axis for dimension in axes for axis in base.view[dimension])
    if not reduced <= reader.source.spatial | {-1}:
        raise NotMoments(other_axes(reduced - {-1}))
    is_square = node.op in ("ReduceSumSquare", "ReduceL2")
    summed = moments.times(base.moments, base.moments) if is_square else base.moments
    quantity = moments.mean(summed, reduced - {-1}, reader.source.spatial)
    if is_square or node.op == "ReduceSum":
        quantity = moments.times(quantity, _number_of(reader, reduced))
    if node.op == "ReduceL2":
        quantity = moments.power(quantity, 0.5)
    if node.op == "GlobalAveragePool" or node.attrs.get("keepdims", 1):
        return Quantity(quantity, [() if index in axes else each for index, each in enumerate(base.view)])
    return Quantity(quantity, [each for index, each in enumerate(base.view) if index not in axes])


def other_axes(axes: frozenset[int]) -> str:
    """Say that the statistics over these axes of a source are none of an instance norm."""
    return f"its statistics are over axes {sorted(axes)}, not over all those after the channels"


def _reduced(reader: Reader, node: gs.Node, rank: int) -> set[int]:
    if node.op == "GlobalAveragePool":
        return set(range(2, rank))
    axes = reader.axes(node, rank)
    if not axes and node.attrs.get("noop_with_empty_axes"):
        raise NotMoments("it reduces nothing")
    if axes is None and len([each for each in given_inputs(node) if each is not None]) > 1:
        raise NotMoments("its statistics are taken over axes that are known at run time only")
    return axes or set(range(rank))


def _number_of(reader: Reader, axes: frozenset[int]) -> Moments:
    """Return how many elements a sum over `axes` adds."""
    sizes = [reader.source.dims[axis] for axis in axes if axis != -1]
    numbers = [size for size in sizes if isinstance(size, int)]
    if len(numbers) == len(axes):
        return moments.number(float(math.prod(numbers)))
    if axes == reader.source.spatial:
        return moments.COUNT
    raise NotMoments("it sums over a number of elements that is known at run time only")


STEPS: Mapping[str, Step] = {
    **dict.fromkeys(("Add", "Sub", "Sum"), _add),
    **dict.fromkeys(("Mul", "Div"), _multiply),
    "Pow": _raise_to,
    **dict.fromkeys(("Sqrt", "Reciprocal"), _root),
    "Neg": _negate,
    **dict.fromkeys(("Clip", "Max", "Relu", "Abs"), _clip),
    "BatchNormalization": _batch_norm,
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL2", "GlobalAveragePool"), _reduce),
}
