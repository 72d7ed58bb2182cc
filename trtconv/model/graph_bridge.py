"""From an ONNX graph to graph-surgeon's and back, with only what a pass edited on the way back.

graph-surgeon's own export loses metadata, doc strings and some attributes, repeats outer tensors inside branches, and
fails on types that it does not know; its import mixes up a branch's initializer with an outer tensor of that name.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.exporters.onnx_exporter import OnnxExporter
from onnx_graphsurgeon.importers.onnx_importer import OnnxImporter
from onnx_graphsurgeon.logger import G_LOGGER

G_LOGGER.severity = G_LOGGER.CRITICAL + 1  # it prints to standard output; what is critical it raises as well


def import_graph(proto: onnx.ModelProto) -> gs.Graph:
    """Return the graph of a model for passes to edit, without what graph-surgeon cannot carry."""
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    del bare.functions[:]
    _drop_unportable(bare.graph)
    graph = gs.import_onnx(bare)
    _import_branches(graph, proto.graph, outer=None)
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


class _Scope:
    """The tensors that a branch sees from outside, by name, as graph-surgeon's import asks for them.

    graph-surgeon itself copies a dictionary of them for every branch, and lets an outer tensor hide a branch's own
    initializer of the same name: `own_names` are those that are not looked for outside.
    """

    def __init__(self, tensors: Mapping[str, gs.Tensor], outer: _Scope | None, own_names: Set[str]) -> None:
        self._tensors = tensors
        self._outer = outer
        self._own_names = own_names

    def __contains__(self, name: str) -> bool:
        return name not in self._own_names and (
            name in self._tensors or (self._outer is not None and name in self._outer)
        )

    def __getitem__(self, name: str) -> gs.Tensor:
        return self._outer[name] if name not in self._tensors and self._outer is not None else self._tensors[name]

    def __copy__(self) -> _Scope:
        return self


def _import_branches(graph: gs.Graph, proto: onnx.GraphProto, outer: _Scope | None) -> None:
    """Give the nodes of `graph` the branches and loop bodies that their protos hold; `outer` is what `graph` sees."""
    tensors: dict[str, gs.Tensor] | None = None
    for node, source in zip(graph.nodes, proto.node, strict=True):
        for attribute in source.attribute:
            if attribute.type != onnx.AttributeProto.GRAPH:
                continue
            if tensors is None:
                initializers = {each.name: OnnxImporter.import_tensor(each) for each in proto.initializer}
                tensors = initializers | graph.tensors()
            bare = onnx.GraphProto()
            bare.CopyFrom(attribute.g)
            _drop_unportable(bare)
            scope = _Scope(tensors, outer, {each.name for each in bare.initializer})
            branch = OnnxImporter.import_graph(
                bare, tensor_map=scope, opset=graph.opset, import_domains=graph.import_domains
            )
            node.attrs[attribute.name] = branch
            _import_branches(branch, attribute.g, scope)


def _drop_unportable(graph: onnx.GraphProto) -> None:
    """Drop what graph-surgeon cannot carry: types of values that are no tensors, some attributes, and branches."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        if not value.type.HasField("tensor_type"):
            value.ClearField("type")
    for node in graph.node:
        _drop_unportable_attributes(node)


def _drop_unportable_attributes(node: onnx.NodeProto) -> None:
    """Drop empty lists, types, raw bytes and graphs; the written model has them from the model as it was read."""
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
    return attribute.type in (kind.FLOAT, kind.INT, kind.TENSOR)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
