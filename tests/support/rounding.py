"""Run a 16-bit model as TensorRT would: every tensor of the type is rounded to it, and nothing else is.

ONNX Runtime's CPU kernels compute fp16 in fp32, drop Casts in pairs, and have hardly anything in bf16. So the model is
widened to fp32 and a pair of Casts put behind every tensor that was in 16 bits; without optimisation ONNX Runtime runs
all of them, infinities and subnormal numbers included. Sums inside one node are fp32, as in TensorRT's kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper

from trtconv.model.walking import branches, opset_of
from trtconv.precision.float_graph import FloatGraph

Arrays = Mapping[str, npt.NDArray[Any]]

_SPLITTER = "splitter__"  # 2^16 + 1
_FIRST_CAST_TO_BFLOAT16 = 13
LOW_TYPES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_OPTIONS = onnxruntime.SessionOptions()
_OPTIONS.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
_OPTIONS.log_severity_level = 4
_OPTIONS.intra_op_num_threads = 1


def run_rounded(model: onnx.ModelProto, feeds: Arrays) -> dict[str, npt.NDArray[Any]]:
    """Return the outputs of a model, whose 16-bit tensors are rounded, as float32."""
    wide = widened(model)
    wide_names = {value.name for value in wide.graph.input if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return run(wide, {name: v.astype(np.float32) if name in wide_names else v for name, v in feeds.items()})


def run(model: onnx.ModelProto, feeds: Arrays) -> dict[str, npt.NDArray[Any]]:
    """Run a model node by node as it stands."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), _OPTIONS, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    known = {entry.name for entry in session.get_inputs()}
    return dict(zip(names, session.run(names, {name: feeds[name] for name in feeds if name in known}), strict=True))


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model in float32, each tensor that was in 16 bits followed by its rounding, in branches, too."""
    types = FloatGraph(model, Path()).types
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    low = {name: types[name] for name in types if types[name] in LOW_TYPES}
    constants = {tensor.name for tensor in wide.graph.initializer}
    opset = opset_of(model)
    renamed: dict[str, str] = {}
    rounded: list[onnx.NodeProto] = []
    for value in wide.graph.input:
        if value.name in low and value.name not in constants:
            renamed[value.name] = f"{value.name}__rounded"
            rounded += _rounding(value.name, renamed[value.name], low[value.name], opset)
    _widen_graph(wide.graph, low, renamed, rounded, opset)
    wide.graph.initializer.append(helper.make_tensor(_SPLITTER, TensorProto.FLOAT, [], [65537.0]))
    return wide


def _widen_graph(
    graph: onnx.GraphProto,
    low: Mapping[str, int],
    renamed: Mapping[str, str],
    first: Sequence[onnx.NodeProto],
    opset: int,
) -> None:
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type in LOW_TYPES:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    del graph.value_info[:]
    nodes = list(first)
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        _widen_attributes(node)
        for branch in branches(node):
            _widen_graph(branch, low, renamed, (), opset)
        if node.op_type == "LSTM" and node.output[0] in low:
            node.CopyFrom(_lstm_by_steps(node, low[node.output[0]], opset))
        nodes.append(node)
        for slot, name in enumerate(node.output):
            if name in low and node.op_type != "Constant":
                node.output[slot] = f"{name}__exact"
                nodes += _rounding(node.output[slot], name, low[name], opset)
    nodes = [_copy(node) for node in nodes]
    graph.ClearField("node")
    graph.node.extend(nodes)


def _rounding(source: str, target: str, elem_type: int, opset: int) -> list[onnx.NodeProto]:
    low, high = f"{target}__low", f"{target}__high"
    if elem_type == TensorProto.FLOAT16 or opset >= _FIRST_CAST_TO_BFLOAT16:
        return [
            helper.make_node("Cast", [source], [low], to=elem_type),
            helper.make_node("Cast", [low], [target], to=TensorProto.FLOAT),
        ]
    return [  # Veltkamp's splitting, which leaves 8 bits, and turns infinity into NaN
        helper.make_node("Mul", [source, _SPLITTER], [high]),
        helper.make_node("Sub", [high, source], [low]),
        helper.make_node("Sub", [high, low], [target]),
    ]


def _lstm_by_steps(node: onnx.NodeProto, elem_type: int, opset: int) -> onnx.NodeProto:
    """Return a Scan that rounds the state of a one-directional LSTM at every step, as TensorRT's loop does."""
    x, weights, recurrence, bias, _, h, c = node.input
    step = helper.make_node("LSTM", ["x1", weights, recurrence, bias, "", "h", "c"], ["y1", "h_exact", "c_exact"])
    step.attribute.extend(node.attribute)
    axis = helper.make_node("Constant", [], ["axis"], value_ints=[0])
    before = helper.make_node("Unsqueeze", ["x", "axis"], ["x1"])
    behind = helper.make_node("Squeeze", ["y1", "axis"], ["y"])
    rounding = [*_rounding("h_exact", "h_next", elem_type, opset), *_rounding("c_exact", "c_next", elem_type, opset)]
    inputs, outputs = (
        [onnx.ValueInfoProto(name=name) for name in names.split()] for names in ("h c x", "h_next c_next y")
    )
    for value in (*inputs, *outputs):
        value.type.tensor_type.elem_type = TensorProto.FLOAT
    body = helper.make_graph([axis, before, step, behind, *rounding], "step", inputs, outputs)
    y, last_h, last_c = (
        (*node.output, "last_h", "last_c")[:3] if len(node.output) == 3 else (node.output[0], "last_h", "last_c")
    )
    return helper.make_node("Scan", [h, c, x], [last_h, last_c, y], node.name, body=body, num_scan_inputs=1)


def _widen_attributes(node: onnx.NodeProto) -> None:
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i in LOW_TYPES:
            attribute.i = TensorProto.FLOAT
        elif attribute.type == onnx.AttributeProto.TENSOR:
            _widen_tensor(attribute.t)


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type in LOW_TYPES:
        values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy
