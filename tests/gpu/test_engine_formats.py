"""The memory formats that TensorRT gives our plugins between convolutions, and that nothing is reformatted there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.gpu.needs import TENSORRT_ON_GPU
from trtconv import BuildConfig, build
from trtconv.comparison import compare
from trtconv.comparison.tolerance import TOLERANCE
from trtconv.engine.live_engine import read_engine
from trtconv.engine.loading import load_engine
from trtconv.inputs.made_inputs import random_inputs

pytestmark = TENSORRT_ON_GPU

SHAPES = {"image": (1, 16, 96, 128), "odd channels": (1, 12, 50, 70), "volume": (1, 16, 24, 32, 40)}
TYPES = {"fp32": TensorProto.FLOAT, "tf32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16}


def convolution_norm_pad(shape: tuple[int, ...], type_: int) -> onnx.ModelProto:
    """Return Conv -> InstanceNormalization -> Pad(reflect) -> Conv."""
    rng = np.random.default_rng(5)
    channels, rank = shape[1], len(shape) - 2
    dtype = helper.tensor_dtype_to_np_dtype(type_)
    constants = {
        "w1": rng.standard_normal((channels, channels) + (3,) * rank) / np.sqrt(channels * 3**rank),
        "w2": rng.standard_normal((channels, channels) + (3,) * rank) / np.sqrt(channels * 3**rank),
        "scale": rng.uniform(0.5, 1.5, channels),
        "bias": rng.standard_normal(channels),
    }
    initializers = [numpy_helper.from_array(value.astype(dtype), name) for name, value in constants.items()]
    pads = np.array(([0, 0] + [1] * rank) * 2, dtype=np.int64)
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], name="first", pads=[1] * (2 * rank)),
        helper.make_node("InstanceNormalization", ["a", "scale", "bias"], ["b"], name="norm"),
        helper.make_node("Pad", ["b", "pads"], ["c"], name="pad", mode="reflect"),
        helper.make_node("Conv", ["c", "w2"], ["y"], name="second"),
    ]
    graph = helper.make_graph(
        nodes,
        "formats",
        [helper.make_tensor_value_info("x", type_, shape)],
        [helper.make_tensor_value_info("y", type_, shape)],
        [*initializers, numpy_helper.from_array(pads, "pads")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", SHAPES)
def test_plugins_lie_between_convolutions_without_reformats(name: str, kind: str, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    onnx.save(convolution_norm_pad(SHAPES[name], TYPES[kind]), model)
    report = build(
        model, BuildConfig(output=tmp_path / "model.engine", backend="tensorrt", tf32=kind == "tf32", ops="plugin")
    )
    layers = read_engine(load_engine(report.engine)).information.layers
    for layer in layers:
        print(f"\nFORMAT {name} {kind} {layer.type} {layer.name}: {layer.formats}", end="")
    result = compare(model, report.engine, random_inputs(model, {}), TOLERANCE[kind])
    assert result.passed, result.render()

    plugins = [layer for layer in layers if layer.type == "PluginV3"]
    assert len(plugins) == 2
    formats = [(layer.inputs[0].format, layer.outputs[0].format) for layer in plugins]
    if kind == "fp16":  # of fp32 convolutions some are faster in the linear format: those figures are only printed
        assert all(read == written != "LINEAR" for read, written in formats), formats
        ours = {tensor.name for layer in plugins for tensor in (layer.inputs[0], layer.outputs[0])}
        around = [
            layer.name
            for layer in layers
            if layer.type == "Reformat" and ours & {tensor.name for tensor in (*layer.inputs, *layer.outputs)}
        ]
        assert around == []
