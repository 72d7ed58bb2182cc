"""Fuse  InstanceNorm -> Z;  Pad(Z);  InstanceNorm(..., residual=Z)
    ->  InstanceNorm(pads) -> P;  InstanceNorm(..., residual=P, residual_pads)

A residual block pads its input for the first convolution and adds it, as it is, after the last. Where a norm writes
that input, it writes it padded, and the sums read the inside of what was padded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import onnx_graphsurgeon as gs

from trtconv.decisions import FUSED, Decision
from trtconv.ops.custom_op import Operand
from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.ops.instance_norm_function import RESIDUAL
from trtconv.passes.base import NoMatch, PassContext, Site
from trtconv.passes.fuse_pad import PAD_RULE
from trtconv.passes.fusion import (
    Fusion,
    PluginNode,
    attributes_with,
    given_out,
    read_plugin_node,
    tell_why_not,
    title_of,
)
from trtconv.passes.graph_edit import dtype_of, operand_of, plugin_node, replace, set_type, shape_of


class _Block(NamedTuple):
    """A norm, the pad of its result, and the norms that add that result; `attributes` are those of the padded norm."""

    norm: PluginNode
    pad: Site
    sums: Sequence[PluginNode]
    fusion: Fusion
    attributes: Mapping[str, Any]


def fuse_padded_residual(graph: gs.Graph, context: PassContext) -> int:
    """Return how many ONNX nodes became part of a custom op."""
    sites, outputs = context.sites(graph), given_out(graph)
    positions = {node: index for index, node in enumerate(sites)}
    num_fused = 0
    for site in sites.where(PAD_RULE.accepts):
        block = _match(site, sites, positions, outputs, context)
        if block is None:
            continue
        wish = context.wish_against(site, FUSED)
        if wish is None:
            num_fused += _fuse(block, sites, context)
        else:
            tell_why_not(site, wish.reason, context)
    return num_fused


def _match(
    pad: Site, sites: Mapping[int, Site], positions: Mapping[int, int], outputs: frozenset[int], context: PassContext
) -> _Block | None:
    """Return the block that a pad begins; where there is none, the pad stays as other passes left it."""
    z = pad.node.inputs[0]
    norm = read_plugin_node(z.inputs[0]) if len(z.inputs) == 1 else None
    if norm is None or norm.op is not INSTANCE_NORM or norm.stage >= PAD_RULE.stage or id(z) in outputs:
        return None
    sums = [read_plugin_node(reader) for reader in z.outputs if reader is not pad.node]
    adding = [each for each in sums if each is not None and _only_adds(each, z)]
    members = (norm.node, *(each.node for each in adding))
    are_here = all(id(node) in sites and sites[id(node)].graph is pad.graph for node in members)
    if not adding or len(adding) != len(sums) or not are_here:
        return None
    if any(positions[id(each.node)] < positions[id(pad.node)] for each in adding):  # before there is anything to read
        return None
    fusion = PAD_RULE.match(z, pad.node, context)
    attributes = fusion if isinstance(fusion, NoMatch) else attributes_with(norm, fusion)
    if isinstance(fusion, NoMatch) or isinstance(attributes, NoMatch) or "pads" not in fusion.attributes:
        return None
    block = _Block(norm, pad, adding, fusion, attributes)
    return block if _fits(block) else None


def _only_adds(norm: PluginNode, z: gs.Tensor) -> bool:
    """Say whether a norm reads Z as its residual alone, and not the inside of it."""
    roles = [role for role, tensor in norm.inputs.items() if tensor is z]
    return norm.op is INSTANCE_NORM and roles == [RESIDUAL] and not any(norm.attributes["residual_pads"])


def _fits(block: _Block) -> bool:
    """Say whether the plugin can do all of it."""
    operands = [operand_of(tensor) for tensor in block.norm.inputs.values()]
    if INSTANCE_NORM.problem(operands, block.attributes):
        return False
    padded = Operand(operands[0].dtype, _padded_dims(block))
    for each in block.sums:
        given = [padded if role == RESIDUAL else operand_of(tensor) for role, tensor in each.inputs.items()]
        if INSTANCE_NORM.problem(given, _reading_inside(each, block)):
            return False
    return True


def _padded_dims(block: _Block) -> Any:
    dims = shape_of(block.norm.inputs["X"])
    return None if dims is None else INSTANCE_NORM.output_dims(dims, block.attributes)


def _reading_inside(norm: PluginNode, block: _Block) -> dict[str, Any]:
    return {**norm.attributes, "residual_pads": block.attributes["pads"]}


def _fuse(block: _Block, sites: Mapping[int, Site], context: PassContext) -> bool:
    """Edit the graph; return whether the pad becomes part of a custom op only by it."""
    graph, pad, z, y = block.pad.graph, block.pad.node, block.norm.y, block.pad.node.outputs[0]
    title, dtype, dims = title_of(pad), dtype_of(block.norm.inputs["X"]), _padded_dims(block)
    inputs = list(block.norm.inputs.values())
    by = plugin_node(INSTANCE_NORM, inputs, [y], block.attributes, context.opset)
    replace(graph, [block.norm.node, pad], by, instead=[(z, y)])
    set_type(y, dtype, dims)
    for each in block.sums:
        reading = [y if role == RESIDUAL else tensor for role, tensor in each.inputs.items()]
        outputs, attributes = list(each.node.outputs), _reading_inside(each, block)
        replace(graph, [each.node], plugin_node(INSTANCE_NORM, reading, outputs, attributes, context.opset))
    adding = ", ".join(sites[id(each.node)].address for each in block.sums)
    into = sites[id(block.norm.node)].address
    reason = f"{block.fusion.what}, fused into {into}; its inner part is a residual of {adding}"
    decision = Decision(block.pad.address, title, INSTANCE_NORM.title, reason, dict(block.fusion.attributes))
    return context.decisions.revise(pad, decision)
