"""From an ONNX graph to graph-surgeon's, with a record of what was read: what a pass did not touch is written from it.

graph-surgeon cannot carry some types and attributes, and its import mixes up a branch's initializer with an outer
tensor of that name, and an outer tensor that a branch gives out with one of the branch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.importers.onnx_importer import OnnxImporter
from onnx_graphsurgeon.ir.tensor import LazyValues
from onnx_graphsurgeon.logger import G_LOGGER

from trtconv.model.light_copy import lacks_data
from trtconv.model.walking import captured_names

G_LOGGER.severity = G_LOGGER.CRITICAL + 1  # it prints to standard output; what is critical it raises as well


class NodeAsRead(NamedTuple):
    """A node's source, and its place: the `place`-th of `graph`.

    `raw_reads` are the outer tensors, and their names, that those branches read which graph-surgeon cannot carry.
    """

    node: gs.Node
    source: onnx.NodeProto
    graph: gs.Graph
    place: int
    raw_reads: tuple[tuple[gs.Tensor, str], ...]


class GraphAsRead(NamedTuple):
    """A (sub)graph's source, what it takes and gives out, and the initializers that are read."""

    graph: gs.Graph
    source: onnx.GraphProto
    inputs: tuple[gs.Tensor, ...]
    outputs: tuple[gs.Tensor, ...]
    initializers: list[gs.Tensor]
    name: str | None
    doc_string: str | None
    opset: int | None


class TensorAsRead(NamedTuple):
    """A tensor as it was; `values` are those of an initializer, `is_dangling` says that nothing wrote it.

    `is_input` says that its graph takes it.
    """

    tensor: gs.Tensor
    name: str
    num_writers: int
    is_dangling: bool
    is_input: bool
    values: Any
    dtype: Any
    shape: tuple[Any, ...] | None


@dataclass
class AsRead:
    """What was read, by the ids of graph-surgeon's objects, which have no hash; the records keep these alive.

    `sources` has the tensor, with all its data, behind each LazyValues; `tensors_of` the tensors of each graph's own.
    """

    proto: onnx.GraphProto
    nodes: dict[int, NodeAsRead] = field(default_factory=dict)
    graphs: dict[int, GraphAsRead] = field(default_factory=dict)
    tensors: dict[int, TensorAsRead] = field(default_factory=dict)
    tensors_of: dict[int, list[TensorAsRead]] = field(default_factory=dict)
    sources: dict[int, tuple[Any, onnx.TensorProto]] = field(default_factory=dict)

    def source_of(self, values: Any) -> onnx.TensorProto | None:
        """Return the tensor behind values that were not loaded, None for other values."""
        found = self.sources.get(id(values))
        return None if found is None else found[1]


def import_graph(inferred: onnx.ModelProto, source: onnx.GraphProto) -> tuple[gs.Graph, AsRead]:
    """Return the graph of a model for passes to edit, and the record of it.

    `inferred` is the model with its inferred types, maybe without the data of large tensors; `source` is its graph as
    it was read.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(inferred)
    del bare.functions[:]
    _drop_unportable(bare.graph)
    graph = gs.import_onnx(bare)
    as_read = AsRead(source)
    _record(as_read, graph, inferred.graph, source, outer=None)
    return graph, as_read


class _FullValues(LazyValues):  # type: ignore[misc]
    """The values of a large tensor: shape inference ran on a copy without them.

    graph-surgeon's export renames the `tensor` that it is given, so that gets a copy of the one that was read.
    """

    def __init__(self, light: Any, source: onnx.TensorProto) -> None:
        self.shape, self.dtype, self.nbytes = light.shape, light.dtype, light.nbytes
        self._source = source

    @property
    def tensor(self) -> onnx.TensorProto:
        copy = onnx.TensorProto()
        copy.CopyFrom(self._source)
        return copy


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


def _record(
    as_read: AsRead, graph: gs.Graph, inferred: onnx.GraphProto, source: onnx.GraphProto, outer: _Scope | None
) -> None:
    """Give the nodes of `graph` the branches that `inferred` holds, and record all; `outer` is what `graph` sees."""
    tensors: dict[str, gs.Tensor] = {}
    if any(map(_has_branches, source.node)):
        tensors = {each.name: OnnxImporter.import_tensor(each) for each in inferred.initializer} | graph.tensors()
    _record_tensors(as_read, graph, source, tensors)
    for index, (node, light, full) in enumerate(zip(graph.nodes, inferred.node, source.node, strict=True)):
        raw_reads: list[tuple[gs.Tensor, str]] = []
        for attribute, original in zip(light.attribute, full.attribute, strict=True):
            if attribute.type == onnx.AttributeProto.GRAPH:
                branch, scope = _import_branch(graph, attribute.g, tensors, outer)
                node.attrs[attribute.name] = branch
                _record(as_read, branch, attribute.g, original.g, scope)
            elif attribute.type == onnx.AttributeProto.GRAPHS:
                names = dict.fromkeys(name for each in original.graphs for name in captured_names(each))
                scope = _Scope(tensors, outer, set())
                raw_reads += ((scope[name], name) for name in names if name in scope)
            elif isinstance(value := node.attrs.get(attribute.name), gs.Constant):
                _record_values(as_read, value, original.t)
        as_read.nodes[id(node)] = NodeAsRead(node, full, graph, index, tuple(raw_reads))


def _import_branch(
    graph: gs.Graph, branch: onnx.GraphProto, tensors: Mapping[str, gs.Tensor], outer: _Scope | None
) -> tuple[gs.Graph, _Scope]:
    """Return a branch of a node of `graph`, and what it sees from outside; outer tensors are these very objects."""
    bare = onnx.GraphProto()
    bare.CopyFrom(branch)
    _drop_unportable(bare)
    scope = _Scope(tensors, outer, {each.name for each in bare.initializer})
    imported = OnnxImporter.import_graph(bare, tensor_map=scope, opset=graph.opset, import_domains=graph.import_domains)
    own = {id(tensor) for tensor in imported.inputs}
    for position, output in enumerate(imported.outputs):
        if isinstance(output, gs.Variable) and not output.inputs and id(output) not in own and output.name in scope:
            imported.outputs[position] = scope[output.name]
            for reader in list(output.outputs):
                reader.inputs = [scope[output.name] if tensor is output else tensor for tensor in reader.inputs]
    return imported, scope


def _record_tensors(
    as_read: AsRead, graph: gs.Graph, source: onnx.GraphProto, seen_by_branches: Mapping[str, gs.Tensor]
) -> None:
    num_writers: dict[int, int] = {}
    for node in graph.nodes:
        for tensor in node.outputs:
            num_writers[id(tensor)] = num_writers.get(id(tensor), 0) + 1
    inputs = {id(tensor) for tensor in graph.inputs}
    full = {tensor.name: tensor for tensor in source.initializer}
    sparse = {tensor.values.name for tensor in source.sparse_initializer}
    initializers: list[gs.Tensor] = []
    own = as_read.tensors_of.setdefault(id(graph), [])
    for tensor in (*_tensors_of(graph), *seen_by_branches.values()):
        if not tensor.name or id(tensor) in as_read.tensors:
            continue
        writers, values = num_writers.get(id(tensor), 0), None
        if isinstance(tensor, gs.Constant):
            if tensor.name in full or tensor.name in sparse:
                initializers.append(tensor)
            if tensor.name in full:
                _record_values(as_read, tensor, full[tensor.name])
            values = tensor._values
        is_input = id(tensor) in inputs
        shape = None if tensor.shape is None else tuple(tensor.shape)
        read = TensorAsRead(
            tensor, tensor.name, writers, not writers and not is_input, is_input, values, tensor.dtype, shape
        )
        as_read.tensors[id(tensor)] = read
        own.append(read)
    ends = (tuple(graph.inputs), tuple(graph.outputs))
    texts = (graph.name, graph.doc_string)
    as_read.graphs[id(graph)] = GraphAsRead(graph, source, *ends, initializers, *texts, graph.opset)


def _record_values(as_read: AsRead, constant: gs.Constant, source: onnx.TensorProto) -> None:
    """Record what a constant was read from; passes can read its values, but for those in external files."""
    if lacks_data(constant._values.tensor) and source.data_location != onnx.TensorProto.EXTERNAL:
        constant._values = _FullValues(constant._values, source)
    as_read.sources[id(constant._values)] = (constant._values, source)


def _tensors_of(graph: gs.Graph) -> Iterator[gs.Tensor]:
    yield from (*graph.inputs, *graph.outputs)
    for node in graph.nodes:
        yield from node.inputs
        yield from node.outputs


def _has_branches(node: onnx.NodeProto) -> bool:
    kind = onnx.AttributeProto
    return any(attribute.type in (kind.GRAPH, kind.GRAPHS) for attribute in node.attribute)


def _drop_unportable(graph: onnx.GraphProto) -> None:
    """Drop what graph-surgeon cannot carry: types of values that are no tensors, some attributes, and branches."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        if not value.type.HasField("tensor_type"):
            value.ClearField("type")
    for node in graph.node:
        portable = [attribute for attribute in node.attribute if _is_portable(attribute)]
        if len(portable) != len(node.attribute):
            del node.attribute[:]
            node.attribute.extend(portable)


def is_carried(attribute: onnx.AttributeProto) -> bool:
    """Say whether the nodes that passes see have an attribute; the others stay as they were read."""
    return _is_portable(attribute) or bool(attribute.type == onnx.AttributeProto.GRAPH)


def _is_portable(attribute: onnx.AttributeProto) -> bool:
    """Say whether graph-surgeon's node carries an attribute: not types, empty lists, raw bytes and graphs."""
    kind = onnx.AttributeProto
    if attribute.type in (kind.INTS, kind.FLOATS, kind.STRINGS):
        return bool(attribute.ints or attribute.floats) or _are_texts(attribute.strings)
    if attribute.type == kind.STRING:
        return _are_texts([attribute.s])
    return attribute.type in (kind.FLOAT, kind.INT, kind.TENSOR)


def _are_texts(strings: Iterable[bytes]) -> bool:
    texts = list(strings)
    try:
        return bool([data.decode() for data in texts])
    except UnicodeDecodeError:
        return False
