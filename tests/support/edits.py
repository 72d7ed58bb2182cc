"""A graph as passes get it, an edit of it, and the model that is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import onnx.parser
import onnx_graphsurgeon as gs

from trtconv.model.as_read import AsRead, import_graph
from trtconv.model.graph_bridge import write_edits
from trtconv.model.shape_inference import with_shapes
from trtconv.passes.base import walk

Edit = Callable[[gs.Graph], None]
HEADER = '<ir_version: 10, opset_import: ["": 17, "test": 1]> '
CHAIN = """g (float[2] x) => (float[2] z) <float[2] a, float[2] b> {
    [first] a = Relu (x)
    [second] b = LeakyRelu <alpha = 0.1> (a)
    [third] z = Neg (b)
}"""


def read(proto: onnx.ModelProto) -> tuple[gs.Graph, AsRead]:
    return import_graph(with_shapes(proto, Path()), proto.graph)


def written(proto: onnx.ModelProto, graph: gs.Graph, as_read: AsRead) -> onnx.ModelProto:
    target = onnx.ModelProto()
    target.CopyFrom(proto)
    write_edits(target.graph, graph, as_read)
    return target


def edited(text: str | onnx.ModelProto, edit: Edit) -> onnx.GraphProto:
    """Return the graph of a model after an edit."""
    proto = onnx.parser.parse_model(HEADER + text) if isinstance(text, str) else text
    graph, as_read = read(proto)
    edit(graph)
    return written(proto, graph, as_read).graph


def to_bytes(proto: onnx.NodeProto | onnx.GraphProto | onnx.TensorProto | onnx.ModelProto) -> bytes:
    return proto.SerializeToString(deterministic=True)


def ops(graph: onnx.GraphProto) -> list[tuple[str, list[str], list[str]]]:
    return [(node.op_type, list(node.input), list(node.output)) for node in graph.node]


def node_of(graph: gs.Graph, op: str) -> gs.Node:
    return next(site.node for site in walk(graph) if site.node.op == op)


# Any edits ----------------------------------------------------------------------------------------------------------
