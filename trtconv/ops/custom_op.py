"""The type of a row in the table of the custom ops, and what follows from a row alone.

TensorRT's parser hands a plugin only the attributes that its creator lists and reports no misspelt one, so passes write
every attribute, and `attributes_for` checks it before any node is made. A node that was written by an older trtconv may
lack attributes that have a default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from trtconv import element_types

DOMAIN = "trtconv"
VERSION = 1

# The first IR version that lets a model carry functions; initializers need no input of their name since version 4.
MIN_IR_VERSION = 8
# The first IR version with several functions of one name, told apart by their overload.
OVERLOADS_IR_VERSION = 10

MAX_RANK = 8  # TensorRT's own limit on dimensions

Dim = int | str | None
AttributeValue = float | int | str | list[int]
Attributes = Mapping[str, AttributeValue]

_ATTRIBUTE_KINDS: Mapping[type, int] = {
    float: onnx.AttributeProto.FLOAT,
    int: onnx.AttributeProto.INT,
    str: onnx.AttributeProto.STRING,
    list: onnx.AttributeProto.INTS,
}
_PLUGIN_ATTRIBUTES = dict.fromkeys(("plugin_version", "plugin_namespace"), onnx.AttributeProto.STRING)


@dataclass(frozen=True)
class Attribute:
    """One attribute of a custom op: float, int, str or list (of int), and the one rule that says which values it takes.

    `problem` returns what is wrong with a value, without the attribute's name, or None. `default` is what an absent
    attribute means; without one the attribute is required. At the opsets of `tensor_opsets` a node also carries the
    values as the tensor `NAME_tensor`, which the function body needs there.
    """

    kind: type
    problem: Callable[[Any], str | None]
    default: AttributeValue | None = None
    tensor_opsets: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Operand:
    """What is known of one input of an op: its element type and its dimensions, None for what is not known."""

    dtype: int | None
    dims: Sequence[Dim] | None


@dataclass(frozen=True)
class Call:
    """One use of an op: what its inputs are for, in their order, what is known of them, and all attributes."""

    roles: Sequence[str]
    operands: Sequence[Operand]
    attributes: Mapping[str, Any]

    def operand(self, role: str) -> Operand:
        """Return what is known of the input of this role; nothing of one that is absent."""
        return self.operands[list(self.roles).index(role)] if role in self.roles else Operand(None, None)


@dataclass(frozen=True)
class OnnxForm:
    """The ONNX operator that a custom op stands for, and where a node of it has its parameters.

    `title` names a node in reports, by its attributes. `inputs` are the positions of the parameters that are inputs,
    `attributes` the names of those that are attributes in some opset; `small_inputs` hold a few numbers. `others` and
    `why_not_others` are about nodes of this operator that have another title than the one that is replaced.
    """

    op_type: str
    title: Callable[[Mapping[str, Any]], str]
    inputs: Mapping[str, int]
    attributes: tuple[str, ...]
    small_inputs: frozenset[str] = frozenset()
    others: str | None = None
    why_not_others: str | None = None


@dataclass(frozen=True)
class CustomOp:
    """One custom op: what its node looks like, what it means, what its plugin takes and moves.

    `replaces` is the title of the ONNX node in reports, `replaces_long` its name in sentences, `form` the rest of what
    is known of it; `kind` is "norm" or "pad". A node has the required `inputs` and then, in this order, those of
    `optional_inputs` that it needs: `optional_roles` names them by the attributes and their number, None for a number
    that does not fit. `dtypes` are the ONNX element types of X, `no_dtype` is what is said of another before its name,
    `ranks` are the ranks that X may have. `misfit` holds the op's rule on its inputs; it is asked only where types,
    ranks and attributes are allowed. `output_dims` is the shape of Y for the dims of X, `bytes_moved` what an ideal
    kernel reads and writes, in bytes, for (dims of X, bytes of an element of X, attributes, roles of the inputs).
    `reference` is the op in numpy, norms in float64. `body` writes a call in ONNX operators of a given opset, and
    `overload` names the body that a call needs: two calls of one overload have one body. Functions that take
    attributes get all of them.
    """

    name: str
    replaces: str
    replaces_long: str
    form: OnnxForm
    kind: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    dtypes: frozenset[int]
    no_dtype: str
    ranks: range
    misfit: Callable[[Call], str | None]
    output_dims: Callable[[Sequence[Dim], Mapping[str, Any]], list[Dim]]
    bytes_moved: Callable[[Sequence[int], int, Mapping[str, Any], Sequence[str]], int]
    reference: Callable[..., npt.NDArray[Any]]
    body: Callable[[int, Call], list[onnx.NodeProto]]
    overload: Callable[[Call], str] = lambda call: ""
    optional_inputs: tuple[str, ...] = ()
    optional_roles: Callable[[int, Mapping[str, Any]], tuple[str, ...] | None] = lambda count, attributes: (
        None if count else ()
    )

    @property
    def title(self) -> str:
        """The op with its domain, as reports name it."""
        return f"{DOMAIN}::{self.name}"

    @property
    def required_attributes(self) -> frozenset[str]:
        """The attributes that have no default."""
        return frozenset(name for name, row in self.attributes.items() if row.default is None)

    def complete(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Return all attributes in the order of the table, those that are absent with their defaults."""
        return {name: attributes.get(name, row.default) for name, row in self.attributes.items()}

    def roles(self, count: int, attributes: Attributes) -> tuple[str, ...] | None:
        """Return what each input of a node is for, None where their number does not fit the attributes."""
        num_optional = count - len(self.inputs)
        optional = self.optional_roles(num_optional, self.complete(attributes)) if num_optional >= 0 else None
        return None if optional is None else (*self.inputs, *optional)

    def output_dtype(self, dtype: int | None, attributes: Attributes) -> int | None:
        """Return the ONNX element type of Y for that of X."""
        to = attributes.get("to")
        return to if isinstance(to, int) and to else dtype

    def problem_of_attribute(self, name: str, value: AttributeValue) -> str | None:
        """Return what is wrong with the value of one attribute, None where it is allowed."""
        problem = self.attributes[name].problem(value)
        return None if problem is None else f"{name} {problem}"

    def problem_of_dtype(self, dtype: int) -> str | None:
        """Return why a plugin cannot take X in an ONNX element type, None where it can."""
        return None if dtype in self.dtypes else f"{self.no_dtype} {element_types.name_of(dtype)}"

    def problem(self, operands: Sequence[Operand], attributes: Attributes) -> str | None:
        """Return why a plugin cannot compute these inputs with these attributes, None where it can.

        What is not known (a type, a rank, a dimension) is not a problem: TensorRT checks it when it is known.
        """
        for name, value in attributes.items():
            if problem := self.problem_of_attribute(name, value):
                return problem
        roles = self.roles(len(operands), attributes)
        if roles is None:
            return f"takes the inputs {self._describe_inputs()}, got {len(operands)}"
        dtype, dims = operands[0].dtype, operands[0].dims
        if dtype is not None and (problem := self.problem_of_dtype(dtype)):
            return problem
        if dims is not None and len(dims) > MAX_RANK:
            return f"X has rank {len(dims)}, TensorRT takes at most {MAX_RANK}"
        if dims is not None and len(dims) not in self.ranks:
            return f"X has rank {len(dims)}, the plugin takes rank {self.ranks.start} to {self.ranks.stop - 1}"
        return self.misfit(Call(roles, operands, self.complete(attributes)))

    def problem_of_node(self, node: onnx.NodeProto, operands: Sequence[Operand] | None = None) -> str | None:
        """Return what is wrong with a node of this op as it is written in a model, None where nothing is.

        `operands` are its inputs, where they are known.
        """
        count, most = len(node.input), len(self.inputs) + len(self.optional_inputs)
        if not len(self.inputs) <= count <= most or not all(node.input):
            return f"{self.name} takes the inputs {self._describe_inputs()}, got {list(node.input)}"
        if len(node.output) != 1 or not node.output[0]:
            return f"{self.name} has one output, got {list(node.output)}"
        if problem := self._problem_of_attributes(node):
            return problem
        values = attributes_of(self, node)
        for name, value in values.items():
            if problem := self.problem_of_attribute(name, value):
                return f"{self.name}.{problem}"
        if self.roles(count, values) is None:
            return f"{self.name} takes the inputs {self._describe_inputs()}, got {list(node.input)}"
        problem = None if operands is None else self.problem(operands, values)
        return None if problem is None else f"{self.name}: {problem}"

    def _problem_of_attributes(self, node: onnx.NodeProto) -> str | None:
        """Return what is wrong with the names and types of a node's attributes."""
        given = {attribute.name: attribute for attribute in node.attribute}
        if len(given) != len(node.attribute):
            return f"{self.name} has an attribute twice, got {sorted(str(each.name) for each in node.attribute)}"
        expected = {name: _ATTRIBUTE_KINDS[row.kind] for name, row in self.attributes.items()} | _PLUGIN_ATTRIBUTES
        tensors = {f"{name}_tensor" for name, row in self.attributes.items() if row.tensor_opsets}
        unknown = sorted(map(str, given.keys() - expected.keys() - tensors))
        if unknown:
            return f"{self.name} has no attribute {', '.join(unknown)}, only {', '.join(expected)}"
        for name, kind in expected.items():
            if name not in given:
                if name in self.required_attributes or name in _PLUGIN_ATTRIBUTES:
                    return f"{self.name} needs the attribute {name}, got {sorted(map(str, given))}"
                continue
            if given[name].type != kind:
                return f"{self.name}.{name} must be {_kind_name(kind)}, got {_kind_name(given[name].type)}"
            if given[name].ref_attr_name:
                return f"{self.name}.{name} must be a value, got a reference to {given[name].ref_attr_name}"
        for name, text in (("plugin_version", str(VERSION)), ("plugin_namespace", DOMAIN)):
            if given[name].s.decode(errors="replace") != text:
                return f"{self.name}.{name} must be {text!r}, got {given[name].s.decode(errors='replace')!r}"
        return None

    def _describe_inputs(self) -> str:
        return ", ".join(self.inputs) + "".join(f" [, {name}]" for name in self.optional_inputs)


def attributes_of(op: CustomOp, node: onnx.NodeProto) -> dict[str, Any]:
    """Return all attributes of a node of `op`, those that it lacks with their defaults."""
    given = {each.name: each for each in node.attribute}
    return op.complete({name: _value_of(given[name]) for name in op.attributes if name in given})


def attributes_for(op: CustomOp, values: Attributes, opset: int) -> dict[str, Any]:
    """Return all attributes of a node of `op` in a model of ai.onnx `opset`, for graph-surgeon.

    Those that `values` lacks get their defaults. Raises ValueError for a missing, unknown or mistyped attribute: this
    is a defect of the caller, not of the model.
    """
    if not op.required_attributes <= set(values) <= set(op.attributes):
        raise ValueError(f"{op.name} takes the attributes {sorted(op.attributes)}, got {sorted(values)}")
    complete: dict[str, Any] = op.complete(values)
    for name, value in complete.items():
        if not isinstance(value, op.attributes[name].kind):
            raise ValueError(f"{op.name}.{name} is of type {type(value)}, expected {op.attributes[name].kind}")
        if problem := op.problem_of_attribute(name, complete[name]):
            raise ValueError(f"{op.name}.{problem}")
    tensors = {
        f"{name}_tensor": numpy_helper.from_array(np.array(values[name], dtype=np.int64))
        for name in _carried_as_tensors(op, opset)
    }
    return {**complete, **tensors, "plugin_version": str(VERSION), "plugin_namespace": DOMAIN}


def function_for(op: CustomOp, opset: int, call: Call) -> onnx.FunctionProto:
    """Return the model-local function that gives `call` its meaning in a model of ai.onnx `opset`."""
    tensors = [f"{name}_tensor" for name in _carried_as_tensors(op, opset)]
    return helper.make_function(
        DOMAIN,
        op.name,
        list(call.roles),
        ["Y"],
        op.body(opset, call),
        [helper.make_opsetid("", opset)],
        attributes=[*op.attributes, "plugin_version", "plugin_namespace", *tensors],
        overload=op.overload(call) or None,
    )


def reference_to(name: str, kind: onnx.AttributeProto.AttributeType, of: str | None = None) -> onnx.AttributeProto:
    """Return an attribute `name` for a node in a function body that takes the value of the function's own `of`."""
    return onnx.AttributeProto(name=name, type=kind, ref_attr_name=of or name)


def _carried_as_tensors(op: CustomOp, opset: int) -> list[str]:
    return [name for name, row in op.attributes.items() if opset in row.tensor_opsets]


def _value_of(attribute: onnx.AttributeProto) -> AttributeValue:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, (float, int)) else list(value)


def _kind_name(kind: int) -> str:
    return str(onnx.AttributeProto.AttributeType.Name(kind))
