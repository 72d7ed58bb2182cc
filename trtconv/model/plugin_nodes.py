"""Check the custom ops of a model that is read: somebody may have edited it since its rewrite."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, MutableMapping
from pathlib import Path

import onnx

from trtconv.errors import ModelError
from trtconv.model.addresses import address_of
from trtconv.model.walking import branches, is_onnx, walk_nodes
from trtconv.ops import CUSTOM_OPS, problem_of
from trtconv.ops.custom_op import DOMAIN, Call, Dim, Operand, attributes_of

_UNKNOWN = Operand(None, None)


def require_plugin_nodes(graph: onnx.GraphProto, path: Path) -> None:
    """Raise ModelError for a custom op whose inputs' number or attributes are not as its plugin wants them."""
    for node in walk_nodes(graph):
        if node.domain == DOMAIN:
            _require(node, problem_of(node), path)


def require_plugin_operands(
    graph: onnx.GraphProto, path: Path, outer: MutableMapping[str, Operand] | None = None
) -> None:
    """Raise ModelError for a custom op whose inputs do not fit together, as far as `graph` declares types and shapes.

    `outer` holds the tensors that a branch sees.
    """
    known = _known(graph, outer)
    for node in graph.node:
        if node.domain == DOMAIN:
            _require(node, problem_of(node, [known.get(name, _UNKNOWN) for name in node.input]), path)
        for branch in branches(node):
            require_plugin_operands(branch, path, known)


def walk_calls(
    graph: onnx.GraphProto, outer: MutableMapping[str, Operand] | None = None
) -> Iterator[tuple[onnx.NodeProto, Call]]:
    """Yield each node of a custom op, branches included, and what it calls, as far as `graph` declares it.

    A node that no plugin could be made of is left out. `outer` holds the tensors that a branch sees.
    """
    known = _known(graph, outer)
    for node in graph.node:
        if node.domain == DOMAIN and problem_of(node) is None:
            op = CUSTOM_OPS[node.op_type]
            attributes = attributes_of(op, node)
            roles = op.roles(len(node.input), attributes) or ()
            yield node, Call(roles, [known.get(name, _UNKNOWN) for name in node.input], attributes)
        for branch in branches(node):
            yield from walk_calls(branch, known)


def _require(node: onnx.NodeProto, problem: str | None, path: Path) -> None:
    if problem is not None:
        raise ModelError(f"node {address_of(node)}: {problem}", where=str(path))


def _known(graph: onnx.GraphProto, outer: MutableMapping[str, Operand] | None) -> ChainMap[str, Operand]:
    """Return what is known of the tensors that a graph sees; a change of precision declares none of its Casts."""
    known = ChainMap(_declared(graph), *([outer] if outer else []))
    for node in graph.node:
        is_cast = node.op_type == "Cast" and is_onnx(node.domain) and len(node.input) == len(node.output) == 1
        if is_cast and known[node.output[0]] == _UNKNOWN:
            to = next((int(each.i) for each in node.attribute if each.name == "to"), None)
            known[node.output[0]] = Operand(to, known.get(node.input[0], _UNKNOWN).dims)
    return known


def _declared(graph: onnx.GraphProto) -> dict[str, Operand]:
    """Return what a graph itself says of its tensors; one that it makes without saying more hides an outer one."""
    known = {name: _UNKNOWN for node in graph.node for name in node.output}
    values: Iterable[onnx.ValueInfoProto] = (*graph.input, *graph.value_info, *graph.output)
    known |= {value.name: _operand(value) for value in values}
    return known | {each.name: Operand(each.data_type, list(each.dims)) for each in graph.initializer}


def _operand(value: onnx.ValueInfoProto) -> Operand:
    kind = value.type.tensor_type
    dims = [_dim(dim) for dim in kind.shape.dim] if kind.HasField("shape") else None
    return Operand(kind.elem_type or None, dims)


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    return int(dim.dim_value) if dim.HasField("dim_value") and dim.dim_value >= 0 else dim.dim_param or None
