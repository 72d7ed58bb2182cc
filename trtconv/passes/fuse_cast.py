"""Fuse  Cast(Y, to)  ->  to of the op before it, among the types that plugins compute in."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from trtconv import element_types
from trtconv.ops.output_map import FLOATS
from trtconv.passes.base import NoMatch, PassContext
from trtconv.passes.fusion import Fusion, Rule, is_op
from trtconv.passes.graph_edit import dtype_of


def _match(y: gs.Tensor, node: gs.Node, context: PassContext) -> Fusion | NoMatch:
    number, dtype = node.attrs.get("to", 0), dtype_of(y)
    if number not in FLOATS:
        return NoMatch(f"the plugin writes no {element_types.name_of(number)}")
    if dtype not in FLOATS:
        return NoMatch(f"its input is {'of unknown type' if dtype is None else element_types.name_of(dtype)}")
    return Fusion([node], f"as {element_types.name_of(number)}", {"to": number})


CAST_RULE = Rule(4, lambda node: is_op(node, "Cast"), _match)
