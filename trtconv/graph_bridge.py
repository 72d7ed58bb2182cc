"""From an ONNX graph to graph-surgeon's and back, with only what a pass edited on the way back.

graph-surgeon's own export loses metadata, doc strings and some attributes, repeats outer tensors inside branches, and
fails on types that it does not know; its import mixes up a branch's initializer with an outer tensor of that name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.exporters.onnx_exporter import OnnxExporter
from onnx_graphsurgeon.importers.onnx_importer import OnnxImporter
from onnx_graphsurgeon.logger import G_LOGGER

G_LOGGER.severity = G_LOGGER.CRITICAL + 1  # it prints to standard output; what is critical it raises as well


def import_graph(proto: onnx.ModelProto) -> gs.Graph:
    """Return the graph of a model for passes to edit. `proto` loses what graph-surgeon cannot carry."""
    _drop_unportable(proto.graph)
    graph = gs.import_onnx(proto)
    _separate_scopes(graph, proto.graph, scopes=(), inherited={})
    return graph


def write_edits(target: onnx.GraphProto, graph: gs.Graph) -> None:
    """Give `target`, the (sub)graph as it was read, the nodes of `graph` that a pass changed, and their types."""
    as_read: dict[tuple[str, ...], list[onnx.NodeProto]] = {}
    for source in reversed(target.node):
        as_read.setdefault(tuple(source.output), []).append(source)
    known_types = {value.name for value in (*target.value_info, *target.output)}
    for node in graph.nodes:
        source = as_read[tuple(tensor.name for tensor in node.outputs)].pop()
        if (node.op, node.domain or "") == (source.op_type, source.domain):
            for attribute in source.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    write_edits(attribute.g, node.attrs[attribute.name])
            continue
        edited = OnnxExporter.export_node(node)
        edited.doc_string = source.doc_string
        edited.metadata_props.MergeFrom(source.metadata_props)
        source.CopyFrom(edited)
        for tensor in node.outputs:
            if tensor.name not in known_types and tensor.dtype is not None:
                target.value_info.append(OnnxExporter.export_value_info_proto(tensor, do_type_check=False))


def branches(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs that a node holds: branches and loop bodies."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _separate_scopes(
    graph: gs.Graph, proto: onnx.GraphProto, scopes: Sequence[Set[str]], inherited: Mapping[str, gs.Tensor]
) -> None:
    """Give branches their own initializers: graph-surgeon takes the outer tensor where one has the same name.

    `scopes` are the names of the outer graphs, `inherited` those outer initializers that were put right.
    """
    own = {tensor.name: tensor for tensor in proto.initializer}
    names = own.keys() | {value.name for value in proto.input}
    for node in proto.node:
        names.update(node.output)
    corrected = {name: tensor for name, tensor in inherited.items() if name not in names}
    for name, initializer in own.items():
        if any(name in scope for scope in scopes):
            corrected[name] = OnnxImporter.import_tensor(initializer)
    for node, source in zip(graph.nodes, proto.node, strict=True):
        for index, name in enumerate(source.input):
            if name in corrected:
                node.inputs[index] = corrected[name]
        for attribute in source.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _separate_scopes(node.attrs[attribute.name], attribute.g, (*scopes, names), corrected)


def _drop_unportable(graph: onnx.GraphProto) -> None:
    """Drop what graph-surgeon cannot carry: types of values that are no tensors, and some attributes."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        if not value.type.HasField("tensor_type"):
            value.ClearField("type")
    for node in graph.node:
        _drop_unportable_attributes(node)
        for branch in branches(node):
            _drop_unportable(branch)


def _drop_unportable_attributes(node: onnx.NodeProto) -> None:
    """Drop empty lists, types, raw bytes; the written model has them from the model as it was read."""
    portable = [attribute for attribute in node.attribute if _is_portable(attribute)]
    if len(portable) != len(node.attribute):
        del node.attribute[:]
        node.attribute.extend(portable)


def _is_portable(attribute: onnx.AttributeProto) -> bool:
    kind = onnx.AttributeProto
    if attribute.type in (kind.INTS, kind.FLOATS, kind.STRINGS):
        return bool(attribute.ints or attribute.floats) or (
            bool(attribute.strings) and all(map(_is_text, attribute.strings))
        )
    if attribute.type == kind.STRING:
        return _is_text(attribute.s)
    return attribute.type in (kind.FLOAT, kind.INT, kind.TENSOR, kind.GRAPH)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
