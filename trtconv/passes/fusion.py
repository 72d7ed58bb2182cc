"""What the rules of fusion share: a custom op with what it takes, and a neighbour that can become part of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import onnx_graphsurgeon as gs

from trtconv.decisions import NOT_FUSED
from trtconv.model.walking import is_onnx
from trtconv.ops import BY_ONNX_OP, CUSTOM_OPS
from trtconv.ops.custom_op import DOMAIN, CustomOp
from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.ops.reflect_pad import REFLECT_PAD
from trtconv.passes.base import NoMatch, PassContext, Site, walk_graphs

# The order in which a plugin does what its attributes and optional inputs ask for.
STAGES: Sequence[frozenset[str]] = (
    frozenset({"residual"}),
    frozenset({"activation", "slope"}),
    frozenset({"upsample"}),
    frozenset({"pads"}),
    frozenset({"to"}),
)


class PluginNode(NamedTuple):
    """A node of a custom op: its inputs by their roles, and all attributes."""

    node: gs.Node
    op: CustomOp
    inputs: Mapping[str, gs.Tensor]
    attributes: Mapping[str, Any]

    @property
    def y(self) -> gs.Tensor:
        """What it writes."""
        output: gs.Tensor = self.node.outputs[0]
        return output

    @property
    def stage(self) -> int:
        """The number of the last stage that it has something to do in; -1 where it has none."""
        return max((number for number, names in enumerate(STAGES) if self.does(names)), default=-1)

    def does(self, names: frozenset[str]) -> bool:
        """Say whether it has one of these inputs, or an attribute of these names that asks for something."""
        nothing = {name: [0] if name == "pads" else row.default for name, row in self.op.attributes.items()}
        asked = (name for name in names if name in nothing and self.attributes[name] != nothing[name])
        return bool(names & set(self.inputs)) or any(name != "pads" or any(self.attributes[name]) for name in asked)


@dataclass(frozen=True)
class Fusion:
    """Nodes that a custom op can do the work of; the last of them writes the result.

    `attributes` and `inputs` are what the op gets of them, with upsampling factors and pads of all axes. `what` says it
    in reports.
    """

    nodes: Sequence[gs.Node]
    what: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, gs.Tensor] = field(default_factory=dict)


class Rule(NamedTuple):
    """One kind of neighbour: which nodes are of it, and what a custom op would do in their place.

    `match` gets the tensor that enters the neighbour, and the node of it that gives the result.
    """

    stage: int
    accepts: Callable[[gs.Node], bool]
    match: Callable[[gs.Tensor, gs.Node, PassContext], Fusion | NoMatch]


def read_plugin_node(node: gs.Node) -> PluginNode | None:
    """Return a node as a custom op, None for any other and for one that is not as its plugin wants it."""
    op = CUSTOM_OPS.get(node.op) if node.domain == DOMAIN else None
    if op is None or len(node.outputs) != 1 or not node.attrs.keys() >= op.required_attributes:
        return None
    attributes = op.complete(node.attrs)
    roles = op.roles(len(node.inputs), attributes)
    return None if roles is None else PluginNode(node, op, dict(zip(roles, node.inputs, strict=True)), attributes)


def is_op(node: gs.Node, *names: str) -> bool:
    """Say whether a node is of one of these ONNX operators, with one output."""
    return node.op in names and is_onnx(node.domain) and len(node.outputs) == 1


def given_out(graph: gs.Graph) -> frozenset[int]:
    """Return the ids of the tensors that a graph, or a branch in it, gives out."""
    return frozenset(id(tensor) for each in walk_graphs(graph) for tensor in each.outputs)


def attributes_with(base: PluginNode, fusion: Fusion) -> dict[str, Any] | NoMatch:
    """Return the attributes of an op together with those of a fusion, lists of all axes as the op has them."""
    new = dict(fusion.attributes)
    if base.op is INSTANCE_NORM:
        for name, nothing in (("upsample", 1), ("pads", 0)):
            if name not in new:
                continue
            count = 1 if name == "upsample" else 2
            rank = len(new[name]) // count
            outer = [new[name][axis + half * rank] for half in range(count) for axis in (0, 1)]
            if any(value != nothing for value in outer):
                return NoMatch("it changes the batch or the channels")
            new[name] = [new[name][axis + half * rank] for half in range(count) for axis in range(2, rank)]
    return {**base.attributes, **new}


def title_of(node: gs.Node) -> str:
    """Return what reports call a node of ONNX, or what a custom op was before."""
    if is_onnx(node.domain):
        return BY_ONNX_OP[node.op].form.title(node.attrs) if node.op in BY_ONNX_OP else node.op
    return REFLECT_PAD.replaces


def tell_why_not(site: Site, reason: str, context: PassContext) -> None:
    """Record why a neighbour stays a node of its own, unless there is a decision about it."""
    if not context.decisions.has(site.node):
        context.note(site, None, NOT_FUSED + reason, title=title_of(site.node))
