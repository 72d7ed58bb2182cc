"""The made networks of measure_networks.py in PyTorch: in a CUDA graph and by torch.compile, on the GPU here.

    python -m tests.gpu.torch_peers OUT.json [--mode max-autotune] [--check] [NETWORK ...]

The layers come from the same function that writes the ONNX file, and so do the weights. Each is timed in both layouts,
contiguous and channels-last; fp32 uses TF32, as TensorRT does. With --check its output in fp32, without TF32, is
compared with what ONNX Runtime makes of the model: max|y - reference| / max|reference|. OUT.json is written after each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from models.make_models import NETWORKS, make
from models.network_builder import NetworkOptions, Tensor
from tests.gpu.measure_networks import MEASURED

MODES = ("reduce-overhead", "max-autotune")
LAYOUTS = ("contiguous", "channels_last")
_CHANNELS_LAST = {4: "channels_last", 5: "channels_last_3d"}  # by the number of axes; lines have none
_WARM_UPS, _RUNS = 5, 30
_SMALL = {"gan_decoder": 8, "vae_decoder": 8}  # elements an axis of the input that outputs are compared on; else 64
Entry = dict[str, Any]


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


def measure(name: str, mode: str, is_checked: bool) -> Entry:
    """Return the microseconds of one network, by what runs it and layout, or what went wrong."""
    import torch

    arguments = dict(MEASURED[name][0].make)
    model = make(**arguments)
    dtype = {"fp16": torch.float16, "fp32": torch.float32}[arguments["dtype"]]
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    entry: Entry = {"microseconds": {}, "problems": {}}
    with torch.inference_mode():
        if is_checked:
            entry["error_to_original"] = _error(arguments)
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to("cuda", dtype)
        for layout in LAYOUTS if len(shape) in _CHANNELS_LAST else LAYOUTS[:1]:
            for way, prepare in (("eager in a CUDA graph", _in_a_graph), (f"torch.compile {mode}", _compiled(mode))):
                begin = time.monotonic()
                try:
                    torch._dynamo.reset()
                    memory = _memory_format(layout, len(shape))
                    network = network_of(arguments, model).to("cuda", dtype).to(memory_format=memory)
                    run = prepare(network, x.to(memory_format=memory))
                    entry["microseconds"][f"{way}, {layout}"] = round(_time(run), 2)
                except Exception as error:  # what one way cannot do leaves the others
                    entry["problems"][f"{way}, {layout}"] = f"{type(error).__name__}: {error}"[:300]
                entry.setdefault("seconds", {})[f"{way}, {layout}"] = round(time.monotonic() - begin, 1)
    if entry["microseconds"]:
        entry["best"] = min(entry["microseconds"], key=entry["microseconds"].get)
    return entry


def _memory_format(layout: str, rank: int) -> Any:
    import torch

    return getattr(torch, _CHANNELS_LAST[rank] if layout == "channels_last" else "contiguous_format")


def _in_a_graph(network: Any, x: Any) -> Callable[[], Any]:
    import torch

    for _ in range(_WARM_UPS):
        network(x)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        network(x)
    return graph.replay


def _compiled(mode: str) -> Callable[[Any, Any], Callable[[], Any]]:
    import torch

    def prepare(network: Any, x: Any) -> Callable[[], Any]:
        compiled = torch.compile(network, mode=mode)
        return lambda: compiled(x)

    return prepare


def _time(run: Callable[[], Any]) -> float:
    """Return the median microseconds of a run."""
    import torch

    for _ in range(_WARM_UPS):
        run()
    times = []
    for _ in range(_RUNS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(1000 * begin.elapsed_time(end))
    return statistics.median(times)


def _error(arguments: dict[str, Any]) -> float:
    """Return how far the module in fp32 is from ONNX Runtime, for a small input."""
    import onnxruntime
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    network = arguments["network"]
    small = {"network": network, **dict.fromkeys(NETWORKS[network].axes, _SMALL.get(network, 64))}
    model = make(**small)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    feed = np.random.default_rng(0).standard_normal(given.shape).astype(np.float32)
    (expected,) = session.run(None, {given.name: feed})
    got = network_of(small, model).to("cuda")(torch.from_numpy(feed).to("cuda")).cpu().numpy()
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def made_networks() -> list[str]:
    """Return the measured networks that are made by code: of the others there is no torch module."""
    return [name for name, (network, _) in MEASURED.items() if network.make]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the networks that the command line names, all made ones by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.torch_peers", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--mode", choices=MODES, default=MODES[0])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_intermixed_args(arguments)
    names = options.networks or made_networks()
    unknown = set(names) - set(made_networks())
    if unknown:
        print(f"error: no torch module of {', '.join(sorted(unknown))}, only of {', '.join(made_networks())}",
              file=sys.stderr)  # fmt: skip
        return 2
    import torch

    document: Entry = {
        "what": "tests.gpu.torch_peers", "gpu": torch.cuda.get_device_name(), "torch": torch.__version__,
        "mode": options.mode, "networks": {},
    }  # fmt: skip
    for name in names:
        document["networks"][name] = measure(name, options.mode, options.check)
        options.out.write_text(json.dumps(document, indent=1) + "\n")
        print(name, json.dumps(document["networks"][name]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
