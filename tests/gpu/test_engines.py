"""Whole networks on full TensorRT: engines with plugins against the original model in ONNX Runtime."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.gpu.needs import TENSORRT_ON_GPU
from tests.gpu.networks import MODELS_VARIABLE, NETWORKS, Network
from trtconv import BuildConfig, ShapeRange, build
from trtconv.comparison import ComparisonReport, compare
from trtconv.comparison.tolerance import TOLERANCE
from trtconv.engine.loading import load_engine

pytestmark = TENSORRT_ON_GPU

# A lower level than TensorRT's own makes the tests faster, and their engines slower.
OPT_LEVEL_VARIABLE = "TRTCONV_TEST_OPT_LEVEL"
# Runs in a process of its own: nothing of the build is left in it, the library has to be found and loaded anew.
_RELOAD = """
import sys, numpy
from trtconv.comparison import compare
feeds = [dict(numpy.load(path)) for path in sys.argv[4:]]
report = compare(sys.argv[1], sys.argv[2], feeds, float(sys.argv[3]))
print(report.render())
sys.exit(not report.passed)
"""


@pytest.fixture(params=list(NETWORKS))
def network(request: pytest.FixtureRequest) -> Network:
    return NETWORKS[request.param]


@pytest.fixture
def model(network: Network, tmp_path: Path) -> Path:
    path = network.path(tmp_path)
    if path is None:
        pytest.skip(f"{MODELS_VARIABLE} names no folder with {network.file}")
    return path


@pytest.mark.parametrize("tf32", [False, True], ids=["no_tf32", "tf32"])
def test_engine_agrees_with_the_original_model(network: Network, model: Path, tf32: bool, tmp_path: Path) -> None:
    if tf32 and network.dtype != "fp32":
        pytest.skip("TF32 concerns fp32 layers only")
    report = build(model, _config(network, tmp_path / "model.engine", tf32=tf32))
    assert report.rewrite.num_rewritten == network.num_plugins
    tolerance = TOLERANCE["tf32" if tf32 else network.dtype]
    feeds = network.feeds(model)
    result = compare(model, report.engine, feeds, tolerance)
    record(model, network, tf32, result)
    assert result.passed, result.render()
    assert layer_types(report.engine).count("PluginV3") == network.num_plugins

    if not tf32:
        files = []
        for index, feed in enumerate(feeds):
            files.append(tmp_path / f"feed{index}.npz")
            np.savez(files[-1], **feed)
        arguments = [str(model), str(report.engine), str(tolerance), *map(str, files)]
        again = subprocess.run([sys.executable, "-c", _RELOAD, *arguments], capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stdout + again.stderr


def test_native_build_holds_no_plugin(tmp_path: Path) -> None:
    network = NETWORKS["fast_neural_style"]
    model = network.path(tmp_path)
    assert model is not None
    report = build(model, _config(network, tmp_path / "model.engine", tf32=False, ops="native"))
    assert report.rewrite.num_rewritten == 0
    assert "PluginV3" not in layer_types(report.engine)
    result = compare(model, report.engine, network.feeds(model), TOLERANCE["fp32"])
    assert result.passed, result.render()


def test_one_engine_takes_every_shape_of_its_range(tmp_path: Path) -> None:
    network = Network(31, make={"network": "fast_neural_style", "height": 128, "width": 128, "dynamic": True})
    model = network.path(tmp_path)
    assert model is not None
    name = next(iter(network_inputs(model)))
    shape = ShapeRange.parse("1x3x64x64:1x3x128x128:2x3x200x160")
    report = build(
        model, BuildConfig(output=tmp_path / "model.engine", profiles=[{name: shape}], tf32=False, ops="plugin")
    )
    for dims in ((1, 3, 128, 128), (2, 3, 200, 160), (1, 3, 64, 64), (1, 3, 68, 132), (1, 3, 128, 128)):
        feeds = Network(31, shapes={name: dims}).feeds(model)
        result = compare(model, report.engine, feeds, TOLERANCE["fp32"])
        assert result.passed, f"{dims}: {result.render()}"


def network_inputs(model: Path) -> dict[str, object]:
    import onnx

    from trtconv.model.walking import describe_inputs

    return dict(describe_inputs(onnx.load(model)))


def layer_types(engine_path: Path) -> list[str]:
    """Return what the engine inspector says of each layer's type."""
    import tensorrt as trt

    inspector = load_engine(engine_path).create_engine_inspector()
    layers = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))["Layers"]
    return [layer["LayerType"] for layer in layers]


def record(model: Path, network: Network, tf32: bool, result: ComparisonReport) -> None:
    """Print one line a network, for `pytest -s`."""
    worst = max(result.outputs, key=lambda output: output.relative_error)
    kind = "tf32" if tf32 else network.dtype
    print(f"\nRESULT {model.name} {kind} plugins={network.num_plugins} relative_error={worst.relative_error:.3g}")


def _config(network: Network, output: Path, *, tf32: bool, ops: str = "plugin") -> BuildConfig:
    shapes = {name: ShapeRange(tuple(dims), tuple(dims), tuple(dims)) for name, dims in network.shapes.items()}
    level = os.environ.get(OPT_LEVEL_VARIABLE)
    return BuildConfig(
        output=output,
        profiles=[shapes] if shapes else [],
        backend="tensorrt",
        opt_level=None if level is None else int(level),
        tf32=tf32,
        ops=ops,
    )
