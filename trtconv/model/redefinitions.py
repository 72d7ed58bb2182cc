"""Names that stand for two values: two initializers of one graph, or one of a branch and a tensor around it."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import onnx

from trtconv.errors import ModelError
from trtconv.model.addresses import address_of
from trtconv.model.external_data import read_external_tensor
from trtconv.model.walking import captured_names, walk_graphs


class Redefinition(NamedTuple):
    """An initializer of a branch that has the name of a tensor around it.

    `nodes` are those whose parameters depend on which of the two is meant, where that is in doubt: ONNX Runtime takes
    the inner value, but the outer one as soon as another branch of the same node reads that.
    """

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
        taken = "outer value" if self.nodes else "inner value"
        return (
            f"{self.branch} defines the outer tensor {self.name} again, which ONNX forbids: ONNX Runtime takes the "
            f"{taken}, others may take the other one; give one of them another name"
        )


def redefinitions(graph: onnx.GraphProto) -> list[Redefinition]:
    """Return the initializers of branches that hide, or are hidden by, a tensor of a graph around them."""
    return list(_redefinitions(graph, "", ChainMap()))


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


def _redefinitions(graph: onnx.GraphProto, prefix: str, outer: ChainMap[str, None]) -> Iterator[Redefinition]:
    names = outer.new_child(dict.fromkeys(value.name for value in (*graph.input, *graph.initializer)))
    names.update(dict.fromkeys(name for node in graph.node for name in node.output if name))
    for node in graph.node:
        address = address_of(node, prefix)
        inner = {each.name: each.g for each in node.attribute if each.type == onnx.AttributeProto.GRAPH}
        for title, branch in inner.items():
            for tensor in branch.initializer:
                if tensor.name in names:
                    others = (captured_names(other) for other in inner.values() if other is not branch)
                    is_in_doubt = any(tensor.name in captured for captured in others)
                    doubtful = _dependents_in(inner, address, {tensor.name}) if is_in_doubt else ()
                    yield Redefinition(tensor.name, f"{address}/{title}", tuple(doubtful))
            yield from _redefinitions(branch, f"{address}/{title}/", names)


def _dependents_in(inner: Mapping[str, onnx.GraphProto], address: str, doubtful: set[str]) -> Iterator[str]:
    """Yield the dependents in all branches of a node: the inner value counts where nothing reads the outer one."""
    for title, branch in inner.items():
        yield from _dependents(branch, f"{address}/{title}/", doubtful)


def _dependents(graph: onnx.GraphProto, prefix: str, doubtful: set[str]) -> Iterator[str]:
    """Yield the nodes that read a doubtful tensor, or what is computed from one, as anything but their data input.

    The data flows by name, whichever value is meant: it is the parameters that a pass evaluates.
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
