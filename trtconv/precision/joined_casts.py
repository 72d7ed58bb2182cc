"""Let custom ops change a type themselves, where a change of precision put a Cast beside one.

    Cast(X) - ReflectPad  ->  ReflectPad(X, to=...)         a pad that only moves elements: rounding may come after it
    InstanceNorm or ReflectPad - Cast  ->  the same op, to=...

The first map of a network then reads its fp32 input, and the last writes its fp32 output.
"""

from __future__ import annotations

from collections import Counter

import onnx
from onnx import helper

from trtconv.model.walking import is_onnx, walk_graphs
from trtconv.ops import CUSTOM_OPS
from trtconv.ops.activations import NONE
from trtconv.ops.custom_op import DOMAIN, CustomOp, Operand, attributes_of
from trtconv.ops.output_map import FLOATS
from trtconv.ops.reflect_pad import REFLECT_PAD


def join_casts(proto: onnx.ModelProto) -> None:
    """Take away the Casts of the main graph that a custom op can do, in place; functions are to be attached anew."""
    joiner = _Joiner(proto.graph)
    for node in list(proto.graph.node):
        op = CUSTOM_OPS.get(node.op_type) if node.domain == DOMAIN else None
        if op is not None and "to" in op.attributes:
            joiner.join_before(op, node)
            joiner.join_after(op, node)
    joiner.drop()


class _Joiner:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._writers = {name: node for node in graph.node for name in node.output if name}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for each in walk_graphs(graph):
            for node in each.node:
                for name in node.input:
                    self._readers.setdefault(name, []).append(node)
        self._given_out = Counter(value.name for each in walk_graphs(graph) for value in each.output)
        values = (*graph.input, *graph.value_info, *graph.output)
        self._types = {value.name: value.type.tensor_type.elem_type for value in values}
        self._dropped: list[onnx.NodeProto] = []

    def join_before(self, op: CustomOp, node: onnx.NodeProto) -> None:
        """Let a pad read what a Cast before it reads."""
        cast = self._writers.get(node.input[0])
        if op is not REFLECT_PAD or cast is None or not _is_cast(cast):
            return
        attributes = attributes_of(op, node)
        if attributes["activation"] != NONE or attributes["to"] or _target(cast) not in FLOATS:
            return
        if self._types.get(cast.input[0]) not in FLOATS:
            return
        _set_target(node, _target(cast))
        self._readers[node.input[0]].remove(node)
        node.input[0] = cast.input[0]
        self._readers.setdefault(node.input[0], []).append(node)
        self._drop_unread(cast)

    def join_after(self, op: CustomOp, node: onnx.NodeProto) -> None:
        """Let an op write what a Cast after it, the only reader, writes."""
        y = node.output[0]
        readers = self._readers.get(y, [])
        if len(readers) != 1 or self._given_out[y] or not _is_cast(readers[0]):
            return
        cast = readers[0]
        attributes = attributes_of(op, node)
        is_here = self._writers.get(cast.output[0]) is cast  # not inside a branch
        dtype = self._types.get(node.input[0]) or self._types.get(y)
        if not is_here or dtype not in FLOATS or attributes["to"] or _target(cast) not in FLOATS:
            return
        operands = [Operand(dtype, None)] * len(node.input)
        if op.problem(operands, {**attributes, "to": _target(cast)}):
            return
        _set_target(node, _target(cast))
        node.output[0] = cast.output[0]
        self._writers[node.output[0]] = node
        self._dropped.append(cast)

    def drop(self) -> None:
        """Remove the Casts that were joined."""
        for cast in self._dropped:
            self._graph.node.remove(cast)

    def _drop_unread(self, cast: onnx.NodeProto) -> None:
        name = cast.output[0]
        if not self._readers.get(name) and not self._given_out[name]:
            self._dropped.append(cast)


def _is_cast(node: onnx.NodeProto) -> bool:
    return node.op_type == "Cast" and is_onnx(node.domain)


def _target(cast: onnx.NodeProto) -> int:
    return next(int(each.i) for each in cast.attribute if each.name == "to")


def _set_target(node: onnx.NodeProto, to: int) -> None:
    given = next((each for each in node.attribute if each.name == "to"), None)
    if given is None:  # of a node that an older trtconv wrote
        node.attribute.append(helper.make_attribute("to", to))
    else:
        given.i = to
