"""Say in words what TensorRT's ONNX parser objects to: each problem once, with the op and the nodes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from trtconv.errors import ModelError

_MAX_NAMED_NODES = 3
# How deep in TensorRT's own words the cause stands; the lines behind it are consequences.
_MAX_LINES = 2
# The parser looks for a plugin as its last resort, and some of its checks of an op are the bare assertion "false".
_UNKNOWN_OP = re.compile(r"plugin not found|^false$", re.IGNORECASE)


def parse_error(parser: Any, title: str, proto: onnx.ModelProto, model_path: Path, last_error: str) -> ModelError:
    """Return the error that describes why `parser` refused `proto`; `title` is the backend's name and version."""
    nodes = nodes_by_problem(parser, title, proto)
    what = "; ".join(f"{problem} {_node_list(names)}".strip() for problem, names in nodes.items())
    hint = "replace the op before the export, or give the nodes another form" if nodes else None
    return ModelError(what or last_error, where=str(model_path), hint=hint)


def nodes_by_problem(parser: Any, title: str, proto: onnx.ModelProto) -> dict[str, list[str]]:
    """Return each problem that `parser` has with `proto`, with the addresses of the nodes that have it."""
    nodes: dict[str, list[str]] = {}
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        op, text = error.node_operator(), _shorten(error.desc())
        if op and _UNKNOWN_OP.search(text):
            nodes.setdefault(f"{title} does not support the op {op}", []).append(_address(error, proto))
        elif op:
            nodes.setdefault(text, []).append(f"{_address(error, proto)} ({op})")
        else:
            nodes.setdefault(f"{text} (in {_importer(error)})", [])
    return nodes


def without_consequences(messages: Sequence[str]) -> list[str]:
    """Drop TensorRT's repetitions of a missing CUDA device, which every error on a machine without a GPU brings."""
    causes = [message for message in messages if "catchCudaError" not in message]
    return causes or list(messages)


def _shorten(text: str) -> str:
    lines = without_consequences([line for line in map(str.strip, text.splitlines()) if line])
    return " ".join(" ".join(lines[:_MAX_LINES]).split())


def _address(error: Any, proto: onnx.ModelProto) -> str:
    """Return a node's name, else `Op(first output)` or its number, behind the path of the branches it stands in."""
    path = [_path_part(entry) for entry in error.local_function_stack()]
    name, index = error.node_name(), error.node()
    if not name and not path and 0 <= index < len(proto.graph.node):
        node = proto.graph.node[index]
        name = f"{node.op_type}({next(iter(node.output), '')})"
    return "/".join([*path, name or f"#{index}"])


def _path_part(entry: str) -> str:
    """The parser writes `node (Op)` for a node with branches, and `graph (then_branch)` for a branch."""
    match = re.fullmatch(r"(.*) \((\w+_branch|body)\)", entry)
    return match[2] if match else entry.rpartition(" (")[0] or entry


def _importer(error: Any) -> str:
    """Name the place of a problem that the parser gives no node: the input, else the op of its importer function."""
    function = str(error.func()).removeprefix("import")
    return f"the input {error.file()}" if function == "Input" else function


def _node_list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED_NODES} more" if len(names) > _MAX_NAMED_NODES else ""
    plural = "s" if len(names) > 1 else ""
    return f"[node{plural} {', '.join(names[:_MAX_NAMED_NODES])}{more}]" if names else ""
