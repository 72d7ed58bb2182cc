"""Engines of networks with everything fused that fuses, on full TensorRT, against ONNX Runtime.

One engine holds all branches of tests/support/fused_networks.py, an output each, so that few engines test many fusions.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.gpu.needs import HAS_TENSORRT_AND_GPU, NEEDED
from tests.gpu.test_engine_accuracy import opt_level
from tests.support.fused_networks import CHANNELS, fused_network, mapped_network

pytest.importorskip("torch", reason="the tests put their tensors on the GPU with torch")
if not HAS_TENSORRT_AND_GPU:
    pytest.skip(NEEDED, allow_module_level=True)

import tensorrt as trt
import torch

from tests.gpu.engine_runs import Run, fresh_run
from trtconv import BuildConfig, ShapeRange, build, load_engine
from trtconv.benchmark.layer_kinds import kind_of, ops_by_node
from trtconv.comparison import compare
from trtconv.comparison.tolerance import TOLERANCE
from trtconv.engine.inspector_json import Layer
from trtconv.engine.live_engine import read_engine
from trtconv.inputs.made_inputs import random_inputs
from trtconv.model import model_io
from trtconv.ops import CUSTOM_OPS
from trtconv.ops.custom_op import DOMAIN, VERSION
from trtconv.plugins.loading import load_plugins
from trtconv.preparation import prepare

pytestmark = pytest.mark.gpu

OLD_MODEL = Path(__file__).parents[1] / "data" / "rewritten_by_0.1.0.onnxtxt"
LEFT = {"convolution", "norm", "pad", "reformat, cast"}  # what may be in an engine beside what the passes left
_RELOAD = """
import sys, numpy
from trtconv.comparison import compare
report = compare(sys.argv[1], sys.argv[2], [dict(numpy.load(sys.argv[4]))], float(sys.argv[3]))
print(report.render())
sys.exit(not report.passed)
"""
DYNAMIC_RANGES = (("1x16x8x8", "1x16x32x24", "2x16x48x48"), ("1x16x64x64", "2x16x96x80", "4x16x128x128"))


def config(output: Path, **options: Any) -> BuildConfig:
    return BuildConfig(output=output, backend="tensorrt", ops="fused", tf32=False, opt_level=opt_level(), **options)


def assert_same(model: Path, engine: Path, dtype: str, shapes: dict[str, tuple[int, ...]] | None = None) -> None:
    """Compare an engine with its model on two input sets; name every output that differs."""
    result = compare(model, engine, random_inputs(model, shapes or {}, num_sets=2), TOLERANCE[dtype])
    assert result.passed, [output for output in result.outputs if not output.passed]


def layers_of(engine: Path) -> list[Layer]:
    return list(read_engine(load_engine(engine)).information.layers)


def fused_ops(model: Path, given: BuildConfig) -> dict[str, str]:
    return ops_by_node(prepare(model_io.load(model, profiles=given.profiles), given, None)[0])


@pytest.mark.parametrize("num_axes", [2, 3, 1], ids=["images", "volumes", "sequences"])
@pytest.mark.parametrize("layout", ["between convolutions", "linear"])
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_fused_engine_computes_what_the_model_does(dtype: str, layout: str, num_axes: int, tmp_path: Path) -> None:
    model, has_convolutions = tmp_path / "model.onnx", layout != "linear"
    onnx.save(fused_network(dtype, has_convolutions=has_convolutions, num_axes=num_axes), model)
    given = config(tmp_path / "model.engine")
    report = build(model, given)
    assert_same(model, report.engine, dtype)

    layers, ops = layers_of(report.engine), fused_ops(model, given)
    assert [layer.type for layer in layers].count("PluginV3") == sum(op in CUSTOM_OPS for op in ops.values())
    left = LEFT | {kind_of(Layer(name), ops) for name in ops}
    kinds = {layer.name: kind_of(layer, ops) for layer in layers if layer.type not in ("NoOp", "Constant")}
    assert {name: kind for name, kind in kinds.items() if kind not in left} == {}
    plugins = [layer for layer in layers if layer.type == "PluginV3"]
    norms = [layer for layer in plugins if kinds[layer.name] == "norm"]  # a pad may change the format
    assert [layer.name for layer in norms if layer.inputs[0].format != layer.outputs[0].format] == []
    if dtype == "fp16" and has_convolutions and num_axes == 2:  # of volumes this small both take about as long
        assert any("HWC" in str(layer.inputs[0].format) for layer in plugins), "the builder chooses each by its time"


def test_maps_at_both_ends_take_cast_and_format(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    onnx.save(mapped_network(), model)
    report = build(model, config(tmp_path / "model.engine"))
    assert_same(model, report.engine, "fp16")
    layers, ops = layers_of(report.engine), fused_ops(model, config(tmp_path / "x"))
    assert [layer.type for layer in layers].count("PluginV3") == sum(op in CUSTOM_OPS for op in ops.values())
    if "Cast" not in ops.values():
        assert [layer.name for layer in layers if layer.type == "Reformat"] == []


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model whose sizes are open, and its engine with two profiles."""
    folder = tmp_path_factory.mktemp("dynamic")
    model = folder / "model.onnx"
    onnx.save(fused_network("fp16", has_convolutions=True, sizes=("N", "H", "W")), model)
    profiles = []
    for low, usual, high in DYNAMIC_RANGES:
        shapes = {name: ShapeRange.parse(f"{low}:{usual}:{high}") for name in ("x", "other")}
        batches = [text.split("x")[0] for text in (low, usual, high)]
        style = ShapeRange.parse(":".join(f"{batch}x{CHANNELS}" for batch in batches))
        profiles.append(shapes | dict.fromkeys(("style_scale", "style_bias"), style))
    return model, build(model, config(folder / "model.engine", profiles=profiles)).engine


def shapes_of(batch: int, height: int, width: int) -> dict[str, tuple[int, ...]]:
    image, style = (batch, CHANNELS, height, width), (batch, CHANNELS)
    return {"x": image, "other": image, "style_scale": style, "style_bias": style}


@pytest.mark.parametrize("sizes", [(1, 8, 8), (2, 47, 33), (1, 64, 65), (3, 127, 64), (4, 128, 128)])
def test_one_engine_takes_the_sizes_of_both_profiles(dynamic: tuple[Path, Path], sizes: tuple[int, int, int]) -> None:
    assert_same(*dynamic, "fp16", shapes_of(*sizes))


def test_an_engine_runs_in_another_process(dynamic: tuple[Path, Path], tmp_path: Path) -> None:
    model, engine = dynamic
    (feed,) = random_inputs(model, shapes_of(2, 40, 24))
    np.savez(tmp_path / "feed.npz", **feed)
    arguments = [str(model), str(engine), str(TOLERANCE["fp16"]), str(tmp_path / "feed.npz")]
    finished = subprocess.run([sys.executable, "-c", _RELOAD, *arguments], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_a_captured_graph_computes_with_new_inputs(dynamic: tuple[Path, Path]) -> None:
    model, path = dynamic
    first, second = (
        {name: torch.from_numpy(values).cuda() for name, values in feed.items()}
        for feed in random_inputs(model, shapes_of(2, 40, 24), num_sets=2)
    )
    engine = load_engine(path)
    run = Run(engine)
    run.use_profile(0)
    run(**first)  # outside of a graph first: kernels are loaded at their first launch
    run.prepare(**first)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=run.stream):
        assert run.enqueue()
    for feed in (first, second, first):
        for name, tensor in run.inputs.items():
            tensor.copy_(feed[name])
        for tensor in run.outputs.values():
            tensor.fill_(float("nan"))
        graph.replay()
        torch.cuda.synchronize()
        expected = fresh_run(engine, **feed)
        for name, tensor in run.outputs.items():
            assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize(("ops", "num_plugins"), [("plugin", 2), ("fused", 1)])
def test_a_model_rewritten_by_0_1_0_builds(ops: str, num_plugins: int, tmp_path: Path) -> None:
    model = tmp_path / "old.onnx"
    onnx.save(onnx.parser.parse_model(OLD_MODEL.read_text()), model)
    given = BuildConfig(output=tmp_path / "old.engine", backend="tensorrt", ops=ops, tf32=False, opt_level=opt_level())
    report = build(model, given)
    assert [layer.type for layer in layers_of(report.engine)].count("PluginV3") == num_plugins
    assert_same(model, report.engine, "fp32")


@pytest.mark.parametrize("phase", ["BUILD", "RUNTIME"])
@pytest.mark.parametrize(
    ("op", "field", "value"),
    [
        ("InstanceNorm", "epsilon", np.array([1e-5], np.float32)),
        ("ReflectPad", "pads", np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int32)),
    ],
)
def test_the_fields_of_an_engine_of_0_1_0_make_a_plugin(op: str, field: str, value: np.ndarray, phase: str) -> None:
    load_plugins(trt)
    creator = trt.get_plugin_registry().get_creator(op, str(VERSION), DOMAIN)
    type_ = trt.PluginFieldType.INT32 if value.dtype == np.int32 else trt.PluginFieldType.FLOAT32
    fields = [trt.PluginField(field, value, type_)]  # outlives the call: a collection keeps nothing alive
    plugin = creator.create_plugin("old", trt.PluginFieldCollection(fields), getattr(trt.TensorRTPhase, phase))
    assert plugin is not None
