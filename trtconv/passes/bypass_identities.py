"""Remove  Identity(X), Dropout(X) outside training, Cast(X) to the type of X, Slice(X) of all of X,

so that the passes after it find what lies around a custom op. TensorRT removes these nodes too. A model without custom
ops stays as it is, and so do nodes whose result a graph gives out.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from trtconv.decisions import FUSED
from trtconv.ops.custom_op import DOMAIN
from trtconv.passes.base import PassContext, walk
from trtconv.passes.constant_values import read_constants
from trtconv.passes.fusion import given_out
from trtconv.passes.graph_edit import dtype_of, given_inputs, replace, shape_of

_STEPS = 4  # input of Slice
_FIRST_OPSET = 7  # before it, an attribute of Dropout says whether it trains


def bypass_identities(graph: gs.Graph, context: PassContext) -> int:
    """Let the readers of such a node read what it reads; return 0, for none becomes a custom op."""
    if not any(site.node.domain == DOMAIN for site in walk(graph)):
        return 0
    outputs = given_out(graph)
    found: dict[int, tuple[gs.Graph, list[gs.Node]]] = {}
    sources: dict[int, gs.Tensor] = {}
    for site in context.nodes(graph, lambda node: node.op in ("Identity", "Dropout", "Cast", "Slice")):
        node = site.node
        if not node.inputs or isinstance(node.inputs[0], gs.Constant) or context.wish_against(site, FUSED):
            continue
        y, *others = node.outputs
        is_read = id(y) in outputs or any(tensor.outputs or id(tensor) in outputs for tensor in others)
        if not is_read and gives_its_input(node, context):
            sources[id(y)] = sources.get(id(node.inputs[0]), node.inputs[0])
            found.setdefault(id(site.graph), (site.graph, []))[1].append(node)
    for inside, nodes in found.values():
        replace(inside, nodes, [], instead=[(node.outputs[0], sources[id(node.outputs[0])]) for node in nodes])
    return 0


def gives_its_input(node: gs.Node, context: PassContext) -> bool:
    """Say whether the first output of an Identity, Dropout, Cast or Slice is its first input."""
    if node.op == "Cast":
        return "to" in node.attrs and node.attrs["to"] == dtype_of(node.inputs[0])
    if node.op == "Dropout":
        return context.opset >= _FIRST_OPSET and not _may_train(node, context)
    return node.op == "Identity" or _takes_all(node, context)


def _takes_all(node: gs.Node, context: PassContext) -> bool:
    """Say whether a Slice takes all of X, in its order: PyTorch crops what a pad has added by nothing."""
    x, y = (shape_of(tensor) for tensor in (node.inputs[0], node.outputs[0]))
    if x is None or x != y or not all(isinstance(size, int) for size in x):
        return False
    inputs = given_inputs(node)
    steps = inputs[_STEPS] if len(inputs) > _STEPS else None
    if steps is None:
        return True
    (value,) = read_constants([steps], context.opset, context.folder).values()
    return isinstance(value, np.ndarray) and bool((value > 0).all())


def _may_train(node: gs.Node, context: PassContext) -> bool:
    inputs = given_inputs(node)
    mode = inputs[2] if len(inputs) > 2 else None
    if mode is None:
        return False
    (value,) = read_constants([mode], context.opset, context.folder).values()
    return not isinstance(value, np.ndarray) or bool(value.any())
