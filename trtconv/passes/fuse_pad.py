"""Fuse  ReflectPad(Y), Pad(Y, mode edge), Pad(Y, mode constant, value 0)  ->  pads of the InstanceNorm before it.

Pads that are all zero do nothing, in whatever mode: the node goes. By itself such a node stays, for TensorRT removes it
(docs/decisions/0002), but between a norm and what else it takes it would be in the way.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from trtconv.errors import ModelError
from trtconv.model.addresses import address_of
from trtconv.model.walking import is_onnx
from trtconv.ops.custom_op import DOMAIN
from trtconv.ops.dynamic_reflect_pad import DYNAMIC_REFLECT_PAD
from trtconv.ops.output_map import ONNX_PAD_MODES
from trtconv.ops.reflect_pad import REFLECT_PAD
from trtconv.passes.base import NoMatch, PassContext, Site
from trtconv.passes.constant_values import read_constants
from trtconv.passes.fusion import Fusion, Rule, read_plugin_node
from trtconv.passes.graph_edit import given_inputs
from trtconv.passes.pad_values import find_pads, read_pad_inputs

_VALUE = 2  # input position
_MODES = {onnx: ours for ours, onnx in ONNX_PAD_MODES.items()}


def _accepts(node: gs.Node) -> bool:
    is_plugin = node.domain == DOMAIN and node.op in (REFLECT_PAD.name, DYNAMIC_REFLECT_PAD.name)
    return len(node.outputs) == 1 and (is_plugin or (node.op == REFLECT_PAD.form.op_type and is_onnx(node.domain)))


def _match(y: gs.Tensor, node: gs.Node, context: PassContext) -> Fusion | NoMatch:
    if node.inputs[0] is not y:
        return NoMatch("the tensor is not the input that it pads")
    if node.op == DYNAMIC_REFLECT_PAD.name:
        return NoMatch("its pads are only known at run time")
    return _match_plugin(node) if node.domain == DOMAIN else _match_onnx(node, context)


def _match_plugin(node: gs.Node) -> Fusion | NoMatch:
    found = read_plugin_node(node)
    if found is None:
        return NoMatch("it is not as its plugin wants it")
    plain = found.op.complete({"pads": found.attributes["pads"], "pad_mode": found.attributes["pad_mode"]})
    if found.attributes != plain:
        return NoMatch("it does more than to pad")
    return _fusion(node, found.attributes["pads"], found.attributes["pad_mode"])


def _match_onnx(node: gs.Node, context: PassContext) -> Fusion | NoMatch:
    site = Site(gs.Graph(), node, address_of(node))
    try:
        (values,) = read_pad_inputs([site], context).values()
        found = find_pads(site, values, context.opset)
    except ModelError as error:  # of a node that no other pass looks at: TensorRT may take it
        return NoMatch(error.what)
    if isinstance(found, NoMatch):
        return found
    if any(found.cropped):
        return NoMatch(f"pads {found.pads} are negative")
    mode = node.attrs.get("mode", "constant")
    if mode == "constant" and any(found.pads) and (problem := _not_zero(node, context)):
        return NoMatch(problem)
    if any(found.pads) and (mode not in _MODES or mode == "reflect"):  # a reflection is a plugin where it can be one
        return NoMatch(f"its mode is {mode}")
    return _fusion(node, found.pads, _MODES.get(mode, "reflect"))


def _not_zero(node: gs.Node, context: PassContext) -> str | None:
    """Return why a Pad does not pad with zeros."""
    inputs = given_inputs(node)
    tensor = inputs[_VALUE] if len(inputs) > _VALUE else None
    if tensor is None:
        value = node.attrs.get("value", 0.0)
        return None if value == 0 else f"it pads with {value}"
    found = read_constants([tensor], context.opset, context.folder)[tensor.name]
    if isinstance(found, NoMatch):
        return f"its value is only known at run time: {tensor.name}"
    return f"it pads with {found.reshape(-1)[0]:g}" if np.any(found) else None


def _fusion(node: gs.Node, pads: list[int], mode: str) -> Fusion:
    if not any(pads):
        return Fusion([node], "pads that are all zero")
    return Fusion([node], f"{mode} pads [{','.join(map(str, pads))}]", {"pads": pads, "pad_mode": mode})


PAD_RULE = Rule(3, _accepts, _match)
