"""Walk a model as protobuf: its nodes, its branches, its inputs and its opset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx

from trtconv.ops.custom_op import DOMAIN
from trtconv.shapes import Dims

_ONNX_DOMAINS = ("", "ai.onnx")


def opset_of(proto: onnx.ModelProto) -> int:
    """Return the ai.onnx opset of a model, 1 where it names none (IR versions 1 and 2)."""
    return next((int(entry.version) for entry in proto.opset_import if entry.domain in _ONNX_DOMAINS), 1)


def plugin_op_names(graph: onnx.GraphProto) -> set[str]:
    """Return which custom ops a graph holds, branches included."""
    return {node.op_type for node in walk_nodes(graph) if node.domain == DOMAIN}


def walk_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield every node of a graph and of the branches and bodies inside it."""
    yield from walk_all(graph.node)


def walk_all(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for branch in branches(node):
            yield from walk_all(branch.node)


def describe_inputs(proto: onnx.ModelProto) -> dict[str, Dims | None]:
    """Return the dimensions of every tensor that is a graph input and no initializer, None for an unknown rank."""
    initializer_names = {tensor.name for tensor in proto.graph.initializer}
    described: dict[str, Dims | None] = {}
    for value in proto.graph.input:
        if value.name not in initializer_names and value.type.HasField("tensor_type"):
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
