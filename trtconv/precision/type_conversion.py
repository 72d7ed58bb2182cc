"""Give a graph its types: nodes that compute in 16 bits get 16-bit inputs, all others keep theirs, Casts between them.

A tensor is cast once to each type that is asked for, right behind the node that makes it; constants are converted, not
cast. Graph inputs and outputs keep their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from trtconv.element_types import BY_ONNX
from trtconv.model.fresh_names import FreshNames
from trtconv.model.walking import branches, is_onnx, walk_graphs
from trtconv.precision.float_graph import TYPED_BY_ATTRIBUTE, FloatGraph
from trtconv.precision.scopes import MAIN, flatten
from trtconv.precision.tensor_types import FLOAT, target_of

# Converted constants are kept inside the model, which protobuf limits to 2 GiB; external ones beyond this are cast.
_MAX_EMBEDDED_BYTES = 1 << 30
_BEFORE_ALL_NODES = -1
_LARGEST: Mapping[int, float] = {TensorProto.FLOAT16: 65504.0, TensorProto.BFLOAT16: 3.3895313892515355e38}


class Typing:
    """One conversion of one model: `proto`, a copy of the model of `graph`, which is its index, is edited in place."""

    def __init__(
        self, proto: onnx.ModelProto, graph: FloatGraph, low_nodes: Set[int], low_type: int, io_types: Mapping[str, int]
    ) -> None:
        self._proto = proto
        self._graph = graph
        self._low_nodes = low_nodes
        self._low_type = low_type
        self._io_types = io_types
        self._names: dict[tuple[str, int], str] = {}
        self._behind: dict[tuple[int, int], list[onnx.NodeProto]] = {}
        self._fresh_names = FreshNames(_all_names(proto.graph))
        self._embedded_bytes = 0
        self._flat = flatten(proto, graph.opset)
        self._graphs = [scope.graph for scope in self._flat.scopes]
        self._initializers = {tensor.name: tensor for each in self._graphs for tensor in each.initializer}
        self._made = {
            name: self._type_made(name) for name in graph.types if graph.is_variable(name) or name in io_types
        }

    def apply(self) -> None:
        """Edit the model."""
        wanted_low = self._constants_wanted_low()
        self._name_results()
        for index, node in enumerate(self._flat.nodes):
            self._connect_inputs(index, node, wanted_low)
            self._connect_outputs(index, node)
        for name in self._graph.outputs:
            if name in self._made:
                self._version(name, self._io_type(name))
        self._declare_types()
        self._connect_leaving(wanted_low)
        self._insert_casts()

    def _type_made(self, name: str) -> int:
        """Return the type that the maker of a tensor gives it."""
        if name in self._graph.entering:
            return self._type_across(self._graph.entering[name])
        if name not in self._graph.producer:
            return self._io_type(name)
        index = self._graph.producer[name]
        slot = list(self._graph.nodes[index].output).index(name)
        is_low = index in self._low_nodes and slot in self._graph.slots[index].outputs
        return self._low_type if is_low else self._graph.types[name]

    def _type_across(self, owner: int) -> int:
        """Return the type of the floats that enter or leave the branches or body of a node."""
        return self._low_type if owner in self._low_nodes else FLOAT

    def _io_type(self, name: str) -> int:
        return self._io_types.get(name, self._graph.types[name])

    def _wanted(self, index: int, slot: int) -> int | None:
        """Return the type in which a node wants a float32 input, None where it takes what there is."""
        if index in self._low_nodes and slot in self._graph.slots[index].inputs:
            return self._low_type
        return None if self._graph.is_indifferent(index) else FLOAT

    def _constants_wanted_low(self) -> dict[str, bool]:
        """Map each constant that some node wants in 16 bits to whether all do, so that it can change in place."""
        wants: dict[str, set[int | None]] = {}
        for index, node in enumerate(self._graph.nodes):
            for slot, name in enumerate(node.input):
                if name in self._graph.constants and self._graph.is_float(name):
                    wants.setdefault(name, set()).add(self._wanted(index, slot))
            for name in self._graph.captured.get(index, ()):
                wants.setdefault(name, set()).add(FLOAT)
            for name in self._graph.leaving.get(index, ()):
                wants.setdefault(name, set()).add(self._type_across(index))
        for name in self._graph.outputs:
            wants.setdefault(name, set()).add(FLOAT)
        constants = {name: types for name, types in wants.items() if name in self._graph.constants}
        return {name: types == {self._low_type} for name, types in constants.items() if self._low_type in types}

    def _name_results(self) -> None:
        """Choose the name of each tensor as its maker gives it: its own, unless a graph output of that name differs."""
        for name, made in self._made.items():
            is_other_output = name in self._graph.outputs and made != self._io_type(name)
            self._names[name, made] = self._new_name(name, made) if is_other_output else name
            if is_other_output and name not in self._graph.inputs:
                self._cast(name, self._io_type(name), name)

    def _version(self, name: str, elem_type: int) -> str:
        """Return the name of a tensor in that type; make the Cast where there is none yet."""
        if (name, elem_type) not in self._names:
            self._cast(name, elem_type, self._new_name(name, elem_type))
        return self._names[name, elem_type]

    def _cast(self, name: str, elem_type: int, cast_name: str) -> None:
        source = self._names[name, self._made[name]] if name in self._made else name
        node = helper.make_node("Cast", [source], [cast_name], self._new_name(f"Cast/{name}", elem_type), to=elem_type)
        place = self._graph.scope_of(name), self._graph.producer.get(name, _BEFORE_ALL_NODES)
        self._behind.setdefault(place, []).append(node)
        self._names[name, elem_type] = cast_name

    def _connect_inputs(self, index: int, node: onnx.NodeProto, wanted_low: Mapping[str, bool]) -> None:
        for slot, name in enumerate(self._graph.nodes[index].input):
            wanted = self._wanted(index, slot)
            if name in wanted_low:
                node.input[slot] = self._constant(name, wanted_low[name]) if wanted == self._low_type else name
            elif name in self._made:
                if not self._graph.is_float(name):  # an input of another type, given as --io-types has it
                    wanted = self._graph.types[name]
                node.input[slot] = self._version(name, self._made[name] if wanted is None else wanted)
        renamed = {
            name: self._version(name, self._graph.types[name])
            for name in self._graph.captured.get(index, ())
            if name in self._made
        }
        _rename_captured(node, {name: new for name, new in renamed.items() if name != new})

    def _connect_outputs(self, index: int, node: onnx.NodeProto) -> None:
        for slot, name in enumerate(self._graph.nodes[index].output):
            if name in self._made:
                node.output[slot] = self._names[name, self._made[name]]
        is_typed = node.op_type in TYPED_BY_ATTRIBUTE and is_onnx(node.domain)
        is_told = target_of(node) == FLOAT and bool(self._graph.slots[index].outputs)
        if index in self._low_nodes and (is_typed or is_told):
            _set_output_type(node, self._low_type)

    def _constant(self, name: str, in_place: bool) -> str:
        """Return the name of a constant in 16 bits; convert it where that was not done yet."""
        if (name, self._low_type) in self._names:
            return self._names[name, self._low_type]
        tensor = self._graph.constants[name]
        num_bytes = 2 * int(np.prod(tensor.dims))
        if tensor.data_location == TensorProto.EXTERNAL and self._embedded_bytes + num_bytes > _MAX_EMBEDDED_BYTES:
            return self._version(name, self._low_type)
        self._embedded_bytes += num_bytes
        new_name = name if in_place else self._new_name(name, self._low_type)
        self._names[name, self._low_type] = new_name
        converted = self._convert(self._graph.value(name), new_name, tensor)
        if not in_place:
            self._graphs[self._graph.scope_of(name)].initializer.append(converted)
        elif name in self._graph.producer:
            constant = self._flat.nodes[self._graph.producer[name]]
            del constant.attribute[:]
            constant.attribute.append(helper.make_attribute("value", converted))
        else:
            self._initializers[name].CopyFrom(converted)
        return new_name

    def _convert(self, values: npt.NDArray[Any], name: str, source: TensorProto) -> TensorProto:
        data = _narrowed(values, self._low_type).tobytes()
        converted = helper.make_tensor(name, self._low_type, source.dims, data, raw=True)
        if isinstance(source.doc_string, str):  # protobuf gives bytes where it is not UTF-8, and takes none
            converted.doc_string = source.doc_string
        return converted

    def _connect_leaving(self, wanted_low: Mapping[str, bool]) -> None:
        """Connect the outputs of each branch and body in the type that its owner has."""
        for scope in self._flat.scopes:
            for value in scope.graph.output if scope.owner is not None else ():
                if not self._graph.is_float(value.name):
                    continue
                wanted = self._type_across(scope.owner or 0)
                value.type.tensor_type.elem_type = wanted
                if value.name in wanted_low and wanted == self._low_type:
                    value.name = self._constant(value.name, wanted_low[value.name])
                elif value.name in self._made:
                    value.name = self._version(value.name, wanted)

    def _declare_types(self) -> None:
        """Write the new types into the declarations of inputs, outputs and inner tensors."""
        graph = self._graphs[MAIN]
        for value in (*graph.input, *graph.output):
            if value.name in self._made:
                value.type.tensor_type.elem_type = self._io_type(value.name)
            elif self._names.get((value.name, self._low_type)) == value.name:  # an initializer listed as an input
                value.type.tensor_type.elem_type = self._low_type
        inner = (value for each in self._graphs[1:] for value in (*each.input, *each.value_info))
        for value in (*graph.value_info, *inner):
            made = self._made.get(value.name)
            if made is not None and self._names[value.name, made] == value.name:
                value.type.tensor_type.elem_type = made
            elif self._names.get((value.name, self._low_type)) == value.name:
                value.type.tensor_type.elem_type = self._low_type

    def _insert_casts(self) -> None:
        rows: list[list[onnx.NodeProto]] = [
            list(self._behind.get((scope, _BEFORE_ALL_NODES), ())) for scope in range(len(self._graphs))
        ]
        for index, node in enumerate(self._flat.nodes):
            scope = self._flat.scope_of[index]
            rows[scope] += (node, *self._behind.get((scope, index), ()))
        for graph, nodes in reversed(list(zip(self._graphs, rows, strict=True))):  # an inner graph before its owner
            del graph.node[:]
            graph.node.extend(nodes)

    def _new_name(self, name: str, elem_type: int) -> str:
        return self._fresh_names.new(f"{name}_{BY_ONNX[elem_type].short}")


def _narrowed(values: npt.NDArray[Any], elem_type: int) -> npt.NDArray[Any]:
    """Return values in a 16-bit type; those beyond it become its largest: -inf in a mask could turn a row into NaN."""
    dtype = BY_ONNX[elem_type].dtype
    with np.errstate(over="ignore", under="ignore"):
        narrow: npt.NDArray[Any] = values.astype(dtype)
        overflown = np.isinf(narrow) & np.isfinite(values)
    if overflown.any():
        limit = np.array(_LARGEST[elem_type], dtype)
        narrow = np.where(overflown, np.where(values > 0, limit, -limit), narrow).astype(dtype)
    return narrow


def _set_output_type(node: onnx.NodeProto, elem_type: int) -> None:
    """Let a Cast, a ConstantOfShape or a custom op give another type."""
    for attribute in node.attribute:
        if attribute.name == "to":
            attribute.i = elem_type
        elif attribute.name == "value":
            values = _narrowed(onnx.numpy_helper.to_array(attribute.t), elem_type)
            attribute.t.CopyFrom(helper.make_tensor("", elem_type, attribute.t.dims, values.tobytes(), raw=True))
    if not node.attribute:  # ConstantOfShape gives float32 zeros by default
        zero = helper.make_tensor("", elem_type, [1], bytes(2), raw=True)
        node.attribute.append(helper.make_attribute("value", zero))


def _rename_captured(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """Let the branches of a node read outer tensors by other names."""
    for branch in branches(node) if names else ():
        own = {value.name for value in branch.input} | {tensor.name for tensor in branch.initializer}
        for inner in branch.node:
            visible = {old: new for old, new in names.items() if old not in own}
            if visible:
                _rename_captured(inner, visible)
                inner.input[:] = [visible.get(name, name) for name in inner.input]
            own.update(inner.output)
        for value in branch.output:
            if value.name in names and value.name not in own:
                value.name = names[value.name]


def _all_names(graph: onnx.GraphProto) -> set[str]:
    names: set[str] = set()
    for each in walk_graphs(graph):
        names.update(value.name for value in (*each.input, *each.output, *each.value_info, *each.initializer))
        for node in each.node:
            names.update((node.name, *node.input, *node.output))
    return names
