"""Refuse what no ONNX model can hold, with its place, before anything works on it.

What is only unusual, or against a rule that a runtime may overlook, is not refused: onnx.checker warns of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn

import onnx

from trtconv.errors import ModelError
from trtconv.model.addresses import address_of
from trtconv.model.loop_check import require_no_loop
from trtconv.model.op_schemas import inputs_needed, least_inputs
from trtconv.model.tensor_data import problem_of_tensor
from trtconv.model.walking import is_onnx, walk_addresses

MAX_RANK = 32  # numpy 1 has no more, TensorRT 8
_MAX_VERSION = (1 << 31) - 1  # onnx and TensorRT keep versions in 32 bits
_ELEMENT_TYPES = frozenset(onnx.TensorProto.DataType.values())
_HINT = "the file is damaged, or was not written by an exporter: export the model again"
_Kind = onnx.AttributeProto
_BRANCHES = {"If": ("then_branch", "else_branch"), "Loop": ("body",), "Scan": ("body",)}
# The field that an attribute of a kind must have, for what has no value by default.
_FIELDS = {_Kind.TENSOR: "t", _Kind.GRAPH: "g", _Kind.SPARSE_TENSOR: "sparse_tensor", _Kind.TYPE_PROTO: "tp"}


def require_well_formed(proto: onnx.ModelProto, path: Path) -> None:
    """Raise ModelError for a model whose graph cannot be one.

    That is: names that are missing or not UTF-8 text, versions and element types that do not exist, attributes of no
    kind, nodes that give nothing or what another gives, tensors whose data do not fit their type and dimensions, more
    than 32 dimensions, nodes in a circle.
    """
    checks = _Checks(path)
    checks.opsets(proto.opset_import, "the model")
    checks.graph(proto.graph, "")
    for function in proto.functions:
        checks.function(function)
    require_no_loop(proto.graph, path)


def require_inputs(graph: onnx.GraphProto, opset: int, path: Path) -> None:
    """Raise ModelError for a node of ONNX, in branches too, that has fewer inputs than its op needs in an opset.

    Passes leave such a node as it is; whoever asks what it computes needs its inputs.
    """
    for address, node in walk_addresses(graph):
        if is_onnx(node.domain):
            require_enough(address, node.op_type, len(node.input), opset, str(path))


def require_enough(address: str, op_type: str, given: int, opset: int, where: str | None = None) -> None:
    """Raise ModelError where a node of ONNX has fewer inputs than its op needs in an opset."""
    least = inputs_needed(op_type, opset)
    if given < least:
        what = f"node {address}: {op_type} has {given} inputs, at least {least} needed"
        raise ModelError(what, where=where, hint=_HINT)


class _Checks:
    def __init__(self, path: Path) -> None:
        self._path = path

    def opsets(self, entries: Iterable[onnx.OperatorSetIdProto], owner: str) -> None:
        for entry in entries:
            self._texts(f"an opset of {owner}", [entry.domain])
            if not 1 <= entry.version <= _MAX_VERSION and (is_onnx(entry.domain) or entry.version > _MAX_VERSION):
                self._fail(f"{owner} names opset {entry.version} of {entry.domain or 'ai.onnx'}, which does not exist")

    def function(self, function: onnx.FunctionProto) -> None:
        title = f"function {_shown(function.domain)}::{_shown(function.name)}"
        self._texts(title, [function.domain, function.name, function.overload])
        self._texts(title, [*function.input, *function.output, *function.attribute])
        self.opsets(function.opset_import, title)
        for attribute in function.attribute_proto:
            self._attribute(attribute, title)
        for node in function.node:
            self._node(node, f"{title}/")
        self._single_writers(function.node, dict.fromkeys(function.input, "an input"), f"{title}/")

    def graph(self, graph: onnx.GraphProto, prefix: str) -> None:
        for title, values in (
            ("an input", graph.input),
            ("an output", graph.output),
            ("an initializer", graph.initializer),
        ):
            if not all(value.name for value in values):
                self._fail(f"{title} of the graph {prefix}{_shown(graph.name)} has no name")
        for value in (*graph.input, *graph.output, *graph.value_info):
            self._value(value, prefix)
        for tensor in graph.initializer:
            self._tensor(tensor, f"{prefix}initializer {_shown(tensor.name)}")
        for sparse in graph.sparse_initializer:
            self._sparse(sparse, f"{prefix}sparse initializer {_shown(sparse.values.name)}")
        for node in graph.node:
            self._node(node, prefix)
        names = [value.name for value in graph.input]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            self._fail(f"two inputs of the graph {prefix}{_shown(graph.name)} are called {_shown(twice)}")
        given = dict.fromkeys(names, "an input")
        given |= dict.fromkeys((tensor.name for tensor in graph.initializer), "an initializer")
        self._single_writers(graph.node, given, prefix)

    def _single_writers(self, nodes: Iterable[onnx.NodeProto], given: Mapping[str, str], prefix: str) -> None:
        """Refuse a tensor that two nodes write, or a node and the graph: what reads it cannot tell them apart."""
        givers: dict[str, str | onnx.NodeProto] = {**given}
        for node in nodes:
            for name in filter(None, node.output):
                if name in givers:
                    giver = givers[name]
                    shown = giver if isinstance(giver, str) else f"node {prefix}{address_of(giver)}"
                    self._fail(f"node {prefix}{address_of(node)} writes the tensor {name}, which {shown} gives already")
                givers[name] = node

    def _node(self, node: onnx.NodeProto, prefix: str) -> None:
        texts = (node.name, node.op_type, node.domain, node.overload, *node.input, *node.output)
        if not all(isinstance(text, str) for text in texts):
            self._texts(f"node {prefix}{_shown(node.name)}", texts)
        if not node.op_type:
            self._fail(f"node {prefix}{address_of(node)} has no op")
        if not any(node.output):
            self._fail(f"node {prefix}{address_of(node)}: {node.op_type} has no outputs")
        if is_onnx(node.domain):
            self._onnx_node(node, f"node {prefix}{address_of(node)}: {node.op_type}")
        for attribute in node.attribute:
            self._attribute(attribute, f"{prefix}{address_of(node)}")

    def _onnx_node(self, node: onnx.NodeProto, title: str) -> None:
        """Refuse what no opset allows of an op of ONNX: TensorRT's parser crashes on it."""
        if not node.input and (least := least_inputs(node.op_type)):  # one with too few may stay as it is
            self._fail(f"{title} has no inputs, at least {least} needed")
        given = {attribute.name: attribute for attribute in node.attribute}
        for name in _BRANCHES.get(node.op_type, ()):
            if name not in given or not (given[name].HasField("g") or given[name].ref_attr_name):
                self._fail(f"{title} has no {name}")
        if node.op_type == "Scan":
            number = given["num_scan_inputs"].i if "num_scan_inputs" in given else 0
            if not 1 <= number <= len(node.input):
                self._fail(f"{title} has num_scan_inputs {number} and {len(node.input)} inputs")

    def _attribute(self, attribute: onnx.AttributeProto, owner: str) -> None:
        if not isinstance(attribute.name, str) or not isinstance(attribute.ref_attr_name, str):
            self._texts(f"an attribute of {owner}", [attribute.name, attribute.ref_attr_name])
        title = f"attribute {attribute.name} of {owner}"
        if attribute.type == _Kind.UNDEFINED:
            self._fail(f"{title} is of a kind that ONNX does not know")
        field = _FIELDS.get(attribute.type)
        if field is not None and not attribute.ref_attr_name and not attribute.HasField(field):
            self._fail(f"{title} should hold a {_Kind.AttributeType.Name(attribute.type).lower()} and is empty")
        if attribute.HasField("t"):
            self._tensor(attribute.t, title)
        for tensor in attribute.tensors:
            self._tensor(tensor, title)
        if attribute.HasField("sparse_tensor"):
            self._sparse(attribute.sparse_tensor, title)
        for sparse in attribute.sparse_tensors:
            self._sparse(sparse, title)
        for graph in ((attribute.g,) if attribute.HasField("g") else ()) + tuple(attribute.graphs):
            self.graph(graph, f"{owner}/{attribute.name}/")

    def _value(self, value: onnx.ValueInfoProto, prefix: str) -> None:
        title = f"{prefix}tensor {_shown(value.name)}"
        kind = value.type.tensor_type
        dims = kind.shape.dim
        if not isinstance(value.name, str) or not all(isinstance(dim.dim_param, str) for dim in dims):
            self._texts(title, [value.name, *(dim.dim_param for dim in dims)])
        if kind.elem_type not in _ELEMENT_TYPES:
            self._fail(f"{title} is of element type {kind.elem_type}, which ONNX does not have")
        self._rank(len(dims), title)

    def _sparse(self, sparse: onnx.SparseTensorProto, title: str) -> None:
        self._rank(len(sparse.dims), title)
        for tensor in (sparse.values, sparse.indices):
            self._tensor(tensor, title)

    def _tensor(self, tensor: onnx.TensorProto, title: str) -> None:
        self._texts(title, [tensor.name])
        self._rank(len(tensor.dims), title)
        problem = problem_of_tensor(tensor)
        if problem is not None:
            self._fail(f"{title} {problem}")

    def _rank(self, rank: int, title: str) -> None:
        if rank > MAX_RANK:
            self._fail(f"{title} has {rank} dimensions, more than {MAX_RANK}, which is the most")

    def _texts(self, title: str, texts: Iterable[object]) -> None:
        """Refuse a name that is not UTF-8, which protobuf hands out as bytes."""
        if not all(isinstance(text, str) for text in texts):
            self._fail(f"{title}: a name is not UTF-8 text: the file is damaged")

    def _fail(self, what: str) -> NoReturn:
        raise ModelError(what, where=str(self._path), hint=_HINT)


def _shown(name: object) -> str:
    return name if isinstance(name, str) else repr(name)
