"""The table of the custom ops: everything that trtconv knows about an op, in one row an op."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from trtconv.ops.custom_op import CustomOp
from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.ops.reflect_pad import REFLECT_PAD

CUSTOM_OPS: Mapping[str, CustomOp] = {op.name: op for op in (INSTANCE_NORM, REFLECT_PAD)}


def describe_replaced(conjunction: str = "and") -> str:
    """Return the ONNX operators that the custom ops stand for, as a sentence lists them."""
    return f" {conjunction} ".join(op.replaces_long for op in CUSTOM_OPS.values())


def problem_of(node: onnx.NodeProto) -> str | None:
    """Return why TensorRT could not make a plugin of a node of this domain as it is meant, None where it can.

    Whoever edits a rewritten model may misspell an attribute, which TensorRT's parser would drop without a word.
    """
    op = CUSTOM_OPS.get(node.op_type)
    if op is None:
        return f"there is no plugin {node.op_type}, only {', '.join(CUSTOM_OPS)}"
    return op.problem_of_node(node)
