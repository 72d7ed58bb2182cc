"""The table of the custom ops: everything that trtconv knows about an op, in one row an op."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from trtconv.ops.custom_op import CustomOp, OnnxForm, Operand
from trtconv.ops.dynamic_reflect_pad import DYNAMIC_REFLECT_PAD
from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.ops.reflect_pad import REFLECT_PAD

CUSTOM_OPS: Mapping[str, CustomOp] = {op.name: op for op in (INSTANCE_NORM, REFLECT_PAD, DYNAMIC_REFLECT_PAD)}


# Several rows may stand for one operator, the first of them for nodes of which nothing more is known.
BY_ONNX_OP: Mapping[str, CustomOp] = {op.form.op_type: op for op in reversed(tuple(CUSTOM_OPS.values()))}


def describe_replaced(conjunction: str = "and") -> str:
    """Return the ONNX operators that the custom ops stand for, as a sentence lists them."""
    return f" {conjunction} ".join(dict.fromkeys(op.replaces_long for op in CUSTOM_OPS.values()))


def list_titles(conjunction: str = "and") -> str:
    """Return the same operators by their titles in reports, which are shorter."""
    return f" {conjunction} ".join(dict.fromkeys(op.replaces for op in CUSTOM_OPS.values()))


def other_form(title: str) -> OnnxForm | None:
    """Return the operator of an ONNX node by its title, where no pass looks at nodes of this title: a constant Pad."""
    op = BY_ONNX_OP.get(title.partition("(")[0])
    is_looked_at = any(title == each.replaces for each in CUSTOM_OPS.values())
    return None if op is None or is_looked_at else op.form


def names_of_kind(kind: str) -> frozenset[str]:
    """Return the custom ops of a kind and the ONNX operators that they stand for."""
    return frozenset(name for op in CUSTOM_OPS.values() if op.kind == kind for name in (op.name, op.form.op_type))


def problem_of(node: onnx.NodeProto, operands: Sequence[Operand] | None = None) -> str | None:
    """Return why TensorRT could not make a plugin of a node of this domain as it is meant, None where it can.

    Whoever edits a rewritten model may misspell an attribute, which TensorRT's parser would drop without a word.
    `operands` are the node's inputs, where they are known.
    """
    op = CUSTOM_OPS.get(node.op_type)
    if op is None:
        return f"there is no plugin {node.op_type}, only {', '.join(CUSTOM_OPS)}"
    return op.problem_of_node(node, operands)
