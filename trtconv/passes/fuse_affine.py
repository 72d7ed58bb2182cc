"""Fuse  Mul(InstanceNorm(X, scale, bias), G), then Add(.., H)  ->  InstanceNorm(X, scale * G, bias * G + H),

where G and H hold one value a channel, or for each image its own (AdaIN); either of the two nodes may be absent. Scale
and bias of the norm are constants, ones and zeros as a rule. Div and Sub by constants are Mul and Add.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx_graphsurgeon as gs

from trtconv.decisions import FUSED, Decision
from trtconv.ops.custom_op import DOMAIN, Dim
from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.passes.affine_nodes import AffineNodes, Values
from trtconv.passes.base import NoMatch, PassContext, Site
from trtconv.passes.constant_values import direct_value, read_constants
from trtconv.passes.fusion import PluginNode, given_out, is_op, read_plugin_node, tell_why_not
from trtconv.passes.graph_edit import dtype_of, operand_of, plugin_node, replace, shape_of

_FIRST_OPSET = 8  # with Expand
_INVERSE = ("Div", "Sub")


class _Match(NamedTuple):
    """The nodes that go into the norm, and by what they multiply and add; None where there is no such node."""

    nodes: Sequence[gs.Node]
    factor: Values | None
    summand: Values | None


def fuse_affine(graph: gs.Graph, context: PassContext) -> int:
    """Return how many Mul and Add nodes became part of a norm."""
    sites, outputs = context.sites(graph), given_out(graph)
    num_fused = 0
    for site in sites.where(lambda node: node.domain == DOMAIN):
        base = read_plugin_node(site.node)
        if base is None or base.op is not INSTANCE_NORM or base.stage >= 0 or context.opset < _FIRST_OPSET:
            continue
        match = _match(base, sites, outputs, context)
        if match is not None:
            num_fused += _fuse(base, site, match, sites, context)
    return num_fused


def _match(base: PluginNode, sites: Mapping[int, Site], outputs: frozenset[int], context: PassContext) -> _Match | None:
    found: dict[str, Values] = {}
    nodes: list[gs.Node] = []
    y = base.y
    for op, inverse in (("Mul", "Div"), ("Add", "Sub")):
        reader = _only_reader(y, outputs)
        if reader is None or not is_op(reader, op, inverse) or id(reader) not in sites:
            continue
        values = _read(reader, y, base, context)
        if values is None:
            return _Match(nodes, found.get("Mul"), None) if nodes else None
        if wish := context.wish_against(sites[id(reader)], FUSED):
            tell_why_not(sites[id(reader)], wish.reason, context)
            return _Match(nodes, found.get("Mul"), None) if nodes else None
        found[op] = values
        nodes.append(reader)
        y = reader.outputs[0]
    return _Match(nodes, found.get("Mul"), found.get("Add")) if nodes else None


def _only_reader(y: gs.Tensor, outputs: frozenset[int]) -> gs.Node | None:
    return None if id(y) in outputs or len(y.outputs) != 1 else y.outputs[0]


def _read(reader: gs.Node, y: gs.Tensor, base: PluginNode, context: PassContext) -> Values | None:
    """Return the other operand of a Mul or Add as one value a channel, None where it is more than that.

    That of a Div or Sub is inverted, which a constant alone can be.
    """
    others = [tensor for tensor in reader.inputs if tensor is not y]
    dims = shape_of(base.inputs["X"])
    if len(others) != 1 or dims is None or not isinstance(dims[1], int) or dtype_of(others[0]) != dtype_of(y):
        return None
    (tensor,) = others
    own = shape_of(tensor)
    if own is None or len(own) > len(dims):
        return None
    padded: list[Dim] = [*[1] * (len(dims) - len(own)), *own]
    if any(dim != 1 for dim in padded[2:]):
        return None
    (constant,) = read_constants([tensor], context.opset, context.folder).values()
    if not isinstance(constant, NoMatch):
        is_by_channel = padded[0] == 1 and padded[1] in (1, dims[1])
        return _constant_values(reader, y, tensor, constant, dims[1]) if is_by_channel else None
    if is_op(reader, *_INVERSE):
        return None
    is_by_image = padded[0] != 1
    if padded[1] != dims[1] or (is_by_image and (padded[0] is None or padded[0] != dims[0])):
        return None
    return Values(tensor, None, is_by_image)


def _constant_values(
    reader: gs.Node, y: gs.Tensor, tensor: gs.Tensor, constant: npt.NDArray[Any], channels: int
) -> Values | None:
    """Return what a Mul or Add takes that stands for a Mul, Add, Div or Sub by a constant; None where none can."""
    if is_op(reader, *_INVERSE) and reader.inputs[0] is not y:
        return None
    with np.errstate(divide="ignore"):
        values = 1 / constant if reader.op == "Div" else -constant if reader.op == "Sub" else constant
    by_channel = np.broadcast_to(values.reshape(-1).astype(constant.dtype), (channels,))
    return Values(tensor, by_channel, False) if reader.op != "Div" or np.isfinite(values).all() else None


def _fuse(base: PluginNode, site: Site, match: _Match, sites: Mapping[int, Site], context: PassContext) -> int:
    scale, bias = (direct_value(base.inputs[role], context.folder) for role in ("scale", "bias"))
    if scale is None or bias is None or scale.ndim != 1 or bias.ndim != 1:
        return 0
    output = match.nodes[-1].outputs[0]
    dims = shape_of(base.inputs["X"]) or []
    made = AffineNodes(output.name, dims[0], len(scale), output.dtype).combine(scale, bias, match.factor, match.summand)
    inputs = {**base.inputs, "scale": made.scale, "bias": made.bias}
    if base.op.problem([operand_of(tensor) for tensor in inputs.values()], base.attributes):
        return 0
    by = plugin_node(base.op, list(inputs.values()), [output], base.attributes, context.opset)
    told = [(sites[id(node)], node.op) for node in match.nodes]
    replace(site.graph, [base.node, *match.nodes], [*made.nodes, by])
    num_fused = 0
    for (member, op), values in zip(told, filter(None, (match.factor, match.summand)), strict=True):
        if id(member.node) in context.made:
            continue
        role = "scale" if op in ("Mul", "Div") else "bias"
        decision = Decision(
            member.address, op, base.op.title, f"{role} {values.tensor.name}, fused into {site.address}"
        )
        num_fused += context.decisions.revise(member.node, decision)
    return num_fused
