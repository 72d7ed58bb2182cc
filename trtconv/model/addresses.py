"""How people name a node, and how a pattern names many."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import onnx
import onnx_graphsurgeon as gs


def address_of(node: onnx.NodeProto | gs.Node, prefix: str = "") -> str:
    """Return a node's name, else `Op(first output)`, after the path of the branches that it stands in."""
    if node.name:
        return f"{prefix}{node.name}"
    if isinstance(node, onnx.NodeProto):
        op, outputs = node.op_type, iter(node.output)
    else:
        op, outputs = node.op, (tensor.name for tensor in node.outputs)
    return f"{prefix}{op}({next(filter(None, outputs), '')})"


def is_meant(address: str, pattern: str) -> bool:
    """Say whether a glob means this address; an address with brackets in it means itself too."""
    return address == pattern or fnmatchcase(address, pattern)


def list_addresses(addresses: Iterable[str], limit: int = 8) -> str:
    """Return the first addresses for a hint; `...` stands for more."""
    listed = list(addresses)
    return ", ".join([*listed[:limit], "..."] if len(listed) > limit else listed)
