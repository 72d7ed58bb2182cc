"""Faults in a model: each node with another op, with swapped inputs, with a node after it, with another attribute."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import helper

_BINARY = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow")
_UNARY = ("Neg", "Abs", "Relu", "Sqrt", "Reciprocal", "Tanh")
_MORE = "one_more"


def with_each_fault(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.ModelProto]]:
    """Yield copies with one fault, and what it is. It need not be a valid model, nor another function."""
    for number, node in enumerate(model.graph.node):
        name = f"{node.op_type}({node.output[0]})"
        if node.op_type in _BINARY:
            for op in _BINARY:
                if op != node.op_type:
                    yield f"{op} in the place of {name}", _with_op(model, number, op)
            yield f"{name} with swapped inputs", _with_swapped_inputs(model, number)
        if node.output[0] != model.graph.output[0].name:
            for op in (*_UNARY, "Mul"):
                yield f"{op} after {name}", _with_node_after(model, number, op)
        for attribute in node.attribute:
            if attribute.name == "axes":
                for place in range(len(attribute.ints)):
                    yield f"axis {place} of {name}", _with_axis(model, number, place)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _with_op(model: onnx.ModelProto, number: int, op: str) -> onnx.ModelProto:
    faulty = _copy(model)
    faulty.graph.node[number].op_type = op
    return faulty


def _with_swapped_inputs(model: onnx.ModelProto, number: int) -> onnx.ModelProto:
    faulty = _copy(model)
    node = faulty.graph.node[number]
    swapped = list(node.input)[::-1]
    del node.input[:]
    node.input.extend(swapped)
    return faulty


def _with_node_after(model: onnx.ModelProto, number: int, op: str) -> onnx.ModelProto:
    """Put a node between another and all of its readers; a Mul takes the square."""
    faulty = _copy(model)
    nodes = list(faulty.graph.node)
    old = nodes[number].output[0]
    for reader in nodes[number + 1 :]:
        for place, name in enumerate(reader.input):
            if name == old:
                reader.input[place] = _MORE
    nodes.insert(number + 1, helper.make_node(op, [old, old] if op == "Mul" else [old], [_MORE]))
    rest = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del faulty.graph.node[:]
    faulty.graph.node.extend(rest)
    return faulty


def _with_axis(model: onnx.ModelProto, number: int, place: int) -> onnx.ModelProto:
    faulty = _copy(model)
    axes = next(each for each in faulty.graph.node[number].attribute if each.name == "axes")
    axes.ints[place] = 1
    return faulty
