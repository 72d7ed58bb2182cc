"""Read an ONNX graph for a page: nodes in their order, and which tensor each of them reads and writes."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import onnx
import onnx_graphsurgeon as gs

from trtconv import element_types
from trtconv.model.addresses import address_of
from trtconv.model.shape_inference import is_made_up
from trtconv.model.walking import is_onnx, walk_all
from trtconv.ops import CUSTOM_OPS
from trtconv.ops.custom_op import DOMAIN, Dim
from trtconv.passes.base import walk
from trtconv.passes.graph_edit import describe_dtype, dtype_of, shape_of
from trtconv.reports.html.page import Role, Tensor
from trtconv.shapes import format_dims

MAX_NODES: Final = 20_000  # of a graph: with more, a page takes seconds to open
_MAX_TENSORS = 32  # of a node
_MAX_VALUES = 8  # of an attribute
_FOR_TENSORRT = ("plugin_version", "plugin_namespace")  # how its parser finds a plugin
_Scope = ChainMap[str, int]


@dataclass(frozen=True)
class ReadNode:
    """A node as it was read; `key` names its first output together with the branch that it stands in."""

    address: str
    op: str
    key: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    num_more: int
    attributes: str

    @property
    def is_custom(self) -> bool:
        """Whether it is a custom op of trtconv."""
        return self.op.startswith(f"{DOMAIN}::")


@dataclass
class ReadGraph:
    """Nodes and tensors as they were read, branches included. Constant nodes count as weights of their readers."""

    nodes: list[ReadNode] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    num_constants: int = 0
    num_left_out: int = 0


def tensor_types(graph: gs.Graph, *, shapes_alone: bool = False) -> dict[str, str]:
    """Return type and shape, as far as they are known, of each tensor that nodes read or write, by its name."""
    types: dict[str, str] = {}
    for site in walk(graph):
        for tensor in (*site.node.inputs, *site.node.outputs):
            dtype = None if shapes_alone else dtype_of(tensor)
            if tensor.name not in types and (told := _type_text(dtype, shape_of(tensor))):
                types[tensor.name] = told
    return types


def read_graph(graph: onnx.GraphProto, types: Mapping[str, str]) -> ReadGraph:
    """Return the first MAX_NODES nodes of a graph; `types` gives the types of tensors by their names."""
    reader = _Reader(types)
    reader.read(graph, "", ChainMap())
    return reader.found


class _Reader:
    def __init__(self, types: Mapping[str, str]) -> None:
        self.found = ReadGraph()
        self._types = types

    def read(self, graph: onnx.GraphProto, prefix: str, outer: _Scope) -> None:
        scope = outer.new_child()
        for tensor in graph.initializer:
            scope[tensor.name] = self._add(tensor.name, "weight", _type_text(tensor.data_type, list(tensor.dims)))
        for value in graph.input:
            if value.name not in scope.maps[0]:
                scope[value.name] = self._add(value.name, "input", _declared(value))
        for node in graph.node:
            self._read_node(node, prefix, scope)
        for value in graph.output:
            if value.name in scope:
                number = scope[value.name]
                tensor_read = self.found.tensors[number]
                if not tensor_read.role:
                    told = tensor_read.type or _declared(value)
                    self.found.tensors[number] = Tensor(tensor_read.name, told, "output")

    def _read_node(self, node: onnx.NodeProto, prefix: str, scope: _Scope) -> None:
        if node.op_type == "Constant" and is_onnx(node.domain):
            scope.update((name, self._add(name, "weight")) for name in node.output)
            self.found.num_constants += 1
            return
        if len(self.found.nodes) == MAX_NODES:
            self.found.num_left_out += sum(1 for _ in walk_all([node]))
            return
        address = address_of(node, prefix)
        read = [self._resolve(name, scope) for name in node.input if name][:_MAX_TENSORS]
        written = [(name, self._add(name)) for name in node.output if name]
        scope.update(written)
        num_more = max(len(node.input) - _MAX_TENSORS, 0) + max(len(written) - _MAX_TENSORS, 0)
        op = node.op_type if is_onnx(node.domain) else f"{node.domain}::{node.op_type}"
        key = f"{prefix}{written[0][0]}" if written else address
        outputs = [number for _, number in written[:_MAX_TENSORS]]
        self.found.nodes.append(ReadNode(address, op, key, read, outputs, num_more, _attributes_text(node)))
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                self.read(attribute.g, f"{address}/{attribute.name}/", scope)

    def _resolve(self, name: str, scope: _Scope) -> int:
        if name not in scope:
            scope[name] = self._add(name)
        return scope[name]

    def _add(self, name: str, role: Role = "", told: str = "") -> int:
        self.found.tensors.append(Tensor(name, self._types.get(name) or told, role))
        return len(self.found.tensors) - 1


def _declared(value: onnx.ValueInfoProto) -> str:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        return ""
    dims = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in kind.shape.dim]
    return _type_text(kind.elem_type, dims)


def _type_text(dtype: int | None, dims: Sequence[Dim] | None) -> str:
    """Return a type and a shape as the page writes them."""
    known = dims and [None if is_made_up(dim) else dim for dim in dims]
    shape = "" if known is None else format_dims(known, "×")
    return " ".join(filter(None, (describe_dtype(dtype) if dtype else "", shape)))


def _attributes_text(node: onnx.NodeProto) -> str:
    """Return the attributes of a node; of a custom op, which has all of them, those that ask for something."""
    op = CUSTOM_OPS.get(node.op_type) if node.domain == DOMAIN else None
    defaults = {} if op is None else {name: row.default for name, row in op.attributes.items()}
    told = []
    for attribute in node.attribute:
        value = "" if attribute.name in _FOR_TENSORRT else _value_text(attribute)
        if value and not (attribute.name in defaults and _is_default(attribute, defaults[attribute.name])):
            told.append(f"{attribute.name} {value}")
    return ", ".join(told)


def _is_default(attribute: onnx.AttributeProto, default: Any) -> bool:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, list):
        return not any(value) or value == default
    return bool((value.decode(errors="replace") if isinstance(value, bytes) else value) == default)


def _value_text(attribute: onnx.AttributeProto) -> str:
    kinds = onnx.AttributeProto
    if attribute.type == kinds.FLOAT:
        return f"{attribute.f:g}"
    if attribute.type == kinds.INT:
        return str(attribute.i)
    if attribute.type == kinds.STRING:
        return attribute.s[:80].decode(errors="replace")
    if attribute.type == kinds.TENSOR:
        dtype = element_types.name_of(attribute.t.data_type)
        return f"{dtype} tensor of {'×'.join(map(str, attribute.t.dims)) or 1}"
    values = attribute.ints if attribute.type == kinds.INTS else attribute.floats
    more = [f"{len(values) - _MAX_VALUES} more"] if len(values) > _MAX_VALUES else []
    shown = ",".join([*(f"{value:g}" for value in values[:_MAX_VALUES]), *more])
    return f"[{shown}]" if shown else ""
