"""Recognise  Reshape(X) to [N, G, ...] - InstanceNormalization - Reshape to the shape of X [- Mul - Add]
          and  GroupNormalization(X, scale, bias)  ->  trtconv::InstanceNorm(X, scale, bias, groups=G).

Neighbouring channels lie together in memory, so a slice of the reshaped tensor is C / G channels of X. The plugin has
one scale and bias a channel: constants of the norm, one a group, are repeated and joined with those of Mul and Add.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_graphsurgeon as gs

from trtconv.decisions import NOT_FUSED
from trtconv.ops.custom_op import Dim
from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.passes.base import NoMatch, PassContext, Site
from trtconv.passes.constant_values import MAX_CHANNELS, MAX_ELEMENTS, read_constants, too_many_channels
from trtconv.passes.equal_sizes import are_same_shape
from trtconv.passes.fusion import given_out, is_op
from trtconv.passes.graph_edit import dtype_of, operand_of, plugin_node, replace, set_type, shape_of

_OPERATOR = "GroupNormalization"
_SCALE_BY_CHANNEL_OPSET = 21  # before it, scale and bias of GroupNormalization are one a group
_Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Match:
    """A group norm of X: nodes from the first to the one that writes the result."""

    nodes: Sequence[gs.Node]
    x: gs.Tensor
    scale: gs.Tensor
    bias: gs.Tensor
    groups: int
    epsilon: float


@dataclass(frozen=True)
class _Affine:
    """One factor and one summand a channel, in float64, and the nodes that apply them."""

    scale: _Array
    bias: _Array
    nodes: Sequence[gs.Node] = ()


def recognise_group_norm(graph: gs.Graph, context: PassContext) -> int:
    """Return how many nodes of ONNX norms, and nodes that write the result of one, became trtconv::InstanceNorm."""
    surroundings = _Surroundings(graph, context)
    num_recognised = 0
    for site in surroundings.sites.where(lambda node: is_op(node, _OPERATOR, INSTANCE_NORM.form.op_type)):
        if is_op(site.node, _OPERATOR):
            match = _match_operator(site, context)
        elif _stands_between_reshapes(site.node):
            match = _match_reshaped(site, surroundings)
        else:
            continue
        apart = surroundings.why_apart(match, site) if isinstance(match, _Match) else (_told_of(site), match)
        if apart is None and isinstance(match, _Match):
            num_recognised += _rewrite(match, site, surroundings)
        elif apart is not None and (apart[0] is not site.node or is_op(site.node, _OPERATOR)):
            surroundings.tell(*apart)  # an InstanceNormalization itself is decided later
    return num_recognised


def _told_of(site: Site) -> gs.Node:
    """Return the node that is told of where a norm is no group norm."""
    is_operator = is_op(site.node, _OPERATOR)
    return site.node if is_operator else site.node.inputs[0].inputs[0]


class _Surroundings:
    """The nodes of a graph and what it gives out, and what the user wants of them."""

    def __init__(self, graph: gs.Graph, context: PassContext) -> None:
        self.sites = context.sites(graph)
        self.context = context
        self._outer = given_out(graph)

    def why_apart(self, match: _Match, site: Site) -> tuple[gs.Node, NoMatch] | None:
        """Return why nodes that compute a group norm do not become one, and the node that is told of."""
        for node in match.nodes:
            member = self.sites[id(node)]
            if member.graph is not site.graph:
                return node, NoMatch("a part of the norm stands inside a branch")
            if wish := self.context.wish_against(member):
                return node, wish
        for reader, node in zip(match.nodes[1:], match.nodes, strict=False):
            if why := self.why_not_alone(node, reader):
                return node, why
        operands = [operand_of(tensor) for tensor in (match.x, match.scale, match.bias)]
        problem = INSTANCE_NORM.problem(operands, {"epsilon": match.epsilon, "groups": match.groups})
        return None if problem is None else (_told_of(site), NoMatch(problem))

    def why_not_alone(self, node: gs.Node, reader: gs.Node) -> NoMatch | None:
        """Return why others than `reader` want what a node writes."""
        tensor = node.outputs[0]
        if id(tensor) in self._outer:
            return NoMatch(f"the graph gives out {tensor.name}")
        is_alone = all(each is reader for each in tensor.outputs)
        return None if is_alone else NoMatch(f"other nodes read {tensor.name}, too")

    def tell(self, node: gs.Node, why: NoMatch) -> None:
        """Record why a node stays."""
        reason = why.reason if is_op(node, _OPERATOR) else NOT_FUSED + why.reason
        self.context.note(self.sites[id(node)], None, reason)


def _stands_between_reshapes(norm: gs.Node) -> bool:
    before = norm.inputs[0].inputs
    after = norm.outputs[0].outputs
    return bool(before and is_op(before[0], "Reshape") and after and all(is_op(node, "Reshape") for node in after))


def _match_operator(site: Site, context: PassContext) -> _Match | NoMatch:
    node = site.node
    if len(node.inputs) != 3:
        return NoMatch(f"it has {len(node.inputs)} inputs, expected X, scale and bias")
    groups, epsilon = node.attrs["num_groups"], node.attrs.get("epsilon", 1e-5)
    x, scale, bias = node.inputs
    channels = _num_channels(x)
    if context.opset >= _SCALE_BY_CHANNEL_OPSET:
        return _Match([node], x, scale, bias, 0 if groups == channels else groups, epsilon)
    if channels is None or groups < 1 or channels % groups:
        return NoMatch(f"{groups} groups do not divide its {'unknown' if channels is None else channels} channels")
    values = _read([scale, bias], context) if channels <= MAX_CHANNELS else too_many_channels(channels)
    if isinstance(values, NoMatch):
        return values
    by_channel = [np.repeat(value.reshape(-1), channels // groups) for value in values]
    return _with_constants([node], x, by_channel, groups, epsilon)


def _match_reshaped(site: Site, surroundings: _Surroundings) -> _Match | NoMatch:
    norm, context = site.node, surroundings.context
    before = norm.inputs[0].inputs[0]
    x, reshaped, epsilon = before.inputs[0], norm.inputs[0], norm.attrs.get("epsilon", 1e-5)
    if len(norm.inputs) != 3 or len(norm.outputs[0].outputs) != 1:
        return NoMatch(f"{len(norm.outputs[0].outputs)} nodes read the norm")
    after = norm.outputs[0].outputs[0]
    groups = _find_groups(x, reshaped, before, context)
    if isinstance(groups, NoMatch):
        return groups
    if not _restores(after, x, context):
        return NoMatch(f"{after.outputs[0].name} is not known to have the shape of {x.name}")
    values = _read(norm.inputs[1:], context)
    if isinstance(values, NoMatch):
        return values
    channels = _num_channels(x) or 0
    if any(value.shape != (groups,) for value in values):
        return NoMatch(f"its scale has shape {list(values[0].shape)}, expected one value for each of {groups} groups")
    scale, bias = (np.repeat(value.astype(np.float64), channels // groups) for value in values)
    affine = _affine_after(after, _Affine(scale, bias), x, surroundings)
    nodes = [before, norm, after, *affine.nodes]
    return _with_constants(nodes, x, [affine.scale, affine.bias], groups, epsilon)


def _find_groups(x: gs.Tensor, reshaped: gs.Tensor, node: gs.Node, context: PassContext) -> int | NoMatch:
    """Return into how many groups of whole channels a Reshape puts the channels of each image."""
    channels, dims, given = _num_channels(x), shape_of(x), shape_of(reshaped)
    if dims is None or channels is None or given is None or len(given) < 3:
        return NoMatch(f"the channels of {x.name} are not known")
    if channels > MAX_CHANNELS:
        return too_many_channels(channels)
    groups = given[1]
    if not isinstance(groups, int) or groups < 1 or channels % groups:
        shown = groups if isinstance(groups, int) else "its"
        return NoMatch(f"{shown} channels of {reshaped.name} are not groups of the {channels} of {x.name}")
    if dims[0] is not None and dims[0] == given[0]:
        return groups
    if _keeps_first_axis(node, dims, given, context):
        return groups
    return NoMatch(f"{reshaped.name} is not known to keep the first axis of {x.name}")


def _keeps_first_axis(node: gs.Node, dims: Sequence[Dim], given: Sequence[Dim], context: PassContext) -> bool:
    """Say whether a Reshape copies the first axis, or leaves for it what the others do not take."""
    value = read_constants([node.inputs[1]], context.opset, context.folder)[node.inputs[1].name]
    is_copied = isinstance(value, np.ndarray) and value.size > 0 and value.reshape(-1)[0] == 0
    if is_copied and not node.attrs.get("allowzero", 0):
        return True
    rests = [_product(dims[1:]), _product(given[1:])]
    return rests[0] is not None and rests[0] == rests[1]


def _product(dims: Sequence[Dim]) -> int | None:
    sizes = [dim for dim in dims if isinstance(dim, int)]
    return math.prod(sizes) if len(sizes) == len(dims) else None


def _restores(after: gs.Node, x: gs.Tensor, context: PassContext) -> bool:
    """Say whether a Reshape gives its input the shape of X."""
    source = after.inputs[1].inputs[0] if after.inputs[1].inputs else None
    is_shape_of_x = source is not None and is_op(source, "Shape") and source.inputs[0] is x and not source.attrs
    return is_shape_of_x or are_same_shape(after.outputs[0], x, context)


def _affine_after(node: gs.Node, before: _Affine, x: gs.Tensor, surroundings: _Surroundings) -> _Affine:
    """Return what Mul and then Add, each with one constant a channel, make of an affine; others stay."""
    affine = before
    for op in ("Mul", "Add"):
        tensor = node.outputs[0]
        reader = tensor.outputs[0] if tensor.outputs else None
        if reader is None or not is_op(reader, op) or surroundings.why_not_alone(node, reader):
            continue
        others = [each for each in reader.inputs if each is not tensor]
        values = _by_channel(others[0], x, surroundings.context) if len(others) == 1 else None
        if values is None:
            break
        if wish := surroundings.context.wish_against(surroundings.sites[id(reader)]):
            surroundings.tell(reader, wish)
            break
        if op == "Mul":
            affine = _Affine(affine.scale * values, affine.bias * values, (*affine.nodes, reader))
        else:
            affine = _Affine(affine.scale, affine.bias + values, (*affine.nodes, reader))
        node = reader
    return affine


def _by_channel(tensor: gs.Tensor, x: gs.Tensor, context: PassContext) -> _Array | None:
    """Return a constant that is broadcast over [N, C, D1..Dk] as one value a channel; None for any other tensor."""
    (value,) = read_constants([tensor], context.opset, context.folder, limit=MAX_ELEMENTS).values()
    dims, channels = shape_of(x), _num_channels(x)
    if isinstance(value, NoMatch) or dims is None or channels is None or value.ndim > len(dims) or context.opset < 7:
        return None  # before opset 7 an attribute says how operands are broadcast
    spread = [1] * (len(dims) - value.ndim) + list(value.shape)
    if spread not in ([1, channels] + [1] * (len(dims) - 2), [1] * len(dims)):
        return None
    return np.broadcast_to(value.astype(np.float64).reshape(-1), (channels,))


def _with_constants(
    nodes: Sequence[gs.Node], x: gs.Tensor, by_channel: Sequence[_Array], groups: int, epsilon: float
) -> _Match | NoMatch:
    """Return a match whose scale and bias are constants of the type of X."""
    if not isinstance(x.dtype, np.dtype):
        return NoMatch("the type of its input is none of numpy's")
    name = nodes[-1].outputs[0].name
    scale, bias = (
        gs.Constant(f"{name}_{role}", np.ascontiguousarray(values.astype(x.dtype)))
        for role, values in zip(("scale", "bias"), by_channel, strict=True)
    )
    return _Match(nodes, x, scale, bias, 0 if groups == _num_channels(x) else groups, epsilon)


def _read(tensors: Sequence[gs.Tensor], context: PassContext) -> list[_Array] | NoMatch:
    values = read_constants(tensors, context.opset, context.folder, limit=MAX_ELEMENTS)
    found = [values[tensor.name] for tensor in tensors]
    unknown = next((value for value in found if isinstance(value, NoMatch)), None)
    return unknown or [value for value in found if not isinstance(value, NoMatch)]


def _num_channels(x: gs.Tensor) -> int | None:
    dims = shape_of(x)
    return dims[1] if dims is not None and len(dims) > 2 and isinstance(dims[1], int) else None


def _rewrite(match: _Match, site: Site, surroundings: _Surroundings) -> int:
    """Put the plugin in the place of the nodes; return how many of them are told of."""
    context, last = surroundings.context, surroundings.sites[id(match.nodes[-1])]
    titles = {id(node): node.op for node in match.nodes}
    attributes = {"epsilon": match.epsilon, "groups": match.groups}
    y = last.node.outputs[0]
    by = plugin_node(INSTANCE_NORM, [match.x, match.scale, match.bias], [y], attributes, context.opset)
    replace(site.graph, match.nodes, by)
    set_type(y, dtype_of(match.x), shape_of(match.x))
    groups = f"{match.groups} groups" if match.groups else "a group for each channel"
    reason = f"group norm of {groups}, epsilon {match.epsilon:g}"
    told = [site] if last is site else [site, last]
    for each in told:
        part = "" if each is last else f", part of {last.address}"
        if titles[id(each.node)] == INSTANCE_NORM.form.op_type:
            context.rewritten(each, INSTANCE_NORM, reason + part, attributes)
        else:
            context.note(each, INSTANCE_NORM.title, reason + part, attributes, titles[id(each.node)])
    return len(told)
