"""Rewrite  Conv(Pad(Resize(X)))  ->  ReflectPad(Conv(X), phases), for nearest upsampling, with or without Pad.

Each phase of the result meets few elements of X, so that the convolution runs before the upsampling, each phase with
its own channels. Zero pads stay zero pads and edge pads edge pads; reflect pads that are smaller than the factor repeat
the element at the end and are edge pads then. Wider ones reach other elements for each phase and stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import onnx_graphsurgeon as gs

from trtconv.decisions import PLUGIN, REWRITTEN, Choice
from trtconv.passes.base import NoMatch, PassContext, Site
from trtconv.passes.convolutions import Convolution, read_convolution
from trtconv.passes.fuse_pad import PAD_RULE
from trtconv.passes.fuse_upsample import UPSAMPLE_RULE
from trtconv.passes.fusion import given_out, is_op
from trtconv.passes.phase_forms import upsampled_axis
from trtconv.passes.phased_convolution import PhasedForm, leave, rewrite_as_phases, too_many_phases


class _Pads(NamedTuple):
    """What is padded around the upsampled tensor: all begins of the spatial axes, then their ends."""

    values: Sequence[int]
    mode: str


def rewrite_upsampled_convolution(graph: gs.Graph, context: PassContext) -> int:
    """Return how many nodes were rewritten: convolutions, and what they took."""
    sites, outputs = context.sites(graph), given_out(graph)
    num_edits = 0
    for site in sites.where(lambda node: is_op(node, "Conv")):
        before = _nodes_before(site.node)
        if not before:
            continue
        members = [sites[id(node)] for node in before if id(node) in sites]
        kept = [(each, wish) for each in (site, *members) if (wish := context.wish_against(each, _made_of(each.node)))]
        for each, wish in kept:
            leave(each, wish, context)
        form = None if kept else _match(site, before, members, outputs, context)
        if isinstance(form, NoMatch):
            leave(site, form, context)
        elif form is not None:
            num_edits += rewrite_as_phases(site, form, context)
    return num_edits


def _made_of(node: gs.Node) -> Choice:
    """Return what the pass makes of a node: a pad may become an edge pad, which a norm then takes as any other pad."""
    return PLUGIN if PAD_RULE.accepts(node) else REWRITTEN


def _nodes_before(node: gs.Node) -> list[gs.Node]:
    """Return the upsampling that a convolution reads, and the pad between them, if any; nothing where there is none."""
    found: list[gs.Node] = []
    while node.inputs and len(node.inputs[0].inputs) == 1:
        node = node.inputs[0].inputs[0]
        found.insert(0, node)
        if UPSAMPLE_RULE.accepts(node):
            return found
        if len(found) > 1 or not PAD_RULE.accepts(node):
            break
    return []


def _match(
    site: Site, before: Sequence[gs.Node], members: Sequence[Site], outputs: frozenset[int], context: PassContext
) -> PhasedForm | NoMatch:
    if len(members) != len(before) or any(member.graph is not site.graph for member in members):
        return NoMatch("it stands inside a branch, what it reads outside")
    if problem := _read_by_others(before, outputs):
        return problem
    upsampling, *pad_nodes = before
    convolution, x = read_convolution(site.node), upsampling.inputs[0]
    if isinstance(convolution, NoMatch):
        return convolution
    factors = _read_factors(x, upsampling, len(convolution.kernel), context)
    if isinstance(factors, NoMatch):
        return factors
    pads = _read_pads(convolution, pad_nodes, context)
    if isinstance(pads, NoMatch):
        return pads
    if problem := too_many_phases(factors) or _misfit(convolution, factors, pads):
        return problem
    half = len(factors)
    axes = [
        upsampled_axis(*each)
        for each in zip(
            factors, convolution.kernel, convolution.dilations, pads.values[:half], pads.values[half:], strict=True
        )
    ]
    what = f"computed before the upsampling by {'x'.join(map(str, factors))}"
    is_edge = pads.mode != "zero"
    return PhasedForm(convolution, x, axes, what, members, pad_nodes[0] if is_edge else None)


def _read_by_others(before: Sequence[gs.Node], outputs: frozenset[int]) -> NoMatch | None:
    for tensor in (node.outputs[0] for node in before):
        if len(tensor.outputs) != 1:
            return NoMatch(f"other nodes read {tensor.name}, too")
        if id(tensor) in outputs:
            return NoMatch(f"the graph gives out {tensor.name}")
    return None


def _read_factors(x: gs.Tensor, node: gs.Node, num_axes: int, context: PassContext) -> list[int] | NoMatch:
    """Return the factors of the spatial axes."""
    match = UPSAMPLE_RULE.match(x, node, context)
    if isinstance(match, NoMatch):
        return NoMatch(f"the upsampling before it stays: {match.reason}")
    factors: list[int] = match.attributes["upsample"]
    if any(factor != 1 for factor in factors[:2]):
        return NoMatch("the upsampling before it changes the batch or the channels")
    return factors[2:] if len(factors) == 2 + num_axes else NoMatch("the upsampling before it has another rank")


def _read_pads(convolution: Convolution, pad_nodes: Sequence[gs.Node], context: PassContext) -> _Pads | NoMatch:
    """Return the pads between upsampling and convolution together with its own, which are zero."""
    own = [*convolution.begins, *convolution.ends]
    if not pad_nodes:
        return _Pads(own, "zero")
    (node,) = pad_nodes
    match = PAD_RULE.match(node.inputs[0], node, context)
    if isinstance(match, NoMatch):
        return NoMatch(f"the pad before it stays: {match.reason}")
    values: Any = match.attributes.get("pads", [0] * (len(own) + 4))
    mode, rank = match.attributes.get("pad_mode", "zero"), len(values) // 2
    if rank != 2 + len(convolution.kernel):
        return NoMatch("the pad before it has another rank")
    if any(values[axis] or values[axis + rank] for axis in (0, 1)):
        return NoMatch("the pad before it changes the batch or the channels")
    given = [*values[2:rank], *values[rank + 2 :]]
    if mode == "zero":
        return _Pads([one + other for one, other in zip(given, own, strict=True)], mode)
    if any(own):
        return NoMatch(f"it pads with zeros what was padded by mode {mode}")
    return _Pads(given, mode)


def _misfit(convolution: Convolution, factors: Sequence[int], pads: _Pads) -> NoMatch | None:
    if any(stride != 1 for stride in convolution.strides):
        return NoMatch(f"its strides are {convolution.strides}, expected 1 after an upsampling")
    if all(factor == 1 for factor in factors):
        return NoMatch("the upsampling before it has the factors 1")
    if all(size == 1 for size, factor in zip(convolution.kernel, factors, strict=True) if factor > 1):
        return NoMatch("its kernel of 1 would give each phase the same")
    if pads.mode == "reflect":
        for axis, factor in enumerate(factors):
            widest = max(pads.values[axis], pads.values[axis + len(factors)])
            if widest and widest >= factor:
                return NoMatch(
                    f"its reflect pad of {widest} is not below the factor {factor}, as one before it has to be"
                )
    return None
