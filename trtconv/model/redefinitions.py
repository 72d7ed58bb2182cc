"""Names that stand for two values: two initializers of one graph, or one of a branch and a tensor around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from trtconv.errors import ModelError
from trtconv.model.addresses import address_of
from trtconv.model.external_data import read_external_tensor
from trtconv.model.walking import walk_graphs


@dataclass(frozen=True)
class Redefinition:
    """An initializer of a branch that has the name of a tensor around it; `nodes` depend on which of them is meant."""

    name: str
    branch: str
    nodes: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why a node that depends on it stays native."""
        return f"{self.branch} defines {self.name} again, which ONNX forbids: ONNX Runtime takes the outer value"

    @property
    def warning(self) -> str:
        """What a user should know, and do."""
        return (
            f"{self.branch} defines the outer tensor {self.name} again, which ONNX forbids: ONNX Runtime takes the "
            "outer value, TensorRT may take the inner one; give one of them another name"
        )


def redefinitions(graph: onnx.GraphProto) -> list[Redefinition]:
    """Return the initializers of branches that hide, or are hidden by, a tensor of a graph around them."""
    found = dict.fromkeys(_redefined(graph, "", set()))
    return [Redefinition(name, branch, tuple(_dependents(graph, "", {name}))) for name, branch in found]


def reasons_against(graph: onnx.GraphProto) -> dict[str, str]:
    """Return why no pass may touch a node whose parameters depend on a redefined name, by the node's address."""
    return {node: each.reason for each in redefinitions(graph) for node in each.nodes}


def drop_repeated_initializers(proto: onnx.ModelProto, path: Path) -> None:
    """Drop the second of two equal initializers of one name; raise ModelError where their values differ."""
    for graph in walk_graphs(proto.graph):
        first: dict[str, onnx.TensorProto] = {}
        repeated = []
        for index, tensor in enumerate(graph.initializer):
            if tensor.name not in first:
                first[tensor.name] = tensor
            elif _are_equal(first[tensor.name], tensor, path.parent):
                repeated.append(index)
            else:
                what = f"initializer {tensor.name} is given twice, with different values"
                hint = "delete the one that is not meant, or give it another name: ONNX forbids both to stay"
                raise ModelError(what, where=str(path), hint=hint)
        for index in reversed(repeated):
            del graph.initializer[index]


def _redefined(graph: onnx.GraphProto, prefix: str, outer: set[str]) -> Iterator[tuple[str, str]]:
    """Yield each such name with the branch that defines it again."""
    for tensor in graph.initializer:
        if tensor.name in outer:
            yield tensor.name, prefix.rstrip("/")
    names = {value.name for value in (*graph.input, *graph.initializer)}
    names.update(name for node in graph.node for name in node.output if name)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                inner = f"{address_of(node, prefix)}/{attribute.name}/"
                yield from _redefined(attribute.g, inner, outer | names)


def _dependents(graph: onnx.GraphProto, prefix: str, doubtful: set[str]) -> Iterator[str]:
    """Yield the nodes that read a doubtful tensor, or what is computed from one, as anything but their data input.

    The data flows by name, whichever value is meant: it is the parameters that a pass evaluates. Readers of the outer
    value count too: ONNX Runtime hides the inner one only where something in the branches still reads the outer one.
    """
    doubtful = set(doubtful)
    for node in graph.node:
        address = address_of(node, prefix)
        if any(name in doubtful for name in node.input[1:]):
            yield address
        if any(name in doubtful for name in node.input):
            doubtful.update(filter(None, node.output))
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _dependents(attribute.g, f"{address}/{attribute.name}/", doubtful)


def _are_equal(one: onnx.TensorProto, other: onnx.TensorProto, folder: Path) -> bool:
    if (one.data_type, list(one.dims)) != (other.data_type, list(other.dims)):
        return False
    if one.SerializeToString() == other.SerializeToString():
        return True
    try:
        values = [onnx.numpy_helper.to_array(_loaded(each, folder)) for each in (one, other)]
    except Exception:  # a type that numpy lacks
        return False
    return bool(values[0].tobytes() == values[1].tobytes())


def _loaded(tensor: onnx.TensorProto, folder: Path) -> onnx.TensorProto:
    is_external = tensor.data_location == onnx.TensorProto.EXTERNAL
    return read_external_tensor(tensor, folder) if is_external else tensor
