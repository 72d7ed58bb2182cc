"""Refuse nodes of ONNX with attributes that their op does not have so, or without one that it needs."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import onnx

from trtconv.errors import ModelError
from trtconv.model.op_schemas import attribute_kinds, required_attributes
from trtconv.model.walking import is_onnx, walk_addresses

_Kind = onnx.AttributeProto


def require_attributes(graph: onnx.GraphProto, opset: int, path: Path) -> None:
    """Raise ModelError for a node of ONNX, in branches too, with an attribute of a kind that no opset gives it.

    Also for one without an attribute that its op must have in `opset`. Functions must be inlined: what refers to an
    attribute of a function is refused, too.
    """
    for address, node in walk_addresses(graph):
        if not is_onnx(node.domain):
            continue
        for attribute in node.attribute:
            problem = _problem_of(attribute, node.op_type)
            if problem is not None:
                _fail(f"attribute {attribute.name} of {address} {problem}", path)
        missing = required_attributes(node.op_type, opset).difference(each.name for each in node.attribute)
        if missing:
            _fail(f"node {address}: {node.op_type} needs the attribute {min(missing)}", path)


def _problem_of(attribute: onnx.AttributeProto, op_type: str) -> str | None:
    if attribute.ref_attr_name:
        return f"refers to {attribute.ref_attr_name} of a function, and is in none"
    known = attribute_kinds(op_type).get(attribute.name)
    if known is None or attribute.type in known:
        return None
    names = " or ".join(sorted(map(_name, known)))
    return f"is of kind {_name(attribute.type)}, {op_type} has it as {names}"


def _fail(what: str, path: Path) -> NoReturn:
    raise ModelError(what, where=str(path), hint="export the model again")


def _name(kind: int) -> str:
    return str(_Kind.AttributeType.Name(kind)).lower()
