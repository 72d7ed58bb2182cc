"""Inline functions that are written in another opset: as they are where no op differs, else converted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx.defs
import onnx.inliner

from trtconv.errors import ModelError
from trtconv.model.fresh_names import FreshNames
from trtconv.model.function_calls import FunctionId, id_of, id_of_call, require_inlinable
from trtconv.model.shape_inference import with_shapes
from trtconv.model.walking import branches, captured_names, is_onnx, opset_of, walk_all, walk_graphs, walk_nodes

_Known = onnx.ValueInfoProto | onnx.TensorProto  # what is known of a tensor that a call reads
_MAX_VALUES = 64  # axes, scales, pads


def inline_all(proto: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """Return the model with every call replaced by the body of its function; `proto` itself is changed on the way.

    onnx's converter runs only for a function whose ops differ between its opset and the model's: it needs the types of
    all tensors that a call reads. Raises ModelError, naming the function, where it fails, and where the model would get
    too many nodes.
    """
    require_inlinable(proto, path)
    _align(proto)
    inlined = onnx.inliner.inline_local_functions(proto, convert_version=False)  # keeps those of other opsets
    is_stuck = False
    while _called(inlined):  # a round takes the calls whose inputs have types, which it gives to the calls after them
        converter = _Converter(inlined, path, needs_types=not is_stuck)
        converter.convert(inlined.graph, {})
        is_stuck = converter.num_converted == 0
    del inlined.functions[:]
    return inlined


def _align(proto: onnx.ModelProto) -> None:
    """Write the model's opset into each function that means the same in it.

    A model that means the same in the newest opset of its functions is brought to that one first: onnx can hardly
    convert to an older opset.
    """
    own = {id_of(function) for function in proto.functions}
    target = opset_of(proto)
    newest = max([target, *(opset for each in proto.functions if (opset := _opset_of(each)) is not None)])
    if newest > target and not _changed_ops(walk_nodes(proto.graph), own, target, newest):
        target = newest
        for entry in proto.opset_import:
            if is_onnx(entry.domain):
                entry.version = target
    imported = {entry.domain for entry in proto.opset_import}
    for function in proto.functions:
        for entry in function.opset_import:
            if is_onnx(entry.domain) and not _changed_ops(walk_all(function.node), own, entry.version, target):
                entry.version = target
            elif not is_onnx(entry.domain) and entry.domain not in imported:
                proto.opset_import.append(entry)
                imported.add(entry.domain)


def _changed_ops(nodes: Iterable[onnx.NodeProto], own: set[FunctionId], old: int, new: int) -> list[str]:
    """Return which ONNX ops of `nodes` do not mean the same in the opset `new`; `own` are functions, not ops."""
    ops = {node.op_type for node in nodes if is_onnx(node.domain) and id_of_call(node) not in own}
    return sorted(op for op in ops if not _means_the_same(op, old, new))


def _means_the_same(op: str, old: int, new: int) -> bool:
    """Say whether an op is the same in two opsets, or a later one only takes more types."""
    if old == new:
        return True
    if max(old, new) > onnx.defs.onnx_opset_version():
        return False
    try:
        schemas = [onnx.defs.get_schema(op, opset, "") for opset in (old, new)]
    except onnx.defs.SchemaError:
        return False
    same = schemas[0].since_version == schemas[1].since_version
    return same or (old < new and _signature(schemas[0]) == _signature(schemas[1]))


def _signature(schema: Any) -> tuple[Any, ...]:
    """Return what a change of meaning has always changed too: attributes with their defaults, inputs and outputs."""
    attributes = {
        name: (each.type, each.required, each.default_value.SerializeToString())
        for name, each in schema.attributes.items()
    }
    ends = [[(end.name, end.option) for end in side] for side in (schema.inputs, schema.outputs)]
    return attributes, *ends, schema.deprecated


def _called(proto: onnx.ModelProto) -> dict[FunctionId, onnx.FunctionProto]:
    own = {id_of(function): function for function in proto.functions}
    return {each: own[each] for each in map(id_of_call, walk_nodes(proto.graph)) if each in own}


class _Converter:
    """Puts the bodies of functions of another opset in the place of their calls, one level of calls at a time.

    Each call is converted in a small model of its own: onnx's converter gives tensors the same names again and again.
    """

    def __init__(self, proto: onnx.ModelProto, path: Path, needs_types: bool) -> None:
        self._proto, self._path, self._needs_types = proto, path, needs_types
        self.num_converted = 0
        self._functions = _called(proto)
        self._names = FreshNames(name for graph in walk_graphs(proto.graph) for name in _names_in(graph))

    def convert(self, graph: onnx.GraphProto, outer: Mapping[str, _Known]) -> None:
        """Convert the calls in one (sub)graph, which sees the tensors of `outer`."""
        known = {**outer, **self._known_in(graph, outer)}
        nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            for branch in branches(node):
                self.convert(branch, known)
            function = self._functions.get(id_of_call(node))
            if function is None or (self._needs_types and not all(name in known for name in node.input if name)):
                nodes.append(node)
            else:
                nodes += self._body(graph, node, function, known)
                self.num_converted += 1
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)

    def _known_in(self, graph: onnx.GraphProto, outer: Mapping[str, _Known]) -> dict[str, _Known]:
        alone = onnx.ModelProto(ir_version=self._proto.ir_version, functions=self._proto.functions, graph=graph)
        alone.opset_import.extend(self._proto.opset_import)
        captured = [outer[name] for name in captured_names(graph) if name in outer]
        alone.graph.input.extend(map(_value_of, captured))
        inferred = with_shapes(alone, self._path.parent).graph
        values = [*inferred.value_info, *graph.value_info, *graph.output, *graph.input]
        known: dict[str, _Known] = {value.name: value for value in values if value.type.WhichOneof("value")}
        return known | {tensor.name: tensor for tensor in graph.initializer}

    def _body(
        self, graph: onnx.GraphProto, call: onnx.NodeProto, function: onnx.FunctionProto, known: Mapping[str, _Known]
    ) -> Sequence[onnx.NodeProto]:
        read = {name: known[name] for name in call.input if name in known}
        is_value = {name: _holds_data(each) for name, each in read.items()}
        small = onnx.ModelProto(ir_version=self._proto.ir_version, functions=[function])
        small.opset_import.extend(self._proto.opset_import)
        small.graph.name = "call"
        small.graph.node.append(call)
        small.graph.input.extend(_value_of(each) for name, each in read.items() if not is_value[name])
        small.graph.initializer.extend(each for name, each in read.items() if is_value[name])
        small.graph.value_info.extend(_value_of(each) for name, each in read.items() if is_value[name])
        small.graph.output.extend(known.get(name, onnx.ValueInfoProto(name=name)) for name in call.output if name)
        try:
            inlined = onnx.inliner.inline_local_functions(small, convert_version=True).graph
        except Exception as error:
            raise self._failure(function) from error
        if any(id_of_call(node) == id_of(function) for node in inlined.node):
            raise self._failure(function)
        outside = {*call.input, *call.output, ""}
        prefix = call.name or call.output[0]
        names = {name: self._names.new(f"{prefix}/{name}") for name in _names_in(inlined) if name not in outside}
        _rename(inlined, names)
        graph.initializer.extend(tensor for tensor in inlined.initializer if tensor.name not in outside)
        for node in inlined.node:
            if node.name:
                node.name = f"{prefix}/{node.name}"
        return list(inlined.node)

    def _failure(self, function: onnx.FunctionProto) -> ModelError:
        target, opset = opset_of(self._proto), _opset_of(function)
        own = {id_of(each) for each in self._proto.functions}
        ops = _changed_ops(walk_all(function.node), own, opset or target, target)
        what = f"local function {function.domain}::{function.name} is written in opset {opset}, the model in {target}"
        what += f", and onnx cannot convert it (between the two differ: {', '.join(ops)})" if ops else ""
        hint = "export the model with one opset for all of it, or let the exporter inline its functions"
        return ModelError(what, where=str(self._path), hint=hint)


def _value_of(known: _Known) -> onnx.ValueInfoProto:
    if isinstance(known, onnx.ValueInfoProto):
        return known
    return onnx.helper.make_tensor_value_info(known.name, known.data_type, list(known.dims))


def _holds_data(known: _Known) -> bool:
    """Say whether onnx's converter gets a tensor's values, which a few conversions need: axes, scales."""
    is_inside = isinstance(known, onnx.TensorProto) and known.data_location != onnx.TensorProto.EXTERNAL
    return is_inside and math.prod(known.dims) <= _MAX_VALUES


def _names_in(graph: onnx.GraphProto) -> Iterator[str]:
    for each in walk_graphs(graph):
        yield from (value.name for value in (*each.input, *each.initializer))
        yield from (name for node in each.node for name in node.output if name)


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    for each in walk_graphs(graph):
        for value in (*each.input, *each.output, *each.initializer, *each.value_info):
            value.name = names.get(value.name, value.name)
        for node in each.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]


def _opset_of(function: onnx.FunctionProto) -> int | None:
    return next((int(entry.version) for entry in function.opset_import if is_onnx(entry.domain)), None)
