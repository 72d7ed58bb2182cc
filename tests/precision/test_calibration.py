"""What the calibration sees of a network, and what it feeds in when nobody gives data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from trtconv.errors import ConfigError, ModelError
from trtconv.precision.calibration import Arrays, Range, make_feeds, measure

HEADER = '<ir_version: 8, opset_import: ["": 17]> g '
X = np.array([-3.0, 0.5, 2.0], dtype=np.float32)


def ranges(
    body: str, names: list[str], *feeds: Arrays, arguments: tuple[str, ...] = (), folder: Path = Path()
) -> dict[str, Range]:
    model = onnx.parser.parse_model(HEADER + body)
    return measure(model, folder, names, arguments, feeds or [{"x": X}])


def test_extremes_of_inputs_and_inner_tensors() -> None:
    found = ranges("(float[3] x) => (float[3] y) { t = Mul(x, x)  y = Neg(t) }", ["x", "t", "y"])
    assert found == {"x": Range(3.0), "t": Range(9.0), "y": Range(9.0)}


def test_smallest_magnitude_of_arguments_alone() -> None:
    found = ranges("(float[3] x) => (float[3] y) { t = Neg(x)  y = Div(x, t) }", ["x", "t"], arguments=("t",))
    assert found == {"x": Range(3.0), "t": Range(3.0, 0.5)}


def test_the_widest_of_several_input_sets_counts() -> None:
    feeds = [{"x": X * factor} for factor in (1, 100, 0.01)]
    body = "(float[3] x) => (float[3] y) { y = Neg(x) }"
    assert ranges(body, ["y"], *feeds, arguments=("y",))["y"] == Range(300.0, pytest.approx(0.005))


def test_infinity_counts_and_nan_does_not_where_another_input_set_gives_numbers() -> None:
    body = "(float[3] x) => (float[3] y) { t = Sub(x, x)  r = Reciprocal(t)  n = Div(x, x)  y = Add(r, n) }"
    zeros = {"x": np.zeros(3, np.float32)}
    assert ranges(body, ["r", "n"], {"x": X}, zeros) == {"r": Range(np.inf), "n": Range(1.0)}
    assert ranges(body, ["n"], zeros)["n"] == Range(np.inf, 0.0), "NaN for every input set: nothing is known"


def test_a_tensor_without_elements_has_no_extremes() -> None:
    body = "(float[3] x) => (float[n] y) <int64[1] zero = {0}> { t = Slice(x, zero, zero)  y = Concat<axis = 0>(x, t) }"
    assert ranges(body, ["t", "y"]) == {"t": Range(0.0), "y": Range(3.0)}


def test_scalars_and_old_opsets() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 4, opset_import: ["": 9]> g (float[3] x) => (float y) { y = ReduceSum<keepdims = 0>(x) }'
    )
    assert measure(model, Path(), ["y"], ["y"], [{"x": X}])["y"] == Range(0.5, 0.5)


def test_external_weights(tmp_path: Path) -> None:
    body = "(float[3] x) => (float[3] y) <float[3] w = {1, 2, 70000}> { y = Mul(x, w) }"
    model = onnx.parser.parse_model(HEADER + body)
    weights = onnx.numpy_helper.from_array(np.array([1, 2, 70000], np.float32), "w")
    model.graph.initializer[0].CopyFrom(weights)  # as raw data, which alone can be external
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0)
    light = onnx.load(path, load_external_data=False)
    assert light.graph.initializer[0].external_data
    assert measure(light, tmp_path, ["y"], [], [{"x": X}])["y"] == Range(140000.0)


def test_what_does_not_run_is_told() -> None:
    with pytest.raises(ModelError, match="cannot be calibrated for fp16, ONNX Runtime does not run it") as caught:
        ranges("(float[3] x) => (float[3] y) { y = Add(x, x) }", ["y"], {"x": np.zeros(4, np.float32)})
    assert "--precision bf16" in str(caught.value.hint)
    with pytest.raises(ModelError, match="does not run it"):
        ranges("(float[3] x) => (float[3] y) { y = Crop(x) }", ["y"])


def test_feeds_look_like_pictures_sounds_and_silence() -> None:
    model = onnx.parser.parse_model(
        HEADER + "(float[N,3,32,48] image, float[1,16000] sound, int64[2] index, bool[2] mask, float s) => (float s2)"
        "{ s2 = Neg(s) }"
    )
    feeds = make_feeds(model, {"image": (2, 3, 32, 48)})
    assert [feed["image"].shape for feed in feeds] == [(2, 3, 32, 48)] * 3
    assert all(feed["image"].min() >= 0 and feed["image"].max() <= 255 for feed in feeds)
    assert feeds[0]["image"].max() > 250
    assert feeds[1]["sound"].min() >= -1
    assert abs(feeds[1]["sound"]).max() == 1
    assert not feeds[2]["sound"].any()
    assert {int(value) for feed in feeds for value in feed["index"]} <= {0, 1}
    assert [feed["mask"].dtype for feed in feeds] == [np.dtype(bool)] * 3
    assert all(feed["s"].shape == () for feed in feeds)
    again = make_feeds(model, {"image": (2, 3, 32, 48)})
    assert all(np.array_equal(feeds[0][name], again[0][name]) for name in feeds[0])


def test_natural_feeds_change_slowly() -> None:
    model = onnx.parser.parse_model(HEADER + "(float[1,3,64,64] x) => (float[1,3,64,64] y) { y = Neg(x) }")
    white, natural, _ = make_feeds(model)

    def roughness(x: np.ndarray) -> float:
        return float(np.abs(np.diff(x, axis=-1)).mean() / x.std())

    assert roughness(natural["x"]) < roughness(white["x"]) / 2


def test_a_dynamic_input_needs_a_shape() -> None:
    model = onnx.parser.parse_model(HEADER + "(float[N,3] x) => (float[N,3] y) { y = Neg(x) }")
    with pytest.raises(ConfigError, match="input x has no fixed shape to calibrate with: Nx3"):
        make_feeds(model)


PEAK_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np, onnx
from trtconv.precision.calibration import measure
model = onnx.load(sys.argv[1])
names = [node.output[0] for node in model.graph.node]
feeds = [{"x": np.ones((1, 4, 1024, 1024), np.float32)}]
measure(model, Path(), names[:1], [], feeds)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
measure(model, Path(), names, names, feeds)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_number_of_tensors(tmp_path: Path) -> None:
    num_layers, tensor_kib = 30, 16 << 10
    nodes = [helper.make_node("Relu", [f"t{i}" if i else "x"], [f"t{i + 1}"]) for i in range(num_layers)]
    shape = [1, 4, 1024, 1024]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info(f"t{num_layers}", 1, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    command = [sys.executable, "-c", PEAK_MEMORY, str(tmp_path / "m.onnx")]
    grown_kib = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert grown_kib < 4 * tensor_kib, "all of them together would be 30"
