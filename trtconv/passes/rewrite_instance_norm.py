"""Rewrite  InstanceNormalization(X, scale, bias)  ->  trtconv::InstanceNorm(X, scale, bias).

scale and bias may be initializers, Constant nodes or run-time tensors: the plugin takes them as inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import onnx_graphsurgeon as gs

from trtconv.errors import ModelError
from trtconv.ops.custom_op import Call, Dim, Operand
from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.passes.base import NoMatch, PassContext, Site
from trtconv.passes.graph_edit import (
    describe_dtype,
    dtype_of,
    given_inputs,
    operand_of,
    plugin_node,
    replace,
    require_x,
    set_type,
    shape_of,
)


class _Match(NamedTuple):
    epsilon: float
    dtype: int
    shape: list[Dim] | None


def rewrite_instance_norm(graph: gs.Graph, context: PassContext) -> int:
    """Return how many InstanceNormalization nodes became trtconv::InstanceNorm.

    Raises ModelError for a node that breaks ONNX's rules.
    """
    num_rewritten = 0
    for site in context.nodes(graph, lambda node: node.op == "InstanceNormalization"):
        match = _match(site)  # of a node that stays native too: a model that breaks ONNX's rules is refused
        match = context.wish_against(site) or match
        if isinstance(match, NoMatch):
            context.keep(site, INSTANCE_NORM, match)
            continue
        node, attributes = site.node, {"epsilon": match.epsilon}
        by = plugin_node(INSTANCE_NORM, node.inputs, node.outputs, attributes, context.opset)
        replace(site.graph, [node], by)
        set_type(node.outputs[0], match.dtype, match.shape)
        rank = "unknown rank" if match.shape is None else f"rank {len(match.shape)}"
        reason = f"{describe_dtype(match.dtype)}, {rank}, epsilon {match.epsilon:g}"
        context.rewritten(site, INSTANCE_NORM, reason, {"epsilon": match.epsilon})
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
    if problem := INSTANCE_NORM.problem_of_dtype(dtype):
        return NoMatch(problem)
    epsilon = site.node.attrs.get("epsilon", INSTANCE_NORM.attributes["epsilon"].default)
    operands, attributes = [operand_of(tensor) for tensor in (x, scale, bias)], {"epsilon": epsilon}
    if broken := _broken_rule(operands):
        raise ModelError(broken, where=site.address, hint="ONNX wants one value a channel, of the type of the input")
    problem = INSTANCE_NORM.problem(operands, attributes)
    return _Match(epsilon, dtype, shape_of(x)) if problem is None else NoMatch(problem)


def _broken_rule(operands: Sequence[Operand]) -> str | None:
    """Return what ONNX forbids of X, scale and bias; the custom op also takes a scale for each image."""
    x, *parameters = operands
    if x.dims is not None and len(x.dims) not in INSTANCE_NORM.ranks:
        return None
    for role, operand in zip(INSTANCE_NORM.inputs[1:], parameters, strict=True):
        if operand.dims is not None and len(operand.dims) != 1:
            return f"{role} has shape {list(operand.dims)}, expected [{'C' if x.dims is None else x.dims[1]}]"
    return INSTANCE_NORM.misfit(Call(INSTANCE_NORM.inputs, operands, INSTANCE_NORM.complete({})))
