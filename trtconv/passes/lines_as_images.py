"""Rewrite  what lies around 1-D custom ops, [N, C, L]  ->  the same of images of one row, [N, C, 1, L].

TensorRT computes a convolution of lines as one of images, whose tensors lie channels-last, and gives a plugin of lines
linear tensors alone: between two convolutions it costs a copy before it and one after it. Of images it takes what is
there. Convolutions, custom ops, pointwise nodes, Concats and pads that are connected become images together; where they
end, Unsqueeze and Squeeze change the shape, which moves nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as changed
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from trtconv.costs import work
from trtconv.errors import ModelError
from trtconv.model.addresses import address_of
from trtconv.model.walking import is_onnx
from trtconv.ops.custom_op import CustomOp, attributes_for
from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.ops.output_map import spread
from trtconv.ops.reflect_pad import REFLECT_PAD
from trtconv.passes.base import PassContext, walk_graphs
from trtconv.passes.constant_values import direct_value
from trtconv.passes.fusion import given_out, read_plugin_node
from trtconv.passes.graph_edit import NewNode, replace, shape_of
from trtconv.passes.pad_values import PADS_INPUT_OPSET, KnownPads, find_pads, read_pad_inputs

REASON = "as an image of one row, like the convolutions around it"
_LINE_RANK = 3
_ROW = 2  # the axis of an image that a line lacks
_AXES_INPUT_OPSET = 13  # the first in which Squeeze and Unsqueeze have their axes as an input
_CONVOLUTIONS = ("Conv", "ConvTranspose")
_PAD = REFLECT_PAD.form.op_type
# The lists of convolutions that have an entry for each spatial axis, and what the row has there.
_OF_CONVOLUTIONS: Mapping[str, int] = {
    **dict.fromkeys(("kernel_shape", "strides", "dilations", "output_shape"), 1),
    **dict.fromkeys(("output_padding", "pads"), 0),
}
# Those of custom ops: a norm's speak of the spatial axes, a pad's of all.
_OF_PLUGINS: Mapping[str, int] = {
    **dict.fromkeys(("upsample", "phases"), 1),
    **dict.fromkeys(("crop", "pads", "residual_pads"), 0),
}
_WITH_ENDS = frozenset({"pads", "residual_pads"})  # all begins, then all ends


def lines_as_images(graph: gs.Graph, context: PassContext) -> int:
    """Make images of regions with a custom op and a convolution; return 0, for no node becomes a custom op here."""
    given, pads = given_out(graph), _known_pads(graph, context)
    for each in walk_graphs(graph):
        _Lines(each, _found(each, pads), given, pads, context).make_images()
    return 0


def _known_pads(graph: gs.Graph, context: PassContext) -> dict[int, list[int]]:
    """Return the pads of all axes of the Pad nodes of lines where they are known, by the ids of these."""
    sites = context.nodes(graph, lambda node: node.op == _PAD and bool(node.inputs) and _are_lines(node.inputs[0]))
    values, known = read_pad_inputs(sites, context), {}
    for site in sites:
        with contextlib.suppress(ModelError):  # malformed: it stays as it is
            found = find_pads(site, values.get(id(site.graph), {}), context.opset)
            if isinstance(found, KnownPads):
                known[id(site.node)] = found.pads
    return known


def _found(graph: gs.Graph, pads: Collection[int]) -> list[gs.Node]:
    """Return the nodes that are to be of images, in their order: connected ones, with a custom op and a convolution."""
    able = {id(node): node for node in graph.nodes if id(node) in pads or _can_be_of_images(node)}
    seen: set[int] = set()
    wanted: set[int] = set()
    for key in able:
        if key in seen:
            continue
        found, waiting = {key}, [key]
        while waiting:
            for near in map(id, _neighbours(able[waiting.pop()])):
                if near in able and near not in found:
                    found.add(near)
                    waiting.append(near)
        seen |= found
        nodes = [able[each] for each in found]
        if any(node.op in _CONVOLUTIONS for node in nodes) and any(map(read_plugin_node, nodes)):
            wanted |= found
    return [node for key, node in able.items() if key in wanted]


def _neighbours(node: gs.Node) -> Iterator[gs.Node]:
    yield from node.outputs[0].outputs
    for tensor in node.inputs:
        yield from tensor.inputs


def _can_be_of_images(node: gs.Node) -> bool:
    """Say whether a node makes lines of lines, and would make images of one row of such images."""
    if len(node.outputs) != 1 or not _are_lines(node.outputs[0]) or not all(map(_is_at_most_lines, node.inputs)):
        return False
    plugin = read_plugin_node(node)
    if plugin is not None:
        return plugin.op in (INSTANCE_NORM, REFLECT_PAD) and _are_lines(plugin.inputs["X"])
    if not is_onnx(node.domain):
        return False
    if node.op in _CONVOLUTIONS:
        return len(node.inputs) > 1 and all(map(_are_lines, node.inputs[:2])) and _fits_lines(node)
    if node.op == "Concat":
        return all(map(_are_lines, node.inputs)) and _axis_of_concat(node) in range(-_LINE_RANK, _LINE_RANK)
    if "axis" in node.attrs:  # before opset 7 it says where the axes of the second input are
        return False
    return work.kind_of(node.op) == work.POINTWISE and any(map(_are_lines, node.inputs))


def _axis_of_concat(node: gs.Node) -> int:
    axis: int = node.attrs.get("axis", 1)  # which opsets before 4 leave out
    return axis


def _are_lines(tensor: gs.Tensor) -> bool:
    return _rank(tensor) == _LINE_RANK


def _rank(tensor: gs.Tensor) -> int | None:
    dims = shape_of(tensor) if tensor.name else []  # one that is left out
    return None if dims is None else len(dims)


def _is_at_most_lines(tensor: gs.Tensor) -> bool:
    rank = _rank(tensor)
    return rank is not None and rank <= _LINE_RANK


def _fits_lines(node: gs.Node) -> bool:
    """Say whether the lists of a convolution have an entry for one spatial axis, two for its pads."""
    lists = ((node.attrs.get(name), 2 if name in _WITH_ENDS else 1) for name in _OF_CONVOLUTIONS)
    return all(not values or len(values) == count for values, count in lists)


@dataclass(frozen=True)
class _Lines:
    """The nodes of one graph that are to be of images, and the images by the ids of the lines that they stand for.

    A graph gives out the tensors `given`; `pads` are those of Pad nodes.
    """

    graph: gs.Graph
    nodes: Sequence[gs.Node]
    given: frozenset[int]
    pads: Mapping[int, Sequence[int]]
    context: PassContext
    images: dict[int, gs.Tensor] = field(default_factory=dict)

    def make_images(self) -> None:
        """Put a node of images in the place of each; a reader before what it reads, which then has none any more."""
        own = {id(node) for node in self.nodes}
        known = {id(node.outputs[0]) for node in self.nodes}
        before: dict[int, list[NewNode]] = {}  # what makes images of tensors from outside, by the node that comes first
        for node in self.nodes:
            for tensor in (each for each in _of_lines(node) if id(each) not in known):
                known.add(id(tensor))
                if not isinstance(image := self._image(tensor), gs.Constant):
                    unsqueezed = self._reshaped("Unsqueeze", tensor, image, axis=len(tensor.shape) - 1)
                    before.setdefault(id(node), []).append(unsqueezed)
        for node in reversed(self.nodes):
            y = node.outputs[0]
            node.name = address_of(node)  # what users call it stays, though it writes another tensor
            is_read = id(y) in self.given or any(id(reader) not in own for reader in y.outputs)
            after = [self._reshaped("Squeeze", self._image(y), y, axis=_ROW)] if is_read else []
            replace(self.graph, [node], [*before.get(id(node), ()), self._of_images(node), *after])
            self._tell(node)

    def _of_images(self, node: gs.Node) -> NewNode:
        if id(node) in self.pads:
            return self._padded(node)
        changing = {id(tensor) for tensor in _of_lines(node)}
        inputs = [self._image(tensor) if id(tensor) in changing else tensor for tensor in node.inputs]
        attributes = _attributes_of_images(node, self.context.opset)
        return NewNode(node.op, inputs, [self._image(node.outputs[0])], attributes, node.domain, heir_of=node)

    def _padded(self, node: gs.Node) -> NewNode:
        x, *others = node.inputs
        y, pads = self._image(node.outputs[0]), _with_row("pads", self.pads[id(node)], 0)
        if self.context.opset < PADS_INPUT_OPSET:
            return NewNode(_PAD, [self._image(x)], [y], {**node.attrs, "pads": pads}, heir_of=node)
        tensor = gs.Constant(f"{node.outputs[0].name}_pads_of_image", np.array(pads, np.int64))
        return NewNode(_PAD, [self._image(x), tensor, *others[1:2]], [y], node.attrs, heir_of=node)

    def _image(self, tensor: gs.Tensor) -> gs.Tensor:
        """Return what stands for a tensor: another axis of one element before its last."""
        if id(tensor) not in self.images:
            name, dims = f"{tensor.name}_as_image", shape_of(tensor) or []
            value = direct_value(tensor, self.context.folder)
            self.images[id(tensor)] = (
                gs.Variable(name, tensor.dtype, [*dims[:-1], 1, dims[-1]])
                if value is None
                else gs.Constant(name, np.expand_dims(value, -2))
            )
        return self.images[id(tensor)]

    def _reshaped(self, op: str, x: gs.Tensor, y: gs.Tensor, axis: int) -> NewNode:
        if self.context.opset < _AXES_INPUT_OPSET:
            return NewNode(op, [x], [y], {"axes": [axis]})
        return NewNode(op, [x, gs.Constant(f"{x.name}_axis_of_row", np.array([axis], np.int64))], [y])

    def _tell(self, node: gs.Node) -> None:
        decision = self.context.decisions.last(node)
        if decision is not None and decision.is_plugin:
            self.context.decisions.revise(node, changed(decision, reason=f"{decision.reason}; {REASON}"))


def _of_lines(node: gs.Node) -> list[gs.Tensor]:
    """Return the inputs that have to be images too: those of more than one axis, but the parameters of a norm."""
    given = node.inputs if read_plugin_node(node) is None else filter(_are_lines, node.inputs)
    return [tensor for tensor in given if (_rank(tensor) or 0) > 1]


def _attributes_of_images(node: gs.Node, opset: int) -> dict[str, Any]:
    plugin, attributes = read_plugin_node(node), dict(node.attrs)
    if plugin is not None:
        return dict(attributes_for(plugin.op, _lists_of_images(plugin.op, plugin.attributes), opset))
    if node.op in _CONVOLUTIONS:
        lists = {name: value for name, value in attributes.items() if name in _OF_CONVOLUTIONS and value}
        return attributes | {name: _with_row(name, value, _OF_CONVOLUTIONS[name]) for name, value in lists.items()}
    if node.op == "Concat":
        axis = _axis_of_concat(node) % _LINE_RANK
        attributes["axis"] = axis + (axis >= _ROW)
    return attributes


def _lists_of_images(op: CustomOp, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a custom op with an entry for the row in each list that has one an axis or changes any.

    What asks for nothing of all axes stays as it is.
    """
    num_axes, images = (1 if op is INSTANCE_NORM else _LINE_RANK), dict(attributes)
    for name in _OF_PLUGINS.keys() & attributes.keys():
        of_row = _OF_PLUGINS[name]
        if list(attributes[name]) != [of_row]:
            of_axes = spread(attributes[name], num_axes * (2 if name in _WITH_ENDS else 1))
            images[name] = _with_row(name, of_axes, of_row)
    return images


def _with_row(name: str, values: Sequence[int], of_row: int) -> list[int]:
    """Return a list with what the row has, before the entry of the last axis; of pads twice."""
    half = len(values) // 2
    parts = (values[:half], values[half:]) if name in _WITH_ENDS else (values,)
    return [entry for part in parts for entry in (*part[:-1], of_row, part[-1])]
