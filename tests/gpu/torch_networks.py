"""The networks of models/ in PyTorch: layers and weights come from the functions that write the ONNX models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from models.make_models import NETWORKS
from models.network_builder import NetworkOptions, Tensor


class TorchBuilder:
    """Collects the layers that a network's function adds, each with the numbers of the results that it reads.

    It has the methods of models.network_builder.NetworkBuilder. `torch` is the module, which makes the layers.
    """

    def __init__(self, options: NetworkOptions, torch: Any) -> None:
        self.options = options
        self.layers: list[Any] = []
        self.reads: list[list[int]] = []
        self._rank = len(options.size)
        self._torch, self._nn = torch, torch.nn

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Do nothing: modules need no names."""
        yield

    def conv(self, x: Tensor, channels: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1,
             gain: float = 0.0) -> Tensor:  # fmt: skip
        """Add a convolution."""
        return self._add(self._of_rank("Conv")(x.channels, channels, kernel, stride, padding, dilation), channels, x)

    def conv_transpose(self, x: Tensor, channels: int, kernel: int, *, stride: int, padding: int = 0,
                       output_padding: int = 0, gain: float = 0.0) -> Tensor:  # fmt: skip
        """Add a transposed convolution."""
        kind = self._of_rank("ConvTranspose")
        return self._add(kind(x.channels, channels, kernel, stride, padding, output_padding), channels, x)

    def instance_norm(self, x: Tensor) -> Tensor:
        """Add an instance norm with scale and bias."""
        return self._add(self._of_rank("InstanceNorm")(x.channels, eps=1e-5, affine=True), x.channels, x)

    def group_norm(self, x: Tensor, groups: int) -> Tensor:
        """Add a group norm."""
        return self._add(self._nn.GroupNorm(groups, x.channels, eps=1e-6), x.channels, x)

    def reflect_pad(self, x: Tensor, width: int) -> Tensor:
        """Add a reflection pad of every side."""
        return self._add(self._of_rank("ReflectionPad")(width), x.channels, x)

    def upsample(self, x: Tensor, factor: int) -> Tensor:
        """Add nearest-neighbour upsampling."""
        return self._add(self._nn.Upsample(scale_factor=factor, mode="nearest"), x.channels, x)

    def relu(self, x: Tensor) -> Tensor:
        """Add a ReLU."""
        return self._add(self._nn.ReLU(), x.channels, x)

    def leaky_relu(self, x: Tensor, slope: float) -> Tensor:
        """Add a LeakyReLU."""
        return self._add(self._nn.LeakyReLU(slope), x.channels, x)

    def elu(self, x: Tensor) -> Tensor:
        """Add an ELU."""
        return self._add(self._nn.ELU(), x.channels, x)

    def silu(self, x: Tensor) -> Tensor:
        """Add a SiLU."""
        return self._add(self._nn.SiLU(), x.channels, x)

    def sigmoid(self, x: Tensor) -> Tensor:
        """Add a sigmoid."""
        return self._add(self._nn.Sigmoid(), x.channels, x)

    def tanh(self, x: Tensor) -> Tensor:
        """Add a tanh."""
        return self._add(self._nn.Tanh(), x.channels, x)

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Add a sum."""
        return self._add(_joining(self._torch, lambda one, other: one + other), x.channels, x, y)

    def concat(self, x: Tensor, y: Tensor) -> Tensor:
        """Add two tensors joined along the channels."""
        joined = _joining(self._torch, lambda one, other: self._torch.cat([one, other], 1))
        return self._add(joined, x.channels + y.channels, x, y)

    def _of_rank(self, name: str) -> Any:
        return getattr(self._nn, f"{name}{self._rank}d")

    def _add(self, layer: Any, channels: int, *inputs: Tensor) -> Tensor:
        self.layers.append(layer)
        self.reads.append([int(each.name) for each in inputs])
        return Tensor(str(len(self.layers)), channels)


def _joining(torch: Any, join: Callable[[Any, Any], Any]) -> Any:
    class Join(torch.nn.Module):
        def forward(self, one: Any, other: Any) -> Any:
            return join(one, other)

    return Join()


def layers_of(network: str, size: Sequence[int], torch: Any) -> TorchBuilder:
    """Return the layers of a network for inputs of that size."""
    spec = NETWORKS[network]
    builder = TorchBuilder(
        NetworkOptions(size=tuple(size), channels=spec.default_channels, stages=spec.default_stages), torch
    )
    spec.add_layers(builder, Tensor("0", spec.input_channels))
    return builder


def weights_of(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Return weights, biases and scales of a made network, in the order of its layers."""
    return [each for each in model.graph.initializer if each.name.rpartition(".")[2] in ("weight", "bias", "scale")]


def network_of(arguments: dict[str, Any], model: onnx.ModelProto) -> Any:
    """Return a made network as a torch module with the weights of its ONNX model."""
    import torch

    size = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][2:]
    builder = layers_of(arguments["network"], size, torch)
    reads = builder.reads

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList(builder.layers)

        def forward(self, x: Any) -> Any:
            results = [x]
            for layer, inputs in zip(self.layers, reads, strict=True):
                results.append(layer(*[results[number] for number in inputs]))
            return results[-1]

    network = Network().eval()
    _take_weights(network, model)
    return network


def _take_weights(network: Any, model: onnx.ModelProto) -> None:
    """Copy weights, biases and scales, which both have in the order of the layers."""
    import torch

    given, parameters = weights_of(model), list(network.parameters())
    if len(given) != len(parameters):
        raise ValueError(f"the model has {len(given)} weights, the module {len(parameters)}")
    with torch.no_grad():
        for parameter, each in zip(parameters, given, strict=True):
            values = numpy_helper.to_array(each).astype(np.float32)
            if values.size != parameter.numel():
                raise ValueError(f"{each.name} has the shape {values.shape}, the module's {tuple(parameter.shape)}")
            parameter.copy_(torch.from_numpy(values).reshape(parameter.shape))
