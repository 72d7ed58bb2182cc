"""Small networks in the forms in which exporters write norms and pads, with seeded random weights.

Each has what makes the form hard: pads that PyTorch computes with nodes, from constants or from the sizes of a tensor;
norms that are written out, or for which another operator stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
Shape = Sequence[int | str]


class _Graph:
    """Collects the nodes and weights of one network, named as PyTorch names them."""

    def __init__(self, opset: int) -> None:
        self._opset = opset
        self._random = np.random.default_rng(0)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, num_outputs: int = 1, **attributes: Any) -> str:
        """Add a node and return its first output."""
        name = f"/{op}_{len(self._nodes)}"
        outputs = [f"{name}_output_{index}" for index in range(num_outputs)]
        self._nodes.append(helper.make_node(op, inputs, outputs, name, **attributes))
        return outputs[0]

    def constant(self, values: Any, dtype: npt.DTypeLike = np.int64) -> str:
        """Add a Constant node."""
        return self.add("Constant", value=numpy_helper.from_array(np.array(values, dtype)))

    def weight(self, *shape: int, mean: float = 0.0, std: float = 0.3) -> str:
        """Add a random weight."""
        name = f"weight_{len(self._weights)}"
        values = self._random.normal(mean, std, shape).astype(np.float32)
        self._weights.append(numpy_helper.from_array(values, name))
        return name

    def conv(self, x: str, inputs: int, outputs: int, kernel: int, rank: int, stride: int = 1) -> str:
        """Add a convolution without padding."""
        weight = self.weight(outputs, inputs, *[kernel] * rank)
        return self.add("Conv", x, weight, self.weight(outputs), strides=[stride] * rank)

    def size_of(self, x: str, axis: int) -> str:
        """Add what reads one size of a tensor, a scalar."""
        return self.add("Gather", self.add("Shape", x), self.constant(axis), axis=0)

    def vector(self, scalar: str) -> str:
        """Make a vector of a scalar."""
        return self.add("Unsqueeze", scalar, self.constant([0]))

    def reflect_pad(self, x: str, torch_pads: str, rank: int) -> str:
        """Add a Pad with the nodes that turn PyTorch's pads, the last axis first, into those of ONNX."""
        given = self.add("Gather", self.add("Shape", torch_pads), self.constant(0), axis=0)
        missing = self.vector(self.add("Sub", self.constant(2 * rank), given))
        zeros = self.add("ConstantOfShape", missing, value=helper.make_tensor("zero", INT64, [1], [0]))
        joined = self.add("Concat", torch_pads, zeros, axis=0)
        pairs = self.add("Reshape", joined, self.constant([-1, 2]))
        last, before_first, axis = self.constant([-1]), self.constant([-(2**63) + 1]), self.constant([0])
        turned = self.add("Slice", pairs, last, before_first, axis, self.constant([-1]))
        flat = self.add("Reshape", self.add("Transpose", turned, perm=[1, 0]), self.constant([-1]))
        return self.add("Pad", x, self.add("Cast", flat, to=INT64), mode="reflect")

    def mean(self, x: str, axes: Sequence[int], keepdims: int = 1) -> str:
        """Add a mean; from opset 18 on its axes are an input."""
        if self._opset < 18:
            return self.add("ReduceMean", x, axes=list(axes), keepdims=keepdims)
        return self.add("ReduceMean", x, self.constant(list(axes)), keepdims=keepdims)

    def finish(self, title: str, input_shape: Shape, output: str, output_shape: Shape) -> onnx.ModelProto:
        """Return the checked model with the input x and the output y."""
        self._nodes.append(helper.make_node("Identity", [output], ["y"], "/output"))
        graph = helper.make_graph(
            self._nodes,
            title,
            [helper.make_tensor_value_info("x", FLOAT, input_shape)],
            [helper.make_tensor_value_info("y", FLOAT, output_shape)],
            self._weights,
        )
        imports = [helper.make_opsetid("", self._opset)]
        ir_version = helper.find_min_ir_version_for(imports)
        model = helper.make_model(graph, opset_imports=imports, ir_version=ir_version, producer_name="trtconv.models")
        onnx.checker.check_model(model, full_check=True)
        return model


def pad_behind_pad(opset: int = 17) -> onnx.ModelProto:
    """Return a static audio encoder whose every pad is computed from the size behind the pad before, as EnCodec's are.

    Four reflect Pads; that of 0 or 1 element on the right makes each length a multiple of the stride.
    """
    graph = _Graph(opset)
    x, channels = "x", 1
    for stride in (2, 4, 2, 1):
        kernel = 2 * stride + 1
        rest = graph.add("Mod", graph.add("Neg", graph.size_of(x, 2)), graph.constant(stride), fmod=0)
        right = graph.add("Add", rest, graph.constant(stride))
        pads = graph.add("Concat", graph.constant([stride]), graph.vector(right), axis=0)
        padded = graph.reflect_pad(x, pads, rank=3)
        x, channels = graph.add("Elu", graph.conv(padded, channels, 4, kernel, rank=1, stride=stride)), 4
    return graph.finish("pad_behind_pad", [1, 1, 100], x, [1, 4, "frames"])


def pad_to_multiple(opset: int = 17, multiple: int = 8) -> onnx.ModelProto:
    """Return a network of dynamic size that pads its image to a multiple of a window, as SwinIR does."""
    graph = _Graph(opset)
    window, sides = graph.constant(multiple), []
    for axis in (3, 2):
        rest = graph.add("Mod", graph.size_of("x", axis), window, fmod=0)
        sides.append(graph.vector(graph.add("Mod", graph.add("Sub", window, rest), window, fmod=0)))
    zero = graph.constant([0])
    pads = graph.add("Concat", zero, sides[0], zero, sides[1], axis=0)
    y = graph.conv(graph.reflect_pad("x", pads, rank=4), 3, 3, kernel=1, rank=2)
    return graph.finish("pad_to_multiple", ["N", 3, "H", "W"], y, ["N", 3, "padded_H", "padded_W"])


def written_out_adain(opset: int = 17) -> onnx.ModelProto:
    """Return an AdaIN whose norm is written out: means, differences, squares, a root."""
    graph = _Graph(opset)
    x = graph.conv("x", 3, 8, kernel=3, rank=2)
    style = graph.mean(x, [2, 3])
    centred = graph.add("Sub", x, graph.mean(x, [2, 3]))
    variance = graph.mean(graph.add("Mul", centred, centred), [2, 3])
    root = graph.add("Sqrt", graph.add("Add", variance, graph.constant(1e-5, np.float32)))
    scaled = graph.add("Mul", graph.add("Div", centred, root), graph.conv(style, 8, 8, kernel=1, rank=2))
    return graph.finish("written_out_adain", [1, 3, 18, 20], graph.add("Add", scaled, style), [1, 8, 16, 18])


def group_norm(opset: int = 17, groups: int = 4) -> onnx.ModelProto:
    """Return nn.GroupNorm as it is exported below opset 21: an InstanceNormalization over groups, in another shape."""
    graph = _Graph(opset)
    x = graph.conv("x", 3, 8, kernel=3, rank=2)
    grouped = graph.add("Reshape", x, graph.constant([0, groups, -1]))
    ones, zeros = graph.constant(np.ones(groups), np.float32), graph.constant(np.zeros(groups), np.float32)
    normed = graph.add("InstanceNormalization", grouped, ones, zeros, epsilon=1e-5)
    back = graph.add("Reshape", normed, graph.add("Shape", x))
    scaled = graph.add("Mul", back, graph.weight(8, 1, 1, mean=1.0))
    return graph.finish(
        "group_norm", ["N", 3, "H", "W"], graph.add("Add", scaled, graph.weight(8, 1, 1)), ["N", 8, "h", "w"]
    )


def group_norm_op(opset: int = 21, groups: int = 4) -> onnx.ModelProto:
    """Return nn.GroupNorm as it is exported from opset 21 on: the operator GroupNormalization."""
    graph = _Graph(opset)
    x = graph.conv("x", 3, 8, kernel=3, rank=2)
    scale, bias = graph.weight(8, mean=1.0), graph.weight(8)
    normed = graph.add("GroupNormalization", x, scale, bias, num_groups=groups, epsilon=1e-5)
    return graph.finish("group_norm_op", ["N", 3, "H", "W"], normed, ["N", 8, "h", "w"])


def batch_norm_as_instance_norm(opset: int = 17, batch: int = 2) -> onnx.ModelProto:
    """Return MUNIT's AdaIN: a BatchNormalization in training mode over [1, N * C, H, W], which is an instance norm."""
    graph = _Graph(opset)
    x, channels = graph.conv("x", 3, 8, kernel=3, rank=2), batch * 8
    flat = graph.add("Reshape", x, graph.constant([1, channels, 14, 14]))
    scale, bias = graph.weight(channels, mean=1.0), graph.weight(channels)
    mean, variance = graph.constant(np.zeros(channels), np.float32), graph.constant(np.ones(channels), np.float32)
    inputs = (flat, scale, bias, mean, variance)
    normed = graph.add("BatchNormalization", *inputs, num_outputs=3, training_mode=1, epsilon=1e-5)
    back = graph.add("Reshape", normed, graph.constant([batch, 8, 14, 14]))
    return graph.finish("batch_norm_as_instance_norm", [batch, 3, 16, 16], back, [batch, 8, 14, 14])


FORMS: dict[str, Callable[[], onnx.ModelProto]] = {
    make.__name__: make
    for make in (
        pad_behind_pad,
        pad_to_multiple,
        written_out_adain,
        group_norm,
        group_norm_op,
        batch_norm_as_instance_norm,
    )
}
