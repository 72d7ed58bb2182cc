"""A model's graphs as their float32 tensors see them: who makes them, who reads them, whose type may change.

TensorRT networks are strongly typed: a node computes in the type of its inputs. So for every node the graph knows which
inputs and outputs share the type that the node computes in ("flexible"), after ONNX's own schemas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from trtconv.model.external_data import read_external_tensor
from trtconv.model.walking import branches, captured_names, is_onnx, opset_of
from trtconv.ops import CUSTOM_OPS
from trtconv.ops.custom_op import DOMAIN
from trtconv.precision.scopes import MAIN, flatten, is_looked_into, with_unique_names
from trtconv.precision.tensor_types import FLOAT, allows, infer_types, is_flexible, schema_of

# Of these inputs ONNX allows float16, but TensorRT wants float32 or does not look at the type.
_FIXED_INPUTS = {("Resize", 1), ("Dropout", 1)}
# An output's type may come from an attribute; of these two the attribute can be changed.
TYPED_BY_ATTRIBUTE = frozenset({"Cast", "ConstantOfShape"})
# Ops that read a tensor of any type and give none of it: they take what there is.
_INDIFFERENT = frozenset({"Shape", "Size", "Cast", "NonZero", "IsNaN", "IsInf", "ArgMax", "ArgMin"})


@dataclass(frozen=True)
class Slots:
    """The float32 inputs and outputs of one node, by index, that take the type in which the node computes."""

    inputs: frozenset[int] = frozenset()
    outputs: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.inputs or self.outputs)


class FloatGraph:
    """An index of a model's main graph and of the branches and bodies in it. It reads `proto` and never changes it.

    `proto` is the given model, or a copy in which each tensor has a name of its own. `nodes` holds those of a branch or
    body before the node that owns it. `inputs` and `outputs` are the model's; `entering` maps an input of a body to the
    index of its owner, `leaving` the index of an owner to what its branches or body give out. `types` maps each tensor
    to its ONNX element type where that is known; `captured` maps a node whose branches are not looked into to the outer
    tensors that these read; `folder` is the model's, for external data.
    """

    def __init__(self, proto: onnx.ModelProto, folder: Path) -> None:
        self.proto = with_unique_names(proto)
        self.folder = folder
        self.opset = opset_of(proto)
        self.flat = flatten(self.proto, self.opset)
        self.nodes = self.flat.nodes
        self.addresses = self.flat.addresses if self.proto is proto else flatten(proto, self.opset).addresses
        self.initializers = {tensor.name: tensor for scope in self.flat.scopes for tensor in scope.graph.initializer}
        self.constants = self.initializers | dict(_constant_nodes(self.nodes))
        graph = self.proto.graph
        self.inputs = {value.name: value for value in graph.input if value.name not in self.initializers}
        self.outputs = {value.name: value for value in graph.output}
        self.entering: dict[str, int] = {}
        self.leaving: dict[int, tuple[str, ...]] = {}
        for scope in self.flat.scopes:
            if scope.owner is not None:
                entered = (value.name for value in scope.graph.input if value.name not in self.initializers)
                self.entering |= dict.fromkeys(entered, scope.owner)
                left = tuple(value.name for value in scope.graph.output)
                self.leaving[scope.owner] = (*self.leaving.get(scope.owner, ()), *left)
        self.producer = {name: index for index, node in enumerate(self.nodes) for name in node.output if name}
        self.captured = {
            index: names
            for index, node in enumerate(self.nodes)
            if index not in self.leaving and (names := _captured_by(node))
        }
        self.types = infer_types(self.proto, self.flat, self.constants, folder)
        self.slots = [self._slots_of(node) for node in self.nodes]
        self.consumers: dict[str, list[int]] = {}
        for index, node in enumerate(self.nodes):
            read = (*node.input, *self.leaving.get(index, ()), *self.captured.get(index, ()))
            for name in dict.fromkeys(read):
                if name:
                    self.consumers.setdefault(name, []).append(index)
        self._scope_of_name = {
            **{name: self.flat.scope_of[index] for name, index in self.producer.items()},
            **{
                each.name: number
                for number, scope in enumerate(self.flat.scopes)
                for each in (*scope.graph.input, *scope.graph.initializer)
            },
        }
        self._values: dict[str, npt.NDArray[Any]] = {}
        self._names_in: list[list[str]] = [[] for _ in self.flat.scopes]
        for name, number in self._scope_of_name.items():
            self._names_in[number].append(name)

    def is_float(self, name: str) -> bool:
        """Say whether a tensor is of type float32."""
        return self.types.get(name) == FLOAT

    def is_variable(self, name: str) -> bool:
        """Say whether a tensor is of type float32 and no constant."""
        return self.is_float(name) and name not in self.constants

    def scope_of(self, name: str) -> int:
        """Return the scope that owns a tensor."""
        return self._scope_of_name.get(name, MAIN)

    def names_in(self, scope: int) -> Sequence[str]:
        """Return the tensors that a scope owns."""
        return self._names_in[scope]

    def makers_of(self, name: str) -> list[int]:
        """Return the node that decides on the type of a tensor: its producer, or the owner of the body it enters."""
        return [index for index in (self.producer.get(name, self.entering.get(name)),) if index is not None]

    def variable_inputs(self, index: int) -> list[str]:
        """Return the float32 tensors that a node, and for its outputs a branch or body of it, reads; no constants."""
        read = (*self.nodes[index].input, *self.leaving.get(index, ()))
        return [name for name in read if self.is_variable(name)]

    def float_outputs(self, index: int) -> list[str]:
        """Return the float32 outputs of a node."""
        return [name for name in self.nodes[index].output if self.is_float(name)]

    def producers_of(self, index: int) -> list[int]:
        """Return the nodes that make the float32 inputs of a node."""
        return [self.producer[name] for name in self.variable_inputs(index) if name in self.producer]

    def consumers_of(self, index: int) -> list[int]:
        """Return the nodes that read the float32 outputs of a node."""
        return [each for name in self.float_outputs(index) for each in self.consumers.get(name, ())]

    def is_indifferent(self, index: int) -> bool:
        """Say whether a node takes its float input in whatever type there is."""
        return is_onnx(self.nodes[index].domain) and self.nodes[index].op_type in _INDIFFERENT

    def has_float64(self, index: int) -> bool:
        """Say whether a node reads or gives float64."""
        node = self.nodes[index]
        return any(self.types.get(name) == TensorProto.DOUBLE for name in (*node.input, *node.output))

    def scalar(self, name: str) -> float | None:
        """Return the value of a float32 constant of one element, or None."""
        tensor = self.constants.get(name)
        if tensor is None or tensor.data_type != FLOAT or int(np.prod(tensor.dims)) != 1:
            return None
        return float(self.value(name).reshape(-1)[0])

    def value(self, name: str) -> npt.NDArray[Any]:
        """Return a constant's values; only small ones are remembered."""
        if name in self._values:
            return self._values[name]
        tensor = self.constants[name]
        if tensor.data_location == TensorProto.EXTERNAL:
            tensor = read_external_tensor(tensor, self.folder)
        values: npt.NDArray[Any] = onnx.numpy_helper.to_array(tensor)
        if values.size == 1:
            self._values[name] = values
        return values

    def takes(self, index: int, elem_type: int) -> bool:
        """Say whether ONNX lets a node compute in `elem_type`."""
        node = self.nodes[index]
        if node.domain == DOMAIN:
            return node.op_type in CUSTOM_OPS and elem_type in CUSTOM_OPS[node.op_type].dtypes
        return allows(node, self.opset, elem_type, self.slots[index].inputs, self.slots[index].outputs)

    def leading_to(self, nodes: Iterable[int], ends: Set[str]) -> set[int]:
        """Return those of `nodes` from which an op of `ends` among them can be reached, that op included."""
        leading: set[int] = set()
        members = set(nodes)
        for index in sorted(members, reverse=True):
            if self.nodes[index].op_type in ends or any(each in leading for each in self.consumers_of(index)):
                leading.add(index)
        return leading

    def computing(self, names: Iterable[str], accept: Callable[[str], bool]) -> set[int]:
        """Return the nodes that `names` are computed by, as far as their ops are accepted."""
        stack = [self.producer[name] for name in names if name in self.producer]
        seen: set[int] = set()
        while stack:
            index = stack.pop()
            if index not in seen and accept(self.nodes[index].op_type):
                seen.add(index)
                stack += self.producers_of(index)
        return seen

    def _slots_of(self, node: onnx.NodeProto) -> Slots:
        if node.domain == DOMAIN:
            return Slots(self._floats(node.input), self._floats(node.output))
        if is_looked_into(node, self.opset):
            return Slots(self._floats(node.input), self._floats(node.output))
        schema = schema_of(node, self.opset)
        if schema is None or any(branches(node)):
            return Slots()
        inputs = {
            slot
            for slot in self._floats(node.input)
            if is_flexible(schema.inputs, slot)
            and (node.op_type, slot) not in _FIXED_INPUTS
            and node.op_type not in _INDIFFERENT
        }
        outputs = {slot for slot in self._floats(node.output) if is_flexible(schema.outputs, slot)}
        if not inputs and node.op_type not in TYPED_BY_ATTRIBUTE:
            outputs = set()
        if node.op_type == "Constant":
            outputs = set()
        return Slots(frozenset(inputs), frozenset(outputs))

    def _floats(self, names: Any) -> frozenset[int]:
        return frozenset(slot for slot, name in enumerate(names) if self.is_float(name))


def _captured_by(node: onnx.NodeProto) -> tuple[str, ...]:
    """Return the outer tensors that a node's branches read."""
    return tuple(dict.fromkeys(name for branch in branches(node) for name in captured_names(branch)))


def _constant_nodes(nodes: Any) -> Iterator[tuple[str, TensorProto]]:
    for node in nodes:
        if node.op_type != "Constant" or not is_onnx(node.domain):
            continue
        for attribute in node.attribute:
            if attribute.name == "value":
                yield node.output[0], attribute.t
            elif attribute.name in ("value_float", "value_floats"):
                is_list = attribute.name == "value_floats"
                values = list(attribute.floats) if is_list else [attribute.f]
                yield node.output[0], onnx.helper.make_tensor("", FLOAT, [len(values)] if is_list else [], values)
