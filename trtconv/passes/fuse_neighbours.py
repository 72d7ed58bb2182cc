"""Fuse  InstanceNorm or ReflectPad with what follows it, and ReflectPad with what comes before it, into one node.

Each rule of fuse_*.py is about one kind of neighbour. A neighbour goes into a custom op where nobody else reads what
lies between them, and where the op does its work after all that it does already. The
node of both is that which writes the result. A ReflectPad that puts phases in place takes what follows as a norm does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import onnx_graphsurgeon as gs

from trtconv.decisions import FUSED, Decision
from trtconv.model.walking import is_onnx
from trtconv.ops.custom_op import CustomOp
from trtconv.ops.input_map import has_phases
from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.ops.reflect_pad import REFLECT_PAD
from trtconv.passes.base import NoMatch, PassContext, Site
from trtconv.passes.fuse_activation import ACTIVATION_RULE, source_of
from trtconv.passes.fuse_cast import CAST_RULE
from trtconv.passes.fuse_pad import PAD_RULE
from trtconv.passes.fuse_phases import fuse_phases
from trtconv.passes.fuse_residual import RESIDUAL_RULE
from trtconv.passes.fuse_upsample import UPSAMPLE_RULE
from trtconv.passes.fusion import (
    STAGES,
    Fusion,
    PluginNode,
    Rule,
    attributes_with,
    given_out,
    is_op,
    read_plugin_node,
    tell_why_not,
    title_of,
)
from trtconv.passes.graph_edit import dtype_of, operand_of, plugin_node, replace, set_type, shape_of

_AFTER: Mapping[str, Sequence[Rule]] = {
    INSTANCE_NORM.name: (RESIDUAL_RULE, ACTIVATION_RULE, UPSAMPLE_RULE, PAD_RULE, CAST_RULE),
    REFLECT_PAD.name: (CAST_RULE,),
}
_AFTER_PHASES: Sequence[Rule] = (ACTIVATION_RULE, UPSAMPLE_RULE, PAD_RULE, CAST_RULE)
_BEFORE: Mapping[str, Sequence[Rule]] = {REFLECT_PAD.name: (UPSAMPLE_RULE, ACTIVATION_RULE)}
_STAGES = ("the sum with the residual", "the activation", "upsampling", "padding", "the change of type")


def fuse_neighbours(graph: gs.Graph, context: PassContext) -> int:
    """Return how many ONNX nodes became part of a custom op."""
    fuse_phases(graph, context)
    fuser = _Fuser(context, context.sites(graph), given_out(graph))
    for op in (INSTANCE_NORM, REFLECT_PAD):  # a norm takes pads and what lies before them, so that it comes first
        for site in context.sites(graph).where(partial(_is_of, op)):
            if id(site.node) not in fuser.finished:
                fuser.fuse_after(site)
        for site in context.sites(graph).where(partial(_is_of, op)):
            if op.name in _BEFORE:
                fuser.fuse_before(site)
    return fuser.num_fused


def _is_of(op: CustomOp, node: gs.Node) -> bool:
    return bool(node.op == op.name)


@dataclass
class _Fuser:
    """One run over a graph. `sites` holds its nodes as they were, `origins` what a fused node was first called."""

    context: PassContext
    sites: Mapping[int, Site]
    given_out: frozenset[int]
    finished: set[int] = field(default_factory=set)
    origins: dict[int, str] = field(default_factory=dict)
    num_fused: int = 0

    def fuse_after(self, site: Site) -> None:
        """Take all that follows a custom op, one neighbour after the other."""
        while (base := read_plugin_node(site.node)) and (found := _follower(base)):
            rule, reader = found
            match = _without_slope(base, rule.match(base.y, reader, self.context))
            taken = self._fuse(site, base, rule, match, reader, between=[base.y])
            self.finished.add(id(site.node))
            if taken is None:
                return
            site = taken

    def fuse_before(self, site: Site) -> None:
        """Take what comes before a pad."""
        while (base := read_plugin_node(site.node)) and not has_phases(base.attributes):
            x = base.inputs["X"]
            writer = x.inputs[0] if x.inputs else None
            rule = next((rule for rule in _BEFORE[base.op.name] if writer is not None and rule.accepts(writer)), None)
            if rule is None or writer is None or id(writer) not in self.sites:
                return
            source = source_of(writer) if rule is ACTIVATION_RULE else writer.inputs[0]
            match = _without_slope(base, rule.match(source, writer, self.context))
            if self._fuse(site, base, rule, match, writer, between=[x], source=source) is None:
                return

    def _fuse(
        self,
        site: Site,
        base: PluginNode,
        rule: Rule,
        match: Fusion | NoMatch,
        named: gs.Node,
        between: Sequence[gs.Tensor],
        source: gs.Tensor | None = None,
    ) -> Site | None:
        """Make one node of a custom op and its neighbour, and return it; where that cannot be, say why and return None.

        `named` is the node that is told of, `source` what enters a neighbour that comes before the op.
        """
        made = match if isinstance(match, NoMatch) else self._merge(site, base, rule, match, between, source)
        if isinstance(match, NoMatch) or isinstance(made, NoMatch):
            reason = made.reason if isinstance(made, NoMatch) else ""
            self._tell_why_not(named, reason)
            return None
        inputs, attributes = made
        origin = self.origins.get(id(site.node), site.address)
        y = base.y if source is not None else match.nodes[-1].outputs[0]
        x = inputs["X"]
        dtype, dims = base.op.output_dtype(dtype_of(x), attributes), shape_of(x)
        by = plugin_node(base.op, list(inputs.values()), [y], attributes, self.context.opset)
        members = [self.sites[id(node)] for node in match.nodes]
        titles = [title_of(member.node) for member in members]
        instead = [(base.y, base.inputs["X"])] if source is None and _shapes_of(base) else []
        replace(site.graph, [base.node, *match.nodes], by, instead)
        set_type(y, dtype, None if dims is None else base.op.output_dims(dims, attributes))
        for member, title in zip(members, titles, strict=True):
            reason = f"{match.what}, fused into {origin}"
            decision = Decision(member.address, title, base.op.title, reason, dict(match.attributes))
            self.num_fused += self.context.decisions.revise(member.node, decision)
        heir = site if source is not None else members[-1]
        self.origins[id(heir.node)] = origin
        return heir

    def _merge(
        self,
        site: Site,
        base: PluginNode,
        rule: Rule,
        fusion: Fusion,
        between: Sequence[gs.Tensor],
        source: gs.Tensor | None,
    ) -> tuple[dict[str, gs.Tensor], dict[str, Any]] | NoMatch:
        """Return the inputs by role and the attributes of an op with its neighbour, or why they stay apart."""
        if why := self._why_apart(site, base, fusion, between):
            return why
        if source is None and base.stage >= rule.stage:
            return NoMatch(f"it comes after {_STAGES[base.stage]}, and the plugin would do it before that")
        if source is not None and base.does(STAGES[rule.stage]):
            return NoMatch("the plugin does that once, after it")
        attributes = attributes_with(base, fusion)
        if isinstance(attributes, NoMatch):
            return attributes
        given = {**base.inputs, **fusion.inputs, **({} if source is None else {"X": source})}
        inputs = {role: given[role] for role in (*base.op.inputs, *base.op.optional_inputs) if role in given}
        problem = base.op.problem([operand_of(tensor) for tensor in inputs.values()], attributes)
        return NoMatch(problem) if problem else (inputs, attributes)

    def _why_apart(self, site: Site, base: PluginNode, fusion: Fusion, between: Sequence[gs.Tensor]) -> NoMatch | None:
        """Return why the op and its neighbour cannot be one node, whatever they do."""
        members = [self.sites.get(id(node)) for node in fusion.nodes]
        for member in members:
            if member is None or member.graph is not site.graph:
                return NoMatch("it stands inside a branch, what it reads outside")
            if wish := self.context.wish_against(member, FUSED):
                return wish
        inner = [*between, *(tensor for node in fusion.nodes[:-1] for tensor in node.outputs)]
        own = {id(node) for node in (site.node, *fusion.nodes, *_shapes_of(base))}
        for tensor in inner:
            if any(id(reader) not in own for reader in tensor.outputs):
                return NoMatch(f"other nodes read {tensor.name}, too")
            if id(tensor) in self.given_out:
                return NoMatch(f"the graph gives out {tensor.name}")
        return None

    def _tell_why_not(self, node: gs.Node, reason: str) -> None:
        site = self.sites.get(id(node))
        if site is not None and is_onnx(node.domain):
            tell_why_not(site, reason, self.context)


def _shapes_of(base: PluginNode) -> list[gs.Node]:
    """Return the nodes that only ask for the shape of what a norm gives, where that is the shape of its input."""
    if base.op is not INSTANCE_NORM or base.stage >= UPSAMPLE_RULE.stage or has_phases(base.attributes):
        return []
    return [reader for reader in base.y.outputs if is_op(reader, "Shape")]


def _without_slope(base: PluginNode, match: Fusion | NoMatch) -> Fusion | NoMatch:
    if isinstance(match, Fusion) and match.inputs and base.op is REFLECT_PAD:
        return NoMatch("the plugin takes no slope a channel")
    return match


def _follower(base: PluginNode) -> tuple[Rule, gs.Node] | None:
    """Return a node that reads what an op gives and that a rule takes, and that rule."""
    is_placing = base.op is REFLECT_PAD and has_phases(base.attributes)
    rules = _AFTER_PHASES if is_placing else _AFTER.get(base.op.name, ())
    candidates: Iterator[tuple[Rule, gs.Node]] = (
        (rule, reader) for rule in rules for reader in base.y.outputs if rule.accepts(reader)
    )
    return next(candidates, None)
