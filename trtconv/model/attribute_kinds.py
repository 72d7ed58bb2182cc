"""Refuse attributes of ONNX's ops that are of another kind than the op has, so that all others can rely on it."""

from __future__ import annotations

from pathlib import Path

import onnx

from trtconv.errors import ModelError
from trtconv.model.op_schemas import attribute_kinds
from trtconv.model.walking import is_onnx, walk_addresses

_Kind = onnx.AttributeProto


def require_attribute_kinds(graph: onnx.GraphProto, path: Path) -> None:
    """Raise ModelError for an attribute of a node of ONNX, in branches too, whose kind no opset gives it.

    Functions must be inlined: what refers to an attribute of a function is refused, too.
    """
    for address, node in walk_addresses(graph):
        if not is_onnx(node.domain):
            continue
        kinds = attribute_kinds(node.op_type)
        for attribute in node.attribute:
            known = kinds.get(attribute.name)
            problem = None
            if attribute.ref_attr_name:
                problem = f"refers to {attribute.ref_attr_name} of a function, and is in none"
            elif known is not None and attribute.type not in known:
                names = " or ".join(sorted(map(_name, known)))
                problem = f"is of kind {_name(attribute.type)}, {node.op_type} has it as {names}"
            if problem is not None:
                what = f"attribute {attribute.name} of {address} {problem}"
                raise ModelError(what, where=str(path), hint="export the model again")


def _name(kind: int) -> str:
    return str(_Kind.AttributeType.Name(kind)).lower()
