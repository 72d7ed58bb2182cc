"""The layers that the networks of this folder are written with, as ONNX nodes with seeded weights."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

DTYPES: dict[str, type[np.float32] | type[np.float16]] = {"fp32": np.float32, "fp16": np.float16}
PADS_STYLES = ("initializer", "constant", "computed")
MIN_OPSET = 9

RELU_GAIN = math.sqrt(2.0)  # He et al. 2015: a convolution with this gain keeps the variance behind a Relu
LINEAR_GAIN = 1.0


def leaky_relu_gain(slope: float) -> float:
    """Return the gain that keeps the variance behind a LeakyRelu of that slope."""
    return math.sqrt(2.0 / (1.0 + slope**2))


@dataclass(frozen=True)
class NetworkOptions:
    """What a network is made with; `size` holds the spatial axes of its input, `channels` those of its first layer."""

    size: tuple[int, ...]
    channels: int
    batch: int = 1
    stages: int = 0
    dtype: str = "fp32"
    dynamic: bool = False
    opset: int = 17
    pads_style: str = "initializer"
    seed: int = 0

    def __post_init__(self) -> None:
        newest_opset = onnx.defs.onnx_opset_version()
        if min(self.size) < 1 or self.batch < 1 or self.channels < 1:
            raise ValueError(f"sizes, batch and channels must be 1 or more, got {self}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype}")
        if self.pads_style not in PADS_STYLES:
            raise ValueError(f"pads_style must be one of {', '.join(PADS_STYLES)}, got {self.pads_style}")
        if not MIN_OPSET <= self.opset <= newest_opset:
            raise ValueError(f"opset must be {MIN_OPSET} to {newest_opset}, got {self.opset}")
        if self.opset < 11 and self.pads_style != "initializer":
            raise ValueError(f"pads_style {self.pads_style} needs opset 11 or more: pads are an attribute before")


@dataclass(frozen=True)
class OpCounts:
    """How many nodes of the two operators a network holds."""

    instance_norms: int
    reflect_pads: int


@dataclass(frozen=True)
class Tensor:
    """A tensor of the network under construction, [batch, channels, spatial axes]."""

    name: str
    channels: int


@dataclass(frozen=True)
class NetworkSpec:
    """One network: where it is published, what can be chosen, and the function that writes its layers."""

    title: str
    source: str
    input_name: str
    input_channels: int
    output_name: str
    axes: tuple[str, ...]
    default_size: tuple[int, ...]
    default_channels: int
    add_layers: Callable[[NetworkBuilder, Tensor], Tensor]
    output_size: Callable[[NetworkOptions], tuple[int, ...]]
    output_axes: tuple[str, ...]
    check: Callable[[NetworkOptions], None]
    count_ops: Callable[[NetworkOptions], OpCounts]
    default_stages: int = 0


class NetworkBuilder:
    """Collects nodes and initializers; weights depend on the seed and the layers alone, not on type, size or opset."""

    def __init__(self, options: NetworkOptions) -> None:
        self.options = options
        self._random = np.random.default_rng(options.seed)
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._scopes: list[str] = []
        self._used_names: Counter[str] = Counter()

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Put the nodes added inside under `/name/`, as PyTorch names them."""
        self._scopes.append(name)
        yield
        self._scopes.pop()

    def conv(
        self,
        x: Tensor,
        channels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        gain: float = RELU_GAIN,
    ) -> Tensor:
        """Add a convolution, the same along every spatial axis."""
        rank = len(self.options.size)
        name = self._unique_name("Conv")
        weight = self._add_weight(f"{name}.weight", (channels, x.channels) + (kernel,) * rank, x.channels, gain)
        bias = self._add_normal(f"{name}.bias", channels, mean=0.0, std=0.05)
        attributes = {
            "kernel_shape": [kernel] * rank,
            "strides": [stride] * rank,
            "pads": [padding] * (2 * rank),
            "dilations": [dilation] * rank,
            "group": 1,
        }
        return Tensor(self._add_node("Conv", [x.name, weight, bias], name, **attributes), channels)

    def conv_transpose(
        self,
        x: Tensor,
        channels: int,
        kernel: int,
        *,
        stride: int,
        padding: int = 0,
        output_padding: int = 0,
        gain: float = RELU_GAIN,
    ) -> Tensor:
        """Add a transposed convolution, the same along every spatial axis."""
        rank = len(self.options.size)
        name = self._unique_name("ConvTranspose")
        # An output element sees kernel / stride inputs along each axis.
        fan_in = x.channels / stride**rank
        weight = self._add_weight(f"{name}.weight", (x.channels, channels) + (kernel,) * rank, fan_in, gain)
        bias = self._add_normal(f"{name}.bias", channels, mean=0.0, std=0.05)
        attributes = {
            "kernel_shape": [kernel] * rank,
            "strides": [stride] * rank,
            "pads": [padding] * (2 * rank),
            "output_padding": [output_padding] * rank,
            "dilations": [1] * rank,
            "group": 1,
        }
        return Tensor(self._add_node("ConvTranspose", [x.name, weight, bias], name, **attributes), channels)

    def instance_norm(self, x: Tensor) -> Tensor:
        """Add an InstanceNormalization with scale and bias that are neither all one nor all zero."""
        name = self._unique_name("InstanceNormalization")
        scale = self._add_normal(f"{name}.scale", x.channels, mean=1.0, std=0.2)
        bias = self._add_normal(f"{name}.bias", x.channels, mean=0.0, std=0.2)
        output = self._add_node("InstanceNormalization", [x.name, scale, bias], name, epsilon=1e-5)
        return Tensor(output, x.channels)

    def group_norm(self, x: Tensor, groups: int) -> Tensor:
        """Add a group norm as PyTorch exports it: InstanceNormalization of groups between two Reshapes, Mul and Add."""
        rank = len(self.options.size)
        name = self._unique_name("InstanceNormalization")
        ones = self._add_initializer(f"ones_{groups}", np.ones(groups), as_dtype=True)
        zeros = self._add_initializer(f"zeros_{groups}", np.zeros(groups), as_dtype=True)
        shape = self._add_initializer(f"groups_{groups}", np.array([0, groups, -1], dtype=np.int64))
        grouped = self._add_node("Reshape", [x.name, shape])
        y = self._add_node("InstanceNormalization", [grouped, ones, zeros], name, epsilon=1e-6)
        y = self._add_node("Reshape", [y, self._add_node("Shape", [x.name])])
        scale, bias = (
            self._add_normal(f"{name}.{role}", x.channels, mean=mean, std=0.2, num_axes=rank)
            for role, mean in (("scale", 1.0), ("bias", 0.0))
        )
        return Tensor(self._add_node("Add", [self._add_node("Mul", [y, scale]), bias]), x.channels)

    def reflect_pad(self, x: Tensor, width: int) -> Tensor:
        """Add a Pad(mode=reflect) of that width on both sides of every spatial axis."""
        rank = len(self.options.size)
        one_side = [0, 0] + [width] * rank
        name = self._unique_name("Pad")
        if self.options.opset < 11:
            return Tensor(self._add_node("Pad", [x.name], name, mode="reflect", pads=one_side * 2), x.channels)
        if self.options.pads_style == "initializer":  # pads of one width share one initializer
            pads = self._add_initializer(f"pads_{width}", np.array(one_side * 2, dtype=np.int64))
        elif self.options.pads_style == "constant":
            pads = self._add_constant(np.array(one_side * 2, dtype=np.int64))
        else:
            pads = self._add_computed_pads(width, rank)
        return Tensor(self._add_node("Pad", [x.name, pads], name, mode="reflect"), x.channels)

    def upsample(self, x: Tensor, factor: int) -> Tensor:
        """Add a nearest-neighbour upsampling of every spatial axis."""
        rank = len(self.options.size)
        scales = self._add_initializer(f"scales_{factor}", np.array([1, 1] + [factor] * rank, dtype=np.float32))
        if self.options.opset < 11:
            op_type = "Upsample" if self.options.opset == 9 else "Resize"
            return Tensor(self._add_node(op_type, [x.name, scales], mode="nearest"), x.channels)
        region = "" if self.options.opset >= 13 else self._add_initializer("no_region", np.zeros(0, np.float32))
        attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return Tensor(self._add_node("Resize", [x.name, region, scales], **attributes), x.channels)

    def relu(self, x: Tensor) -> Tensor:
        """Add a Relu."""
        return Tensor(self._add_node("Relu", [x.name]), x.channels)

    def leaky_relu(self, x: Tensor, slope: float) -> Tensor:
        """Add a LeakyRelu."""
        return Tensor(self._add_node("LeakyRelu", [x.name], alpha=slope), x.channels)

    def elu(self, x: Tensor) -> Tensor:
        """Add an Elu."""
        return Tensor(self._add_node("Elu", [x.name]), x.channels)

    def sigmoid(self, x: Tensor) -> Tensor:
        """Add a Sigmoid."""
        return Tensor(self._add_node("Sigmoid", [x.name]), x.channels)

    def tanh(self, x: Tensor) -> Tensor:
        """Add a Tanh."""
        return Tensor(self._add_node("Tanh", [x.name]), x.channels)

    def silu(self, x: Tensor) -> Tensor:
        """Add x * Sigmoid(x)."""
        return Tensor(self._add_node("Mul", [x.name, self._add_node("Sigmoid", [x.name])]), x.channels)

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Add the sum of two tensors of one shape."""
        return Tensor(self._add_node("Add", [x.name, y.name]), x.channels)

    def concat(self, x: Tensor, y: Tensor) -> Tensor:
        """Join two tensors along their channels."""
        return Tensor(self._add_node("Concat", [x.name, y.name], axis=1), x.channels + y.channels)

    def finish(self, output: Tensor, spec: NetworkSpec) -> onnx.ModelProto:
        """Return the model whose result is that tensor."""
        options = self.options
        last_node = self._nodes[-1]
        if last_node.output[0] != output.name:
            raise ValueError(f"the last node gives {last_node.output[0]}, not the output {output.name}")
        last_node.output[0] = spec.output_name
        element_type = helper.np_dtype_to_tensor_dtype(np.dtype(DTYPES[options.dtype]))
        input_shape: list[int | str] = [options.batch, spec.input_channels, *options.size]
        output_shape: list[int | str] = [options.batch, output.channels, *spec.output_size(options)]
        if options.dynamic:
            input_shape = ["batch", spec.input_channels, *spec.axes]
            output_shape = ["batch", output.channels, *spec.output_axes]
        graph = helper.make_graph(
            self._nodes,
            spec.title,
            [helper.make_tensor_value_info(spec.input_name, element_type, input_shape)],
            [helper.make_tensor_value_info(spec.output_name, element_type, output_shape)],
            list(self._initializers.values()),
        )
        opset = helper.make_opsetid("", options.opset)
        ir_version = helper.find_min_ir_version_for([opset])
        model = helper.make_model(
            graph, opset_imports=[opset], ir_version=ir_version, producer_name="trtconv.models", doc_string=spec.source
        )
        helper.set_model_props(model, {"weights": f"random, seed {options.seed}"})
        return model

    def _add_computed_pads(self, width: int, rank: int) -> str:
        """Add the nodes with which PyTorch turns its pads, last axis first, into those of ONNX; return the result."""
        torch_pads = self._add_constant(np.array([width] * (2 * rank), dtype=np.int64))
        num_missing = self._add_constant(np.array([4], dtype=np.int64))  # batch and channels, both sides
        zero = numpy_helper.from_array(np.zeros(1, dtype=np.int64))
        missing = self._add_node("ConstantOfShape", [num_missing], value=zero)
        joined = self._add_node("Concat", [torch_pads, missing], axis=0)
        pairs = self._add_node("Reshape", [joined, self._add_constant(np.array([-1, 2], dtype=np.int64))])
        slice_inputs = [self._add_constant(np.array([value], dtype=np.int64)) for value in (-1, -(2**63) + 1, 0, -1)]
        reversed_pairs = self._add_node("Slice", [pairs, *slice_inputs])
        sides = self._add_node("Transpose", [reversed_pairs], perm=[1, 0])
        flat = self._add_node("Reshape", [sides, self._add_constant(np.array([-1], dtype=np.int64))])
        return self._add_node("Cast", [flat], to=onnx.TensorProto.INT64)

    def _add_weight(self, name: str, shape: tuple[int, ...], fan_in_channels: float, gain: float) -> str:
        """Add a convolution's weight whose output has the variance gain ** 2 times the input's mean square."""
        std = gain / math.sqrt(fan_in_channels * math.prod(shape[2:]))
        return self._add_initializer(name, self._draw(shape) * np.float32(std), as_dtype=True)

    def _add_normal(self, name: str, length: int, *, mean: float, std: float, num_axes: int = 0) -> str:
        """Add one value a channel, with as many axes of size 1 after it."""
        values = np.float32(mean) + np.float32(std) * self._draw((length,) + (1,) * num_axes)
        return self._add_initializer(name, values, as_dtype=True)

    def _draw(self, shape: Sequence[int]) -> NDArray[np.float32]:
        return self._random.standard_normal(shape, dtype=np.float32)

    def _add_initializer(self, name: str, values: NDArray[np.generic], *, as_dtype: bool = False) -> str:
        """Add an initializer, in the network's type where told so; one name stands for one value."""
        if as_dtype:
            values = values.astype(DTYPES[self.options.dtype])
        self._initializers.setdefault(name, numpy_helper.from_array(values, name))
        return name

    def _add_constant(self, values: NDArray[np.int64]) -> str:
        return self._add_node("Constant", [], value=numpy_helper.from_array(values))

    def _add_node(self, op_type: str, inputs: Sequence[str], name: str = "", **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        name = name or self._unique_name(op_type)
        output = f"{name}_output"
        self._nodes.append(helper.make_node(op_type, inputs, [output], name, **attributes))
        return output

    def _unique_name(self, op_type: str) -> str:
        base = "/".join(["", *self._scopes, op_type])
        count = self._used_names[base]
        self._used_names[base] += 1
        return f"{base}_{count}" if count else base
