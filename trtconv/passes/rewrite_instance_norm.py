"""Rewrite  InstanceNormalization(X, scale, bias)  ->  trtconv::InstanceNorm(X, scale, bias).

scale and bias may be initializers, Constant nodes or run-time tensors: the plugin takes them as inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_graphsurgeon as gs

from trtconv.errors import ModelError
from trtconv.passes.base import NoMatch, PassContext, Site
from trtconv.passes.graph_edit import (
    Dim,
    become_plugin,
    describe_dtype,
    dtype_of,
    given_inputs,
    require_x,
    set_type,
    shape_of,
)
from trtconv.plugin_ops import INSTANCE_NORM

MIN_RANK = 3
MAX_RANK = 8  # TensorRT's own limit on dimensions
DEFAULT_EPSILON = 1e-5


@dataclass(frozen=True)
class _Match:
    epsilon: float
    dtype: int
    shape: list[Dim] | None


def rewrite_instance_norm(graph: gs.Graph, context: PassContext) -> int:
    """Return how many InstanceNormalization nodes became trtconv::InstanceNorm.

    Raises ModelError for a node that breaks ONNX's rules.
    """
    num_rewritten = 0
    for site in context.candidates(graph, "InstanceNormalization", lambda node: node.op == "InstanceNormalization"):
        match = _match(site)
        if isinstance(match, NoMatch):
            context.keep(site, match)
            continue
        become_plugin(site, INSTANCE_NORM, site.node.inputs, {"epsilon": match.epsilon}, context.opset)
        set_type(site.node.outputs[0], match.dtype, match.shape)
        rank = "unknown rank" if match.shape is None else f"rank {len(match.shape)}"
        reason = f"{describe_dtype(match.dtype)}, {rank}, epsilon {match.epsilon:g}"
        context.rewritten(site, INSTANCE_NORM, reason)
        num_rewritten += 1
    return num_rewritten


def _match(site: Site) -> _Match | NoMatch:
    require_x(site)
    inputs = given_inputs(site.node)
    if len(inputs) != 3 or any(tensor is None for tensor in inputs):
        return NoMatch(f"it has {len(inputs)} inputs, expected X, scale and bias")
    x, scale, bias = inputs
    # Where shape inference stopped (at an op that ONNX does not know, say), ONNX still demands one type of all of them.
    dtype = next((found for tensor in (x, scale, bias, site.node.outputs[0]) if (found := dtype_of(tensor))), None)
    if dtype is None:
        return NoMatch("its type is unknown: shape inference did not reach it")
    if dtype not in INSTANCE_NORM.dtypes:
        return NoMatch(f"the plugin has no kernel for {describe_dtype(dtype)}")
    shape = shape_of(x)
    if shape is not None and not MIN_RANK <= len(shape) <= MAX_RANK:
        return NoMatch(f"X has rank {len(shape)}, the plugin takes rank {MIN_RANK} to {MAX_RANK}")
    epsilon = site.node.attrs.get("epsilon", DEFAULT_EPSILON)
    if not isinstance(epsilon, float):
        raise ModelError(f"epsilon is {epsilon!r}, expected a float", where=site.address)
    return _Match(epsilon, dtype, shape)
