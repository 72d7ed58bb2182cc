"""All graphs of a model as one list of nodes: the main graph, and the branches and bodies of If, Loop and Scan in it.

A tensor that enters or leaves a branch or body has the same type on both sides: an output of an If comes from either
branch, and a loop-carried state of a Loop enters its body, leaves it and enters it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import onnx

from trtconv.model.addresses import address_of
from trtconv.model.walking import branches, is_onnx, walk_graphs

_CONTROL = frozenset({"If", "Loop", "Scan"})
_FIRST_SCAN = 9  # the Scan of opset 8 has a batch dimension of its own
MAIN = 0


@dataclass(frozen=True)
class Scope:
    """One graph; `owner` is the index of the node that holds it, None for the main graph."""

    graph: onnx.GraphProto
    owner: int | None = None
    outer: int = MAIN


@dataclass
class FlatGraph:
    """All nodes in topological order: those of a branch or body come before the node that owns it.

    `scope_of` is the scope of each node; `scopes` lists an outer graph before its inner graphs.
    """

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    scope_of: list[int] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)


def flatten(proto: onnx.ModelProto, opset: int) -> FlatGraph:
    """Return the nodes of all graphs of a model as one list."""
    flat = FlatGraph(scopes=[Scope(proto.graph)])
    _collect(flat, MAIN, opset, "")
    return flat


def _collect(flat: FlatGraph, scope: int, opset: int, prefix: str) -> None:
    for node in flat.scopes[scope].graph.node:
        address = address_of(node, prefix)
        inner: list[int] = []
        for name, branch in _named_branches(node) if is_looked_into(node, opset) else ():
            inner.append(len(flat.scopes))
            flat.scopes.append(Scope(branch, outer=scope))
            _collect(flat, inner[-1], opset, f"{address}/{name}/")
        for each in inner:
            flat.scopes[each] = Scope(flat.scopes[each].graph, len(flat.nodes), scope)
        flat.nodes.append(node)
        flat.addresses.append(address)
        flat.scope_of.append(scope)


def _named_branches(node: onnx.NodeProto) -> Iterator[tuple[str, onnx.GraphProto]]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.name, attribute.g


def is_looked_into(node: onnx.NodeProto, opset: int) -> bool:
    """Say whether the types inside a node's branches or body may change: it is an If, a Loop or a Scan."""
    if node.op_type not in _CONTROL or not is_onnx(node.domain):
        return False
    return node.op_type != "Scan" or opset >= _FIRST_SCAN


def outer_name(node: onnx.NodeProto, slot: int) -> str:
    """Return the tensor that a Loop or Scan first passes to an input of its body, "" for what it makes itself."""
    return node.input[slot] if slot < len(node.input) and (node.op_type == "Scan" or slot > 1) else ""


def num_scan_inputs(node: onnx.NodeProto) -> int:
    """Return the number of scan inputs of a Scan, which are its last inputs."""
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == "num_scan_inputs"), 0)


def with_unique_names(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model in which all tensor names are unique: the given one if they are, else a copy."""
    owned = [name for graph in walk_graphs(proto.graph) for name in dict.fromkeys(_owned_names(graph))]
    if len(owned) == len(set(owned)):
        return proto
    renamed = onnx.ModelProto()
    renamed.CopyFrom(proto)
    taken = set(_owned_names(renamed.graph))
    used = set(owned)
    for node in renamed.graph.node:
        for branch in branches(node):
            _rename(branch, {}, taken, used)
    return renamed


def _owned_names(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (value.name for value in graph.input)
    yield from (tensor.name for tensor in graph.initializer)
    yield from (name for node in graph.node for name in node.output if name)


def _rename(graph: onnx.GraphProto, outer: Mapping[str, str], taken: set[str], used: set[str]) -> None:
    """Rename each tensor of a graph whose name is taken; `outer` maps the renamed tensors outside."""
    names = dict(outer)

    def own(name: str) -> str:
        if not name:
            return name
        names.pop(name, None)
        if name in taken:
            count = 1
            while f"{name}_{count}" in used:
                count += 1
            names[name] = f"{name}_{count}"
            used.add(names[name])
        taken.add(names.get(name, name))
        return names.get(name, name)

    listed = {tensor.name: own(tensor.name) for tensor in graph.initializer}
    for tensor in graph.initializer:
        tensor.name = listed[tensor.name]
    for value in graph.input:  # which may list an initializer, too
        value.name = listed[value.name] if value.name in listed else own(value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        for branch in branches(node):
            _rename(branch, names, taken, used)
        node.output[:] = [own(name) for name in node.output]
    for value in (*graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)


def names_in_branches(proto: onnx.ModelProto) -> set[str]:
    """Return the names of the tensors inside branches and bodies."""
    return {name for graph in list(walk_graphs(proto.graph))[1:] for name in _owned_names(graph)}
