"""Walk a model as protobuf: its graphs, its nodes and their addresses, its inputs and its opset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx

from trtconv.model.addresses import address_of
from trtconv.ops.custom_op import DOMAIN
from trtconv.shapes import Dims


def is_onnx(domain: str | None) -> bool:
    """Say whether a node of this domain is an op of ONNX itself."""
    return not domain or domain == "ai.onnx"


def opset_of(proto: onnx.ModelProto) -> int:
    """Return the ai.onnx opset of a model, 1 where it names none (IR versions 1 and 2)."""
    return next((int(entry.version) for entry in proto.opset_import if is_onnx(entry.domain)), 1)


def plugin_op_names(graph: onnx.GraphProto) -> set[str]:
    """Return which custom ops a graph holds, branches included."""
    return {node.op_type for node in walk_nodes(graph) if node.domain == DOMAIN}


def walk_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph, then the branches and bodies inside it, an outer graph before its inner ones."""
    yield graph
    for node in graph.node:
        for branch in branches(node):
            yield from walk_graphs(branch)


def walk_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield every node of a graph and of the branches and bodies inside it."""
    yield from walk_all(graph.node)


def walk_all(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield nodes, each followed by those of the branches and bodies inside it."""
    for node in nodes:
        yield node
        for branch in branches(node):
            yield from walk_all(branch.node)


def walk_addresses(graph: onnx.GraphProto, prefix: str = "") -> Iterator[tuple[str, onnx.NodeProto]]:
    """Yield every node of a graph with its address, branches and bodies included."""
    for node in graph.node:
        address = address_of(node, prefix)
        yield address, node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from walk_addresses(attribute.g, f"{address}/{attribute.name}/")


def captured_names(graph: onnx.GraphProto) -> dict[str, None]:
    """Return the outer tensors that a branch and the branches inside it read, in the order of their reading."""
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    names: dict[str, None] = {}
    for node in graph.node:
        read = [*node.input, *(name for branch in branches(node) for name in captured_names(branch))]
        names.update(dict.fromkeys(name for name in read if name and name not in own))
        own.update(node.output)
    names.update(dict.fromkeys(value.name for value in graph.output if value.name and value.name not in own))
    return names


def fed_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs of a graph that have no value in it: older exporters list initializers as inputs, too."""
    initializer_names = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in initializer_names]


def describe_inputs(proto: onnx.ModelProto) -> dict[str, Dims | None]:
    """Return the dimensions of every tensor that is a graph input and no initializer, None for an unknown rank."""
    described: dict[str, Dims | None] = {}
    for value in fed_inputs(proto.graph):
        if value.type.HasField("tensor_type"):
            tensor_type = value.type.tensor_type
            has_rank = tensor_type.HasField("shape")
            described[value.name] = [_dim_of(dim) for dim in tensor_type.shape.dim] if has_rank else None
    return described


def _dim_of(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    """Return a size, a symbol, or None; older exporters write -1 for a dynamic dimension."""
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    return dim.dim_param or None


def branches(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs that a node holds: branches and loop bodies."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            yield from attribute.graphs
