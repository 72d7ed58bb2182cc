"""Fuse  Add(InstanceNorm(X, ...), R)  or  Sum  ->  InstanceNorm(X, ..., residual=R), where R has the shape of X."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from trtconv.ops.instance_norm_function import RESIDUAL
from trtconv.passes.base import NoMatch, PassContext
from trtconv.passes.equal_sizes import are_same_shape
from trtconv.passes.fusion import Fusion, Rule, is_op


def _match(y: gs.Tensor, add: gs.Node, context: PassContext) -> Fusion | NoMatch:
    others = [tensor for tensor in add.inputs if tensor is not y]
    if len(add.inputs) != 2:
        return NoMatch(f"it adds {len(add.inputs)} tensors")
    if len(others) != 1:
        return NoMatch("it adds the norm to itself")
    if not are_same_shape(y, others[0], context):
        return NoMatch(f"{others[0].name} is not known to have the shape of the norm")
    return Fusion([add], f"residual {others[0].name}", inputs={RESIDUAL: others[0]})


RESIDUAL_RULE = Rule(0, lambda node: is_op(node, "Add", "Sum"), _match)
