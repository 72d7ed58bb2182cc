"""What is measured in PyTorch, without PyTorch: its layers are those of the ONNX models."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace
from typing import Any

import pytest

from models.make_models import NETWORKS, make
from tests.gpu import torch_peers
from tests.gpu.networks import MEASURED
from tests.gpu.torch_networks import layers_of, weights_of
from tests.gpu.torch_peers import made_networks

SMALL = {"unet3d": 64, "gan_decoder": 2, "vae_decoder": 2}
OPS = {
    "Conv": "Conv", "ConvTranspose": "ConvTranspose", "InstanceNorm": "InstanceNormalization", "Upsample": "Resize",
    "ReflectionPad": "Pad", "ReLU": "Relu", "LeakyReLU": "LeakyRelu", "ELU": "Elu", "SiLU": "Sigmoid", "Tanh": "Tanh",
    "Sigmoid": "Sigmoid", "GroupNorm": "InstanceNormalization",
}  # fmt: skip


class Layers:
    """Takes the place of torch.nn: a layer is its name, without the rank, and its arguments."""

    class Module:
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: (re.sub(r"\dd$", "", name), arguments, named)


def num_weights(layer: Any, rank: int) -> list[int]:
    """Return how many elements the parameters of a layer have."""
    name, arguments, _ = layer if isinstance(layer, tuple) else ("", (), {})
    if name in ("Conv", "ConvTranspose"):
        inputs, outputs, kernel = arguments[:3]
        return [inputs * outputs * kernel**rank, outputs]
    channels = {"InstanceNorm": 0, "GroupNorm": 1}.get(name)
    return [] if channels is None else [arguments[channels]] * 2


@pytest.mark.parametrize("network", NETWORKS)
def test_the_layers_are_those_of_the_model(network: str) -> None:
    size = dict.fromkeys(NETWORKS[network].axes, SMALL.get(network, 32))
    model = make(network, **size)
    builder = layers_of(network, list(size.values()), SimpleNamespace(nn=Layers()))
    wanted = [math.prod(each.dims) for each in weights_of(model)]
    assert [count for layer in builder.layers for count in num_weights(layer, len(size))] == wanted
    made = [OPS[layer[0]] for layer in builder.layers if isinstance(layer, tuple)]
    assert made == [node.op_type for node in model.graph.node if node.op_type in OPS.values()]
    for node in (node for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")):
        attributes = {each.name: list(each.ints) for each in node.attribute}
        name, arguments, named = next(
            layer for layer in builder.layers if isinstance(layer, tuple) and layer[0] == node.op_type
        )
        builder.layers.remove((name, arguments, named))
        stride, padding, last = arguments[3:]
        assert (attributes["strides"][0], attributes["pads"][0]) == (stride, padding)
        assert attributes["dilations" if name == "Conv" else "output_padding"][0] == last


def test_every_made_network_that_is_measured_has_one(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    assert {MEASURED[name][0].make["network"] for name in made_networks()} == NETWORKS.keys()
    assert torch_peers.main([str(tmp_path / "out.json"), "xfeat_256_fp16"]) == 2
    assert "no torch module of xfeat_256_fp16" in capsys.readouterr().err
