"""From graph-surgeon's graph back to ONNX: what no pass touched is taken as it was read, all else is written anew.

graph-surgeon's own export loses metadata, doc strings and some attributes, repeats outer tensors inside branches, and
fails on types that it does not know. An edit that cannot be written raises; none is lost.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import onnx
import onnx_graphsurgeon as gs

from trtconv.errors import GraphEditError, first_line
from trtconv.model.addresses import address_of
from trtconv.model.as_read import AsRead, GraphAsRead, NodeAsRead, TensorAsRead, is_carried
from trtconv.model.node_order import in_order
from trtconv.model.written_names import NodeNames, Scope, UsedNames, require_promised
from trtconv.model.written_values import (
    attribute_of,
    is_retyped,
    is_same_attribute,
    is_same_tensor,
    tensor_proto,
    value_info,
)


def write_edits(target: onnx.GraphProto, graph: gs.Graph, as_read: AsRead) -> None:
    """Give `target`, a copy of the graph as it was read, all that passes changed in `graph`, branches included.

    Nodes that no pass touched stay as they are, byte for byte, and in their order where that lets each tensor be
    written before it is read. Raises GraphEditError where a pass left a graph that no model can hold.
    """
    _Writer(as_read).write(target, graph, outer=None)


@dataclass
class _Written:
    """A node, its place in the list that was read, and what is written instead of what was read, if anything."""

    node: gs.Node
    index: int | None
    proto: onnx.NodeProto | None


class _Writer:
    def __init__(self, as_read: AsRead) -> None:
        self._as_read = as_read
        self._used = UsedNames(as_read)

    def write(self, target: onnx.GraphProto, graph: gs.Graph, outer: Scope | None) -> None:
        """Write one (sub)graph that sees the tensors of `outer`."""
        scope = Scope(self._as_read, self._used, outer)
        identities = self._name_tensors(target, graph, scope)
        inputs = [_input_names(node, scope) for node in graph.nodes]  # all of them before any branch is written
        names = NodeNames(graph, self._as_read)
        written = [
            self._write_node(target, graph, node, read, scope, names)
            for node, read in zip(graph.nodes, inputs, strict=True)
        ]
        names_before = {name for node in target.node for name in node.output}
        touched = {id(each.node) for each in written if each.proto is not None}
        if touched or [each.index for each in written] != list(range(len(target.node))):
            written = [written[place] for place in in_order(graph.nodes, self._as_read, touched)]
        _set_nodes(target, written, identities)
        self._write_constants(target, graph, scope)
        self._write_types(target, graph, scope, written, names_before)

    def _name_tensors(self, target: onnx.GraphProto, graph: gs.Graph, scope: Scope) -> list[onnx.NodeProto]:
        """Name all tensors of a graph; return the nodes that give out a tensor under a second name."""
        read = self._as_read.graphs.get(id(graph))
        if read is None:
            for value in (*target.input, *target.output):
                value.name = self._used.new(value.name)
        elif not _are_same(graph.inputs, read.inputs) or len(graph.outputs) != len(read.outputs):
            raise GraphEditError("what a graph takes, and how much it gives out, cannot change", where=graph.name)
        else:
            require_promised(graph, read, self._as_read)
            _write_texts(target, graph, read)
        initializers = [tensor for tensor in (read.initializers if read else ()) if isinstance(tensor, gs.Constant)]
        self._promise_inputs(target, graph, scope, initializers)
        own = {id(tensor) for tensor in initializers} | {id(out) for node in graph.nodes for out in node.outputs}
        ends = list(zip(graph.outputs, target.output, strict=True))
        others = [end for end in ends if id(end[0]) not in own or not scope.promise(end[0], end[1].name)]
        for tensor in initializers:
            scope.declare(tensor)
        identities = [self._give_out(read, scope, tensor, value) for tensor, value in others]
        for tensor in (tensor for node in graph.nodes for tensor in node.outputs):
            scope.declare_output(tensor)
        return [node for node in identities if node is not None]

    def _promise_inputs(
        self, target: onnx.GraphProto, graph: gs.Graph, scope: Scope, initializers: Sequence[gs.Tensor]
    ) -> None:
        """Name the inputs; an initializer that is listed as one may be replaced by the caller, under its name."""
        by_name = {self._as_read.tensors[id(tensor)].name: tensor for tensor in initializers}
        with_value = {tensor.name for tensor in target.initializer}
        with_value |= {tensor.values.name for tensor in target.sparse_initializer}
        real = iter(graph.inputs)
        for value in target.input:
            tensor = by_name.get(value.name) if value.name in with_value else next(real)
            if tensor is not None:
                scope.promise(tensor, value.name)

    def _give_out(
        self, read: GraphAsRead | None, scope: Scope, tensor: gs.Tensor, value: onnx.ValueInfoProto
    ) -> onnx.NodeProto | None:
        """Return what gives out a tensor that comes from outside or has another name already, None where it may so."""
        name = scope.name_of(tensor, lambda: f"output {value.name}")
        if name == value.name:
            return None
        if not scope.is_outermost and read is not None and any(output is tensor for output in read.outputs):
            value.name = name  # a branch gives out by position: it has promised no name
            return None
        scope.reserve(value.name)
        return onnx.helper.make_node("Identity", [name], [value.name])

    def _write_node(
        self,
        target: onnx.GraphProto,
        graph: gs.Graph,
        node: gs.Node,
        inputs: list[str],
        scope: Scope,
        names: NodeNames,
    ) -> _Written:
        outputs = [scope.own_name(tensor) or "" for tensor in node.outputs]
        read = self._as_read.nodes.get(id(node))
        source = onnx.NodeProto() if read is None else read.source
        index = read.place if read is not None and read.graph is graph else None
        if read is not None:
            _require_raw_reads(read, scope)
        if index is not None and self._is_as_read(node, source, inputs, outputs):
            self._write_branches(target.node[index], node, scope)
            return _Written(node, index, None)
        proto = onnx.NodeProto()
        proto.CopyFrom(source)
        try:
            self._write_attributes(proto, node, source)
            for field, text in (("op_type", node.op), ("name", names.name_of(node)), ("domain", node.domain or "")):
                if getattr(proto, field) != text:
                    setattr(proto, field, text)  # a field that is set to nothing differs from one that is not set
        except (TypeError, ValueError, AssertionError) as error:
            raise GraphEditError(f"cannot be written: {first_line(error)}", where=address_of(node)) from error
        proto.input[:], proto.output[:] = inputs, outputs
        self._write_branches(proto, node, scope)
        return _Written(node, index, proto)

    def _is_as_read(self, node: gs.Node, source: onnx.NodeProto, inputs: list[str], outputs: list[str]) -> bool:
        if (*_op_of(source), source.name) != (node.op, node.domain or "", node.name):
            return False
        if inputs != list(source.input) or outputs != list(source.output):
            return False
        carried = {attribute.name: attribute for attribute in source.attribute if is_carried(attribute)}
        return carried.keys() == node.attrs.keys() and all(
            is_same_attribute(node.attrs[name], attribute, self._as_read) for name, attribute in carried.items()
        )

    def _write_attributes(self, proto: onnx.NodeProto, node: gs.Node, source: onnx.NodeProto) -> None:
        """Give a copy of `source` the attributes that the node has now; those that are the same stay as they are."""
        given = {attribute.name: attribute for attribute in source.attribute}
        order = list(node.attrs)
        if _op_of(source) == (node.op, node.domain or ""):
            kept = [name for name, each in given.items() if name in node.attrs or not is_carried(each)]
            order = [*kept, *(name for name in node.attrs if name not in given)]
        else:
            proto.ClearField("overload")
        del proto.attribute[:]
        for name in order:
            is_kept = name in given and (
                name not in node.attrs or is_same_attribute(node.attrs[name], given[name], self._as_read)
            )
            proto.attribute.append(given[name] if is_kept else attribute_of(name, node.attrs[name], self._as_read))

    def _write_branches(self, proto: onnx.NodeProto, node: gs.Node, scope: Scope) -> None:
        for attribute in proto.attribute:
            if isinstance(branch := node.attrs.get(attribute.name), gs.Graph):
                self.write(attribute.g, branch, scope)

    def _write_constants(self, target: onnx.GraphProto, graph: gs.Graph, scope: Scope) -> None:
        """Write the initializers that passes added, renamed, gave other values, or let a node write."""
        target.initializer.extend(tensor_proto(each, name, self._as_read) for name, each in scope.new_constants)
        read_graph = self._as_read.graphs.get(id(graph))
        changed = {
            read.name: read.tensor
            for tensor in (read_graph.initializers if read_graph is not None else ())
            if self._is_changed(read := self._as_read.tensors[id(tensor)], scope)
        }
        for position in reversed(range(len(target.initializer) if changed else 0)):
            tensor = changed.pop(target.initializer[position].name, None)
            if isinstance(tensor, gs.Constant):
                name = scope.own_name(tensor)
                target.initializer[position].CopyFrom(tensor_proto(tensor, name or "", self._as_read))
            elif tensor is not None:
                del target.initializer[position]
        for name in changed:
            raise GraphEditError("a sparse initializer cannot be changed", where=name)

    def _is_changed(self, read: TensorAsRead, scope: Scope) -> bool:
        """Say whether an initializer is to be written anew."""
        if not isinstance(read.tensor, gs.Constant) or scope.own_name(read.tensor) != read.name:
            return True
        source = self._as_read.source_of(read.values)
        return (
            read.tensor._values is not read.values
            and source is not None
            and not is_same_tensor(read.tensor, source, self._as_read)
        )

    def _write_types(
        self,
        target: onnx.GraphProto,
        graph: gs.Graph,
        scope: Scope,
        written: Sequence[_Written],
        names_before: set[str],
    ) -> None:
        """Follow new names and types in value_info, add those of new tensors, drop those of tensors that are gone."""
        own = self._as_read.tensors_of.get(id(graph), ())
        renamed = {read.name: name for read in own if (name := scope.own_name(read.tensor)) not in (None, read.name)}
        retyped = {scope.own_name(read.tensor): read.tensor for read in own if is_retyped(read)}
        names_now = {name for node in target.node for name in node.output} | {name for name, _ in scope.new_constants}
        gone = names_before - names_now - renamed.keys()
        for position in reversed(range(len(target.value_info) if gone or renamed else 0)):
            value = target.value_info[position]
            if value.name in gone:
                del target.value_info[position]
            else:
                value.name = renamed.get(value.name, value.name)
        touched = [each.node for each in written if each.proto is not None]
        if not touched and not retyped:
            return
        values = (*target.input, *target.value_info, *target.output)
        for value in values:
            if value.name in retyped:
                value.type.CopyFrom(value_info(value.name, retyped[value.name]).type)
        known = {value.name for value in values}
        for node, tensor in ((each, tensor) for each in touched for tensor in each.outputs):
            name = scope.own_name(tensor)
            if name and name not in known and tensor.dtype is not None and self._is_news(node, tensor, name, retyped):
                known.add(name)
                target.value_info.append(value_info(name, tensor))
        for tensor in (read.tensor for read in own if _is_learned(read)):
            name = scope.own_name(tensor)
            if name and name in names_now and name not in known and tensor.dtype is not None:
                known.add(name)
                target.value_info.append(value_info(name, tensor))

    def _is_news(self, node: gs.Node, tensor: gs.Tensor, name: str, retyped: Container[str | None]) -> bool:
        """Say whether a pass may know more about what a node writes than what was read says."""
        read_node, read = self._as_read.nodes.get(id(node)), self._as_read.tensors.get(id(tensor))
        if read_node is None or read is None or read.name != name or name in retyped:
            return True
        return _op_of(read_node.source) != (node.op, node.domain or "")


def _set_nodes(target: onnx.GraphProto, written: Sequence[_Written], identities: Sequence[onnx.NodeProto]) -> None:
    """Change the list of nodes without a copy of those that stay."""
    num_read = len(target.node)
    order: list[int] = []
    for proto, index in [*((each.proto, each.index) for each in written), *((each, None) for each in identities)]:
        if proto is not None:
            index = len(target.node)
            target.node.append(proto)
        assert index is not None
        order.append(index)
    if order == list(range(num_read)):
        return
    rank = {place: position for position, place in enumerate(order)}
    for place in reversed(range(num_read)):
        if place not in rank:
            del target.node[place]
    ranks = (rank[place] for place in sorted(rank))
    target.node.sort(key=lambda _: next(ranks))


def _write_texts(target: onnx.GraphProto, graph: gs.Graph, read: GraphAsRead) -> None:
    """Write the name and the doc string that a pass gave to a graph."""
    for field, old in (("name", read.name), ("doc_string", read.doc_string)):
        if getattr(graph, field) != old:
            setattr(target, field, getattr(graph, field) or "")


def _input_names(node: gs.Node, scope: Scope) -> list[str]:
    return [scope.name_of(tensor, lambda: address_of(node)) for tensor in node.inputs]


def _require_raw_reads(read: NodeAsRead, scope: Scope) -> None:
    """Raise GraphEditError where a branch that is kept as bytes reads a tensor that was renamed or removed."""
    for tensor, name in read.raw_reads:
        if scope.name_of(tensor, lambda: address_of(read.node)) != name:
            raise GraphEditError(
                f"a branch of it reads {name}, which has another name now", where=address_of(read.node)
            )


def _is_learned(read: TensorAsRead) -> bool:
    """Say whether more sizes of a tensor are known than when it was read."""
    dims, known = read.tensor.shape, read.shape
    if not isinstance(read.tensor, gs.Variable) or dims is None:
        return False
    return sum(isinstance(dim, int) for dim in dims) > sum(isinstance(dim, int) for dim in known or ())


def _op_of(source: onnx.NodeProto) -> tuple[str, str]:
    return source.op_type, source.domain


def _are_same(one: Sequence[gs.Tensor], other: Sequence[gs.Tensor]) -> bool:
    return len(one) == len(other) and all(first is second for first, second in zip(one, other, strict=True))
