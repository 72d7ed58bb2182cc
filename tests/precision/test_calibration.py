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
from trtconv.inputs.made_inputs import make_feeds
from trtconv.precision import Conversion, PrecisionOptions, convert_precision
from trtconv.precision.calibration import NAN, Arrays, Calibration, InputSet, Range, name_given, name_made
from trtconv.precision.float_graph import FloatGraph
from trtconv.precision.value_ranges import observe

HEADER = '<ir_version: 8, opset_import: ["": 17]> g '
X = np.array([-3.0, 0.5, 2.0], dtype=np.float32)


def ranges(
    body: str, names: list[str], feed: Arrays | None = None, arguments: tuple[str, ...] = ()
) -> dict[str, Range]:
    model = onnx.parser.parse_model(HEADER + body)
    return Calibration(model, Path(), names, arguments).see(feed or {"x": X})


def observed(body: str, *feeds: Arrays) -> dict[str, Range]:
    graph = FloatGraph(onnx.parser.parse_model(HEADER + body), Path())
    return dict(observe(graph, name_given(feeds), are_made=False).ranges)


def test_extremes_of_inputs_and_inner_tensors() -> None:
    found = ranges("(float[3] x) => (float[3] y) { t = Mul(x, x)  y = Neg(t) }", ["x", "t", "y"])
    assert found == {"x": Range(3.0), "t": Range(9.0), "y": Range(9.0)}


def test_smallest_magnitude_of_arguments_alone() -> None:
    found = ranges("(float[3] x) => (float[3] y) { t = Neg(x)  y = Div(x, t) }", ["x", "t"], arguments=("t",))
    assert found == {"x": Range(3.0), "t": Range(3.0, 0.5)}


def test_the_widest_of_several_input_sets_counts() -> None:
    feeds = [{"x": X * factor} for factor in (1, 100, 0.01)]
    found = observed("(float[3] x) => (float[3] y) { y = Reciprocal(x) }", *feeds)
    assert found["x"] == Range(300.0, pytest.approx(0.005))


def test_infinity_counts_and_nan_does_not_where_another_input_set_gives_numbers() -> None:
    body = "(float[3] x) => (float[3] y) { t = Sub(x, x)  r = Reciprocal(t)  n = Div(x, x)  y = Add(r, n) }"
    zeros = {"x": np.zeros(3, np.float32)}
    found = observed(body, {"x": X}, zeros)
    assert (found["r"].max_abs, found["n"].max_abs) == (np.inf, 1.0)
    assert observed(body, zeros)["n"].unknown, "NaN for every input set: nothing is known"


@pytest.mark.parametrize("position", range(3))
def test_one_nan_among_numbers_is_nan(position: int) -> None:
    """ONNX Runtime's ReduceMax passes over NaN that does not come first."""
    x = np.delete(np.insert(X, position, np.nan), 3)
    found = ranges("(float[3] x) => (float[3] y) { y = Neg(x) }", ["x", "y"], {"x": x})
    assert found == {"x": NAN, "y": NAN}
    both = ranges(
        "(float[3] x) => (float[3] y) { y = Neg(x) }", ["y"], {"x": np.array([np.inf, -np.inf, 1], np.float32)}
    )
    assert both["y"] == Range(np.inf), "whose sum is NaN"


def test_a_tensor_without_elements_has_no_extremes() -> None:
    body = "(float[3] x) => (float[n] y) <int64[1] zero = {0}> { t = Slice(x, zero, zero)  y = Concat<axis = 0>(x, t) }"
    assert ranges(body, ["t", "y"]) == {"t": Range(0.0), "y": Range(3.0)}


def test_scalars_and_old_opsets() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 4, opset_import: ["": 9]> g (float[3] x) => (float y) { y = ReduceSum<keepdims = 0>(x) }'
    )
    assert Calibration(model, Path(), ["y"], ["y"]).see({"x": X})["y"] == Range(0.5, 0.5)


def test_external_weights(tmp_path: Path) -> None:
    body = "(float[3] x) => (float[3] y) <float[3] w = {1, 2, 70000}> { y = Mul(x, w) }"
    model = onnx.parser.parse_model(HEADER + body)
    weights = onnx.numpy_helper.from_array(np.array([1, 2, 70000], np.float32), "w")
    model.graph.initializer[0].CopyFrom(weights)  # as raw data, which alone can be external
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0)
    light = onnx.load(path, load_external_data=False)
    assert light.graph.initializer[0].external_data
    assert Calibration(light, tmp_path, ["y"], []).see({"x": X})["y"] == Range(140000.0)


def test_what_does_not_run_is_told() -> None:
    with pytest.raises(ModelError, match="cannot be calibrated for fp16, ONNX Runtime does not run it") as caught:
        ranges("(float[3] x) => (float[3] y) { y = Add(x, x) }", ["y"], {"x": np.zeros(4, np.float32)})
    assert "--precision bf16" in str(caught.value.hint)
    with pytest.raises(ModelError, match="does not run it"):
        ranges("(float[3] x) => (float[3] y) { y = Crop(x) }", ["y"])


# A power spectrum: noise gives NaN behind the root, zeros give 0, and data in [0, 1] pass fp16's range at `wide`.
POWER = """(float[2,4] x) => (float[2,4] y) <float[4,4] a, float[4,4] b, float[4,4] c> {
    [smooth] s = MatMul(x, a) [root] r = ROOT [wide] w = MatMul(r, b) [head] y = MatMul(w, c) }"""


def power(root: str = "Sqrt(s)", value: float = 3e4) -> onnx.ModelProto:
    body = POWER.replace("ROOT", root)
    for name, weight in (("a", 0.25), ("b", value), ("c", 1e-3)):
        body = body.replace(f"float[4,4] {name}", f"float[4,4] {name} = {{{','.join([str(weight)] * 16)}}}")
    return onnx.parser.parse_model(HEADER + body)


def convert_made(model: onnx.ModelProto) -> Conversion:
    return convert_precision(model, Path("model.onnx"), PrecisionOptions("fp16"), make_feeds(model), are_made=True)


def kept(conversion: Conversion) -> dict[str, str]:
    return {node.address: node.reason for node in conversion.kept}


def test_made_inputs_that_are_nan_are_followed_by_some_in_the_unit_interval() -> None:
    conversion = convert_made(power())
    assert kept(conversion).keys() == {"wide", "head"}
    assert kept(conversion)["head"].startswith("w reaches")
    assert conversion.warnings == [
        "made-up white noise gives NaN from r (root) on, so what follows is judged by inputs in [0, 1]: "
        "give real inputs with --calibration"
    ]
    real = {"x": np.random.default_rng(1).uniform(0, 1, (2, 4)).astype(np.float32)}
    given = convert_precision(power(), Path("model.onnx"), PrecisionOptions("fp16"), [real])
    assert kept(given).keys() == {"wide", "head"}
    assert not given.warnings


def test_what_is_nan_for_all_but_zeros_is_unknown() -> None:
    """Neither noise nor [0, 1] lies above 1."""
    model = power("Acosh(s)")
    observed = observe(FloatGraph(power("Acosh(s)"), Path()), name_made(make_feeds(model)), are_made=True)
    assert {name for name, found in observed.ranges.items() if found.unknown} == {"r", "w", "y"}
    conversion = convert_made(power("Acosh(s)", value=1.0))
    assert kept(conversion)["wide"] == "r is unknown: it is NaN for every made-up input set except zeros"
    assert kept(conversion).keys() == {"root", "wide", "head"}
    assert "made-up white noise, natural noise, zeros and inputs in [0, 1] give NaN from r" in conversion.warnings[0]
    assert "so what follows is unknown and stays fp32" in conversion.warnings[0]


def test_zeros_alone_prove_nothing() -> None:
    """Zero is a legal input of this one, and nothing else that is made up is."""
    ones = ",".join(["1"] * 16)
    text = f"(float[2,4] x) => (float[2,4] y) <float[4,4] w = {{{ones}}}> {{ BODY y = MatMul(q, w) }}"
    model = onnx.parser.parse_model(HEADER + text.replace("BODY", "a = Abs(x) m = Neg(a) q = Sqrt(m)"))
    graph = FloatGraph(model, Path())
    found = observe(graph, name_made(make_feeds(model)), are_made=True)
    assert {name for name, each in found.ranges.items() if each.unknown} == {"q", "y"}
    assert len(found.warnings) == 1
    given = observe(graph, name_given([{"x": np.zeros((2, 4), np.float32)}]), are_made=False)
    assert not any(each.unknown for each in given.ranges.values()), "a user's own sets decide alone"
    assert not given.warnings


def test_a_branch_that_zeros_alone_take_is_measured_with_other_inputs() -> None:
    body = """(float[4] x) => (float[4] y) <float big = {1000}> {
        a = Abs(x) s = ReduceSum<keepdims = 0>(a) c = Cast<to = 9>(s)
        y = If(c) <then_branch = t () => (float[4] p) { p = Neg(x) },
                   else_branch = e () => (float[4] q) { q = Mul(x, big) }> }"""
    model = onnx.parser.parse_model(HEADER.replace("17", "11") + body)
    found = observe(FloatGraph(model, Path()), name_made(make_feeds(model)), are_made=True)
    assert not any(each.unknown for each in found.ranges.values())
    assert 100 < found.ranges["q"].max_abs < 1e4


def test_inputs_without_elements_are_not_zeros() -> None:
    model = onnx.parser.parse_model(HEADER + "(float[0,4] x) => (float[0,4] y) { y = Neg(x) }")
    found = observe(FloatGraph(model, Path()), name_made(make_feeds(model)), are_made=True)
    assert found.ranges == {"x": Range(0.0), "y": Range(0.0)}


def test_nan_of_a_users_input_set_is_told() -> None:
    good, bad = np.full((2, 4), 0.5, np.float32), np.full((2, 4), -0.5, np.float32)
    feeds = [{"x": good}, {"x": bad}]
    conversion = convert_precision(power(), Path("model.onnx"), PrecisionOptions("fp16"), feeds)
    assert conversion.warnings == [
        "calibration input set 2 gives NaN from r (root) on, so what follows is judged by the other input sets: "
        "check these inputs"
    ]
    alone = convert_precision(power(value=1.0), Path("model.onnx"), PrecisionOptions("fp16"), feeds[1:])
    assert kept(alone).keys() == {"root", "wide", "head"}
    assert "unknown and stays fp32" in alone.warnings[0]
    bad[0, 0] = np.nan
    graph = FloatGraph(power(), Path())
    (warning,) = observe(graph, [InputSet("mine", {"x": bad})], are_made=False).warnings
    assert warning.startswith("mine gives NaN from the input x on")


def test_infinity_that_a_model_brings_along_is_no_news() -> None:
    """A mask of -inf before Softmax is how attention is written."""
    model = power("Add(s, mask)", value=1.0)
    mask = np.zeros((2, 4), np.float32)
    mask[:, 3] = -np.inf
    model.graph.initializer.append(onnx.numpy_helper.from_array(mask, "mask"))
    del model.graph.node[2:]
    model.graph.node.extend([onnx.helper.make_node("Softmax", ["r"], ["y"])])
    assert not convert_made(model).warnings


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
    with pytest.raises(ConfigError, match="input x has dynamic dimensions and no shape: \\[N, 3\\]"):
        make_feeds(model)


PEAK_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np, onnx
from trtconv.precision.calibration import Calibration
model = onnx.load(sys.argv[1])
names = [node.output[0] for node in model.graph.node]
feeds = [{"x": np.ones((1, 4, 1024, 1024), np.float32)}]
Calibration(model, Path(), names[:1], []).see(feeds[0])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
Calibration(model, Path(), names, names).see(feeds[0])
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
