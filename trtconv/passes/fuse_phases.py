"""Fuse  InstanceNorm(ReflectPad(X, phases)), ReflectPad(ReflectPad(X, phases))  ->  the outer op with these phases.

A convolution that was rewritten leaves a map that only puts phases in place. The norm or the pad that alone reads it
reads the phases itself.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from trtconv.ops.custom_op import DOMAIN
from trtconv.ops.input_map import has_phases
from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.ops.reflect_pad import REFLECT_PAD
from trtconv.passes.base import PassContext, Site
from trtconv.passes.fusion import PluginNode, given_out, read_plugin_node
from trtconv.passes.graph_edit import operand_of, plugin_node, replace

_NAMES = ("phases", "crop")


def fuse_phases(graph: gs.Graph, context: PassContext) -> None:
    """Let the custom ops read phases in place. No node that a user knows goes: the maps are the passes' own."""
    outputs, sites = given_out(graph), context.sites(graph)
    for site in sites.where(lambda node: node.domain == DOMAIN):
        placing = read_plugin_node(site.node)
        if placing is None or not _only_places(placing) or id(placing.y) in outputs:
            continue
        reader = _only_reader(placing.y)
        if reader is not None and sites[id(reader.node)].graph is site.graph:
            _fuse(site, placing, reader, context)


def _only_places(plugin: PluginNode) -> bool:
    """Say whether a node puts phases in place and does nothing else."""
    if plugin.op is not REFLECT_PAD or not has_phases(plugin.attributes):
        return False
    alone = {name: plugin.attributes[name] for name in _NAMES}
    return plugin.attributes == plugin.op.complete({"pads": [0] * len(plugin.attributes["pads"]), **alone})


def _only_reader(y: gs.Tensor) -> PluginNode | None:
    """Return the custom op without phases that alone reads a tensor, as its X."""
    reader = read_plugin_node(y.outputs[0]) if len(y.outputs) == 1 else None
    if reader is None or "phases" not in reader.attributes or has_phases(reader.attributes):
        return None
    return reader if [role for role, tensor in reader.inputs.items() if tensor is y] == ["X"] else None


def _fuse(site: Site, placing: PluginNode, reader: PluginNode, context: PassContext) -> None:
    first = 2 if reader.op is INSTANCE_NORM else 0  # a norm's lists speak of the spatial axes
    attributes = {**reader.attributes, **{name: placing.attributes[name][first:] for name in _NAMES}}
    inputs = list({**reader.inputs, "X": placing.inputs["X"]}.values())
    if reader.op.problem([operand_of(tensor) for tensor in inputs], attributes):
        return
    by = plugin_node(reader.op, inputs, [reader.y], attributes, context.opset)
    replace(site.graph, [placing.node, reader.node], by)
