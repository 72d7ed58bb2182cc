"""What the operators give that are norms themselves, as steps of norm_reader.py."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_graphsurgeon as gs

from trtconv.passes import moments
from trtconv.passes.moments import Moments, NotMoments
from trtconv.passes.norm_reader import Quantity, Reader, Step
from trtconv.passes.norm_reductions import other_axes

_DEFAULT_EPSILON = 1e-5
# MeanVarianceNormalization divides by the deviation plus 1e-9, which differs where that is below 1e-6 at most.
_MVN_EPSILON = 1e-18
_MVN_AXES = (0, 2, 3)


def _batch_norm(reader: Reader, node: gs.Node) -> Quantity:
    """BatchNormalization of given statistics: (x - mean) / sqrt(var + epsilon) * scale + bias, one a channel."""
    if len(node.inputs) < 5 or node.attrs.get("training_mode") or len(node.outputs) > 1:
        raise NotMoments("it takes the statistics of the batch")
    x = reader.quantity(node.inputs[0])
    scale, bias, mean, variance = (reader.beside(tensor, x.view) for tensor in node.inputs[1:5])
    epsilon = moments.number(float(node.attrs.get("epsilon", _DEFAULT_EPSILON)))
    inverse = moments.power(moments.plus(variance, epsilon), -0.5)
    normalised = moments.times(moments.plus(x.moments, mean, -1.0), inverse)
    return Quantity(moments.plus(moments.times(normalised, scale), bias), x.view)


def _layer_norm(reader: Reader, node: gs.Node) -> Quantity:
    """LayerNormalization over two or more axes, those after the channels."""
    base = reader.quantity(node.inputs[0])
    if len(reader.source.spatial) < 2:
        raise NotMoments("it is a layer norm of one axis")
    rank = len(base.view)
    first = int(node.attrs.get("axis", -1)) % rank
    epsilon = float(node.attrs.get("epsilon", _DEFAULT_EPSILON))
    result = _normalised(reader, base, frozenset(range(first, rank)), epsilon)
    scale, *bias = (reader.other(tensor, base.view) for tensor in node.inputs[1:])
    result = moments.times(result, scale)
    return Quantity(moments.plus(result, bias[0]) if bias else result, base.view)


def _mean_variance_norm(reader: Reader, node: gs.Node) -> Quantity:
    base = reader.quantity(node.inputs[0])
    axes = frozenset(axis % len(base.view) for axis in node.attrs.get("axes", _MVN_AXES))
    return Quantity(_normalised(reader, base, axes, _MVN_EPSILON), base.view)


def _normalised(reader: Reader, base: Quantity, axes: frozenset[int], epsilon: float) -> Moments:
    """Return (x - mean) / sqrt(var + epsilon), of the dimensions `axes` of x."""
    spatial = reader.source.spatial
    reduced = frozenset(axis for dimension in axes for axis in base.view[dimension])
    if reduced != spatial:
        raise NotMoments(other_axes(reduced))
    difference = moments.plus(base.moments, reader.mean(base.moments, spatial), -1.0)
    variance = reader.mean(moments.times(difference, difference), spatial)
    return moments.times(difference, moments.power(moments.plus(variance, moments.number(epsilon)), -0.5))


STEPS: Mapping[str, Step] = {
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "MeanVarianceNormalization": _mean_variance_norm,
}
