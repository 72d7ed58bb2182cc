"""Graphs whose pages are tested: a chain with everything that a page colours, and one of any number of nodes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trtconv.decisions import Decision
from trtconv.pages.graphs import put_together
from trtconv.reports.html.page import Page

CHAIN = """g (float[1,3,8,8] x) => (float[1,3,10,10] y) {
    w = Constant<value = float[3,3,1,1] {1,0,0,0,1,0,0,0,1}>()
    scale = Constant<value_floats=[1.0, 2.0, 0.5]>()
    pads = Constant<value_ints=[0, 0, 1, 1, 0, 0, 1, 1]>()
    ["conv"] a = Conv(x, w)
    ["norm"] b = InstanceNormalization(a, scale, scale)
    ["relu"] c = Relu(b)
    ["pad"] d = Pad<mode="reflect">(c, pads)
    ["last"] e = Conv(d, w)
    ["tanh"] y = Tanh(e)
}"""
_OPS = ("Conv", "InstanceNormalization", "Relu", "Pad", "Sigmoid")


def long_graph(num_nodes: int, norm: str = _OPS[1], domain: str = "") -> onnx.GraphProto:
    """A chain of blocks of five nodes, named as exporters name them."""
    nodes, last = [], "x"
    for index in range(num_nodes // len(_OPS)):
        for op in _OPS:
            name = f"/network/stage{index // 20}/block{index % 20}/{op}"
            is_norm = op == _OPS[1]
            op_type, of = (norm, domain) if is_norm else (op, "")
            nodes.append(
                helper.make_node(op_type, [last, "w"], [f"{name}_output_0"], name=name, domain=of, kernel_shape=[3, 3])
            )
            last = f"{name}_output_0"
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 64, 64])
    weights = [numpy_helper.from_array(np.ones(4, dtype=np.float32), "w")]
    return helper.make_graph(
        nodes, "g", [value], [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)], weights
    )


def long_page(num_nodes: int) -> Page:
    """The page of `long_graph`: each norm became a plugin, each pad stays native for a reason of its own."""
    before, after = long_graph(num_nodes), long_graph(num_nodes, "InstanceNorm", "trtconv")
    decisions = []
    for node in before.node:
        if node.op_type == "InstanceNormalization":
            decisions.append(Decision(node.name, node.op_type, "trtconv::InstanceNorm", "rank 4", {"epsilon": 1e-5}))
        elif node.op_type == "Pad":
            decisions.append(Decision(node.name, "Pad(reflect)", None, f"{node.name}_pads is only known at run time"))
    return Page("long", "", facts=[], graphs=put_together(before, after, decisions, {}), decisions=decisions)
