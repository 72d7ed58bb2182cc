"""What the means, sums and lengths of a norm give, as steps of norm_reader.py."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx_graphsurgeon as gs

from trtconv.passes import moments
from trtconv.passes.graph_edit import given_inputs, shape_of
from trtconv.passes.moments import Moments, NotMoments
from trtconv.passes.norm_reader import Quantity, Reader, Step

_LENGTHS = frozenset({"ReduceL2", "GlobalLpPool"})
_SQUARES = _LENGTHS | {"ReduceSumSquare"}
_SUMS = _SQUARES | {"ReduceSum"}
_POOLS = frozenset({"GlobalAveragePool", "GlobalLpPool", "AveragePool"})


def _reduce(reader: Reader, node: gs.Node) -> Quantity:
    base = reader.quantity(node.inputs[0], is_squared=node.op in _SQUARES)
    axes = _reduced(reader, node, len(base.view))
    reduced = frozenset(axis for dimension in axes for axis in base.view[dimension])
    if not reduced <= reader.source.spatial | {-1}:
        raise NotMoments(other_axes(reduced - {-1}))
    summed = moments.times(base.moments, base.moments) if node.op in _SQUARES else base.moments
    quantity = reader.mean(summed, reduced - {-1})
    if node.op in _SUMS:
        quantity = moments.times(quantity, _number_of(reader, reduced))
    if node.op in _LENGTHS:
        quantity = moments.power(quantity, 0.5)
    if node.op in _POOLS or node.attrs.get("keepdims", 1):
        return Quantity(quantity, [() if index in axes else each for index, each in enumerate(base.view)])
    return Quantity(quantity, [each for index, each in enumerate(base.view) if index not in axes])


def other_axes(axes: frozenset[int]) -> str:
    """Say that the statistics over these axes of a source are none of an instance norm."""
    return f"its statistics are over axes {sorted(axes)}, not over all those after the channels"


def _reduced(reader: Reader, node: gs.Node, rank: int) -> set[int]:
    if node.op in _POOLS:
        _require_plain_pool(node)
        return set(range(2, rank))
    axes = reader.axes(node, rank)
    if not axes and node.attrs.get("noop_with_empty_axes"):
        raise NotMoments("it reduces nothing")
    if axes is None and len([each for each in given_inputs(node) if each is not None]) > 1:
        raise NotMoments("its statistics are taken over axes that are known at run time only")
    return axes or set(range(rank))


def _require_plain_pool(node: gs.Node) -> None:
    """Raise NotMoments for a pool that is not one mean, or Euclidean length, of all positions."""
    if node.op == "GlobalLpPool" and node.attrs.get("p", 2) != 2:
        raise NotMoments("it is a length of another order than 2")
    if node.op == "AveragePool":
        sizes, results = (shape_of(tensor) or [] for tensor in (node.inputs[0], node.outputs[0]))
        is_whole = list(node.attrs.get("kernel_shape", [])) == sizes[2:] and all(size == 1 for size in results[2:])
        if not is_whole or any(node.attrs.get("pads", [])):
            raise NotMoments("it is a mean of a part of the positions")


def _number_of(reader: Reader, axes: frozenset[int]) -> Moments:
    """Return how many elements a sum over `axes` adds."""
    sizes = [reader.source.dims[axis] for axis in axes if axis != -1]
    numbers = [size for size in sizes if isinstance(size, int)]
    if len(numbers) == len(axes):
        return moments.number(float(math.prod(numbers)))
    if axes == reader.source.spatial:
        return moments.COUNT
    raise NotMoments("it sums over a number of elements that is known at run time only")


STEPS: Mapping[str, Step] = dict.fromkeys((*_SUMS, *_POOLS, "ReduceMean"), _reduce)
