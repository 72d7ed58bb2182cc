"""Let a reference compute InstanceNormalization in float64, in ONNX Runtime as everything else.

ONNX Runtime's own kernel loses digits where the mean is large: 5e-4 of max|y| for mean 1e4 and standard deviation 1,
and a channel that is constant at 262144 becomes anything but the bias. Errors of the plugins are far below that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from trtconv.model import walking
from trtconv.model.onnx_session import open_session
from trtconv.model.shape_inference import with_shapes
from trtconv.ops.custom_op import DOMAIN
from trtconv.ops.instance_norm import DEFAULT_EPSILON, INSTANCE_NORM

_NORM, _NUM_INPUTS = INSTANCE_NORM.form.op_type, len(INSTANCE_NORM.inputs)
_AXES_BECAME_AN_INPUT = 18
_FIRST_OPSET = 7  # before it, Mul and Add do not broadcast


def exact_reference(proto: onnx.ModelProto, path: Path) -> Callable[[], Any]:
    """Return what `comparison.compare` takes for the model `proto` of the file `path`, with exact norms."""
    return partial(open_session, with_exact_norms(proto, path.parent), path.parent)


def with_exact_norms(proto: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Return the model with every InstanceNormalization, in branches too, written out in float64.

    `folder` is the model's, for external data. A node of unknown type stays as it is.
    """
    opset = walking.opset_of(proto)
    nodes = walking.walk_nodes(proto.graph)
    if opset < _FIRST_OPSET or not any(node.op_type == _NORM for node in nodes):
        return proto
    exact = onnx.ModelProto()
    exact.CopyFrom(proto)
    types = dict(_types(with_shapes(proto, folder).graph))
    for graph in reversed(list(walking.walk_graphs(exact.graph))):  # an outer graph's nodes are copied, inner ones too
        _write_out(graph, opset, types)
    return exact


def _types(graph: onnx.GraphProto) -> Iterator[tuple[str, int]]:
    for each in walking.walk_graphs(graph):
        yield from ((tensor.name, tensor.data_type) for tensor in each.initializer)
        for value in (*each.input, *each.value_info, *each.output):
            if value.type.tensor_type.elem_type:
                yield value.name, value.type.tensor_type.elem_type


def _write_out(graph: onnx.GraphProto, opset: int, types: Mapping[str, int]) -> None:
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        known = [types[name] for name in (*node.input, *node.output) if name in types]
        is_norm = node.op_type == _NORM and walking.is_onnx(node.domain) and len(node.input) == _NUM_INPUTS
        nodes += _norm_nodes(node, opset, known[0]) if is_norm and known else [node]
    graph.ClearField("node")
    graph.node.extend(nodes)


def _norm_nodes(node: onnx.NodeProto, opset: int, elem_type: int) -> Iterator[onnx.NodeProto]:
    """Yield the nodes for scale * (x - mean) / sqrt(var + epsilon) + bias on [N, C, all the rest]."""
    x, scale, bias = node.input
    prefix = f"{DOMAIN}_exact_{node.output[0]}_"
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}

    def name(what: str) -> str:
        return prefix + what

    def constant(what: str, values: npt.NDArray[Any]) -> onnx.NodeProto:
        return helper.make_node("Constant", [], [name(what)], value=numpy_helper.from_array(values))

    def mean(of: str, what: str) -> onnx.NodeProto:
        if opset < _AXES_BECAME_AN_INPUT:
            return helper.make_node("ReduceMean", [name(of)], [name(what)], axes=[2], keepdims=1)
        return helper.make_node("ReduceMean", [name(of), name("axes")], [name(what)], keepdims=1)

    def apply(op: str, inputs: list[str], what: str) -> onnx.NodeProto:
        return helper.make_node(op, inputs, [name(what)])

    yield constant("slices", np.array([0, 0, -1], np.int64))
    yield constant("channels", np.array([1, -1, 1], np.int64))
    yield constant("axes", np.array([2], np.int64))
    yield constant("epsilon", np.array(np.float32(attributes.get("epsilon", DEFAULT_EPSILON)), np.float64))
    for what, tensor, shape in (("x", x, "slices"), ("scale", scale, "channels"), ("bias", bias, "channels")):
        yield helper.make_node("Cast", [tensor], [name(f"{what}_wide")], to=TensorProto.DOUBLE)
        yield apply("Reshape", [name(f"{what}_wide"), name(shape)], what)
    yield mean("x", "mean")
    yield apply("Sub", [name("x"), name("mean")], "deviation")
    yield apply("Mul", [name("deviation"), name("deviation")], "squares")
    yield mean("squares", "variance")
    yield apply("Add", [name("variance"), name("epsilon")], "sum")
    yield apply("Sqrt", [name("sum")], "spread")
    yield apply("Div", [name("deviation"), name("spread")], "normalised")
    yield apply("Mul", [name("normalised"), name("scale")], "scaled")
    yield apply("Add", [name("scaled"), name("bias")], "y")
    yield apply("Shape", [x], "shape")
    yield apply("Reshape", [name("y"), name("shape")], "y_wide")
    yield helper.make_node("Cast", [name("y_wide")], [node.output[0]], to=elem_type)
