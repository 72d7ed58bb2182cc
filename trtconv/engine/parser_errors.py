"""Say in words what TensorRT's ONNX parser objects to: each problem once, with the op and the nodes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx

from trtconv import element_types
from trtconv.engine.tensorrt_words import split_name, words_of
from trtconv.errors import ModelError
from trtconv.model.addresses import address_of
from trtconv.model.walking import walk_addresses, walk_graphs, walk_nodes

_MAX_NAMED_NODES = 3
# The parser looks for a plugin as its last resort, and some of its checks of an op are the bare assertion "false".
_UNKNOWN_OP = re.compile(r"plugin not found|^false$", re.IGNORECASE)
_INITIALIZER = re.compile(r".*Failed to import initializer: (?P<name>.*)$", re.DOTALL)
_NOT_GIVEN = "Node input was not registered"
_TYPE_HINT = "cast it to a type that TensorRT has, before the export: float32, float16, bfloat16, int32, int64 or bool"
_OP_HINT = "replace the op before the export, or express the nodes with other ops"
_MODEL_HINT = "correct the model before the export; trtconv inspect shows its nodes"


def parse_error(parser: Any, title: str, proto: onnx.ModelProto, model_path: Path, last_error: str) -> ModelError:
    """Return the error that describes why `parser` refused `proto`; `title` is the backend's name and version."""
    nodes = nodes_by_problem(parser, title, proto)
    by_nodes: dict[tuple[str, ...], list[str]] = {}
    for problem, names in nodes.items():
        by_nodes.setdefault(tuple(names) or (problem,), []).append(problem)
    what = "; ".join(
        f"{'; '.join(problems)} {_node_list(nodes[problems[0]])}".strip() for problems in by_nodes.values()
    )
    return ModelError(what or words_of(last_error), where=str(model_path), hint=_hint(nodes, title) if nodes else None)


def _hint(problems: Iterable[str], title: str) -> str:
    if all(problem.endswith(f"which {title} lacks") for problem in problems):
        return _TYPE_HINT
    return _OP_HINT if any("support" in problem for problem in problems) else _MODEL_HINT


def nodes_by_problem(parser: Any, title: str, proto: onnx.ModelProto) -> dict[str, list[str]]:
    """Return each problem that `parser` has with `proto`, with the addresses of the nodes that have it."""
    nodes: dict[str, list[str]] = {}
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        op, text = error.node_operator(), words_of(error.desc())
        if problem := _problem_of_type(error, title, proto) or _problem_of_outputs(error, proto):
            nodes.setdefault(problem, [])
            continue
        address = _address(error, proto)
        node = _node_of(error, proto)
        if node is not None:
            _, text = split_name(text, [node.name or f"node_of_{next(iter(node.output), '')}"])
            text = _not_given(node, proto) if text.startswith(_NOT_GIVEN) else text
        if op and _UNKNOWN_OP.search(text):
            problem, named = f"{title} does not support the op {op}", address
        elif op:
            problem, named = text, address if address.startswith(f"{op}(") else f"{address} ({op})"
        else:
            nodes.setdefault(_with_importer(text, error), [])
            continue
        named_so_far = nodes.setdefault(problem, [])
        if named not in named_so_far:
            named_so_far.append(named)
    return nodes


def _problem_of_type(error: Any, title: str, proto: onnx.ModelProto) -> str | None:
    """Return what is wrong where TensorRT lacks an element type: of the tensor it tells the name at most."""
    text, op = error.desc(), error.node_operator()
    lacks = f"which {title} lacks"
    if match := _INITIALIZER.match(text):
        name = match["name"].strip()
        dtype = _initializer_type(name, proto)
        return dtype and f"initializer {name} is of type {dtype}, {lacks}"
    if str(error.func()) == "importInput" and "convertDtype" in text:
        values = (value for graph in walk_graphs(proto.graph) for value in graph.input)
        name = str(error.file())
        dtype = next((_name_of(value.type.tensor_type.elem_type) for value in values if value.name == name), None)
        return dtype and f"input {name} is of type {dtype}, {lacks}"
    if op not in ("Constant", "Cast"):
        return None
    node, address = _node_of(error, proto), _address(error, proto)
    if node is None:
        return None
    if op == "Constant" and text.strip().startswith("Invalid Node"):
        dtype = next((_name_of(each.t.data_type) for each in node.attribute if each.HasField("t")), "string")
        return f"constant {address} is of type {dtype}, {lacks}"
    if op == "Cast" and "Unsupported data type for the Cast" in text:
        dtype = next((_name_of(each.i) for each in node.attribute if each.name == "to"), "?")
        return f"node {address} casts to type {dtype}, {lacks}"
    return None


def _problem_of_outputs(error: Any, proto: onnx.ModelProto) -> str | None:
    """Return which outputs no node gives; the parser tells no more than the test that failed."""
    missing = _outputs_not_given(proto) if "access weights or a null tensor" in error.desc() else None
    return f"no node in the model produces the output {', '.join(missing)}" if missing else None


def _address(error: Any, proto: onnx.ModelProto) -> str:
    """Return a node's name, else `Op(first output)` or its number, behind the path of the branches it stands in."""
    path = [_path_part(entry) for entry in error.local_function_stack()]
    name = error.node_name()
    if not name:
        node = _node_of(error, proto)
        if node is not None and not path:
            return next((address for address, each in walk_addresses(proto.graph) if each is node), address_of(node))
        name = address_of(node) if node is not None else f"an unnamed {error.node_operator() or 'node'}"
    return "/".join([*path, name])


def _node_of(error: Any, proto: onnx.ModelProto) -> onnx.NodeProto | None:
    """Return the node that an error is about.

    The parser counts the nodes of a branch from 0 too, and does not always say that it is in one: a node counts only
    where its op and its name are the error's.
    """
    op, name, index = error.node_operator(), error.node_name(), error.node()
    found = [node for node in _nodes_at(proto, index, name) if node.op_type == op and node.name == name]
    return found[0] if len(found) == 1 else None


def _nodes_at(proto: onnx.ModelProto, index: int, name: str) -> Iterator[onnx.NodeProto]:
    for graph in walk_graphs(proto.graph):
        if name:
            yield from graph.node
        elif 0 <= index < len(graph.node):
            yield graph.node[index]


def _path_part(entry: str) -> str:
    """The parser writes `node (Op)` for a node with branches, and `graph (then_branch)` for a branch."""
    match = re.fullmatch(r"(.*) \((\w+_branch|body)\)", entry)
    return match[2] if match else entry.rpartition(" (")[0] or entry


def _with_importer(text: str, error: Any) -> str:
    """Name the place of a problem that the parser gives no node: the input, else the op of its importer function."""
    function = str(error.func())
    op = function.removeprefix("import")
    if op == "Input":
        return f"{text} (in the input {error.file()})"
    return f"{text} (in {op})" if op not in (function, "Model") else text


def _not_given(node: onnx.NodeProto, proto: onnx.ModelProto) -> str:
    """Say which input of a node nothing gives; the parser says only that there is one."""
    sparse = {each.values.name for graph in walk_graphs(proto.graph) for each in graph.sparse_initializer}
    given = {value.name for graph in walk_graphs(proto.graph) for value in (*graph.input, *graph.initializer)}
    given |= {name for each in walk_nodes(proto.graph) for name in each.output}
    missing = [name for name in node.input if name and name not in given]
    if any(name in sparse for name in missing):
        return f"its input {missing[0]} is a sparse initializer, which TensorRT does not support"
    return f"no node in the model produces its input {missing[0]}" if missing else "one of its inputs is not known"


def _outputs_not_given(proto: onnx.ModelProto) -> list[str]:
    graph = proto.graph
    given = {value.name for value in (*graph.input, *graph.initializer)} | {
        name for node in graph.node for name in node.output
    }
    return [value.name for value in graph.output if value.name not in given]


def _initializer_type(name: str, proto: onnx.ModelProto) -> str | None:
    tensors = (tensor for graph in walk_graphs(proto.graph) for tensor in graph.initializer)
    return next((_name_of(tensor.data_type) for tensor in tensors if tensor.name == name), None)


def _name_of(dtype: int) -> str:
    return element_types.name_of(dtype)


def _node_list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED_NODES} more" if len(names) > _MAX_NAMED_NODES else ""
    plural = "s" if len(names) > 1 else ""
    return f"[node{plural} {', '.join(names[:_MAX_NAMED_NODES])}{more}]" if names else ""
