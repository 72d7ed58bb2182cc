"""Convolutions written as their phases: their weights, and what is told of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support import command_line
from tests.support.convolutions import PLAIN, make_model, random_weights
from tests.support.equivalence import assert_close, rewrite, run_onnxruntime, seeded_inputs
from trtconv import BuildConfig, dry_run
from trtconv.decisions import REWRITTEN
from trtconv.model import functions
from trtconv.ops.custom_op import DOMAIN

UPSAMPLED = [
    helper.make_node("Resize", ["x", "", "f"], ["u"], name="up", mode="nearest", **PLAIN),
    helper.make_node("Conv", ["u", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
    helper.make_node("InstanceNormalization", ["c", "s", "s"], ["y"], name="norm"),
]


def upsampled_model(weights: np.ndarray, dtype: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """Return x [1, C, 6, 5] of some type upsampled by 2, a 3x3 convolution and a norm."""
    kind = weights.dtype
    constants = {"f": np.array([1, 1, 2, 2], np.float32), "w": weights, "s": np.ones(len(weights)).astype(kind)}
    model = make_model(UPSAMPLED, constants, [1, weights.shape[1], 6, 5])
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = dtype
    del model.graph.value_info[:]
    return model


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def test_figures_and_the_growth_of_the_weights_are_told(tmp_path: Path) -> None:
    path = saved(upsampled_model(random_weights(20, 3, 3, 3)), tmp_path)
    done = command_line.run("rewrite", path, "-o", tmp_path / "made.onnx", "--ops", "rewritten", "--json")
    (told,) = (each for each in json.loads(done.stdout)["decisions"] if each["node"] == "conv")
    assert told["became"] == REWRITTEN
    assert told["reason"] == "computed before the upsampling by 2x2"
    weights = 20 * 3 * 3 * 3
    assert told["figures"] == {
        "phases": [2, 2],
        "weight_bytes_before": 4 * weights,
        "weight_bytes_after": 4 * 4 * weights,
        "multiply_adds_before": weights * 12 * 10,
        "multiply_adds_after": 4 * weights * 6 * 5,
    }
    shown = command_line.run("rewrite", path, "-o", tmp_path / "made.onnx", "--ops", "rewritten").stdout
    assert "rewritten  1 Conv: computed before the upsampling by 2x2 [conv]" in shown
    assert "weights    2.1 KiB -> 8.4 KiB in 1 rewritten convolution" in shown
    inspected = command_line.run("inspect", path, "--ops", "rewritten").stdout
    assert "Convolutions that could be rewritten for speed" in inspected
    fused = command_line.run("rewrite", path, "-o", tmp_path / "made.onnx", "--ops", "fused").stdout
    assert "Conv" not in fused.replace("conv]", "")


def test_a_decision_file_keeps_a_convolution_native(tmp_path: Path) -> None:
    path, plan = saved(upsampled_model(random_weights(20, 3, 3, 3)), tmp_path), tmp_path / "plan.json"
    config = BuildConfig(ops="rewritten", backend="tensorrt", decisions=plan)
    first = {each.node: each.became for each in dry_run(path, config).decisions}
    assert first == {"conv": REWRITTEN, "up": REWRITTEN, "norm": "trtconv::InstanceNorm"}
    document = json.loads(plan.read_text())
    for each in document["decisions"]:
        each["became"] = each["became"] if each["node"] == "norm" else None
    plan.write_text(json.dumps(document))
    assert {each.node: each.became for each in dry_run(path, config).decisions if each.node != "norm"} == {
        "conv": None,
        "up": None,
    }


@pytest.mark.parametrize(("value", "reason"), [(np.nan, "not all of its weights are finite"), (4e4, "sums of its")])
def test_weights_that_cannot_be_summed_stay(value: float, reason: str, tmp_path: Path) -> None:
    """Each phase of an upsampled convolution adds up neighbours, which fp16 may not hold."""
    model = upsampled_model(np.full((20, 1, 3, 3), value, np.float16), TensorProto.FLOAT16)
    (decision,) = (each for each in rewrite(model, tmp_path, ops="rewritten").decisions if each.node == "conv")
    assert decision.became is None
    assert reason in decision.reason


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16], ids=lambda dtype: dtype.__name__)
def test_weights_are_summed_in_float64_and_rounded_once(dtype: Any, tmp_path: Path) -> None:
    weights = (random_weights(20, 3, 3, 3) * 100).astype(dtype)
    onnx_type = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    made = rewrite(upsampled_model(weights, onnx_type), tmp_path, ops="rewritten").proto
    (new,) = (numpy_helper.to_array(each) for each in made.graph.initializer if each.name.endswith("weights_of_phases"))
    assert new.dtype == dtype
    exact = weights.astype(np.float64)
    corner = exact[:, :, 0, 0]  # the first phase meets the first row alone, then the sum of the other two
    edge = exact[:, :, 0, 1:].sum(axis=2)
    inner = exact[:, :, 1:, 1:].sum(axis=(2, 3))
    for at, wanted in (((0, 0), corner), ((0, 1), edge), ((1, 1), inner)):
        assert np.array_equal(new[:20, :, at[0], at[1]], wanted.astype(dtype))
    assert not new[:20, :, 2].any()


def test_weights_of_an_external_file_are_read_and_written(tmp_path: Path) -> None:
    model = upsampled_model(random_weights(20, 3, 3, 3))
    feeds = seeded_inputs(model)
    expected = run_onnxruntime(model, feeds)
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    output = tmp_path / "out" / "made.onnx"
    output.parent.mkdir()
    command_line.run("rewrite", path, "-o", output, "--ops", "rewritten")
    assert_close(run_onnxruntime(onnx.load(output), feeds), expected)


@pytest.mark.parametrize("spoil", ["phases", "crop", "weights", "pads"])
def test_wrong_phases_are_found(spoil: str, tmp_path: Path) -> None:
    nodes = [UPSAMPLED[0], helper.make_node("Conv", ["u", "w"], ["c"], pads=[1, 0, 0, 1]), UPSAMPLED[2]]
    constants = {
        "f": np.array([1, 1, 2, 3], np.float32),
        "w": random_weights(20, 3, 3, 3),
        "s": np.ones(20, np.float32),
    }
    model = make_model(nodes, constants, [1, 3, 6, 5])
    made = rewrite(model, tmp_path, ops="rewritten").proto
    feeds = seeded_inputs(model)
    expected = run_onnxruntime(model, feeds)
    assert_close(run_onnxruntime(made, feeds), expected)
    (conv,) = (node for node in made.graph.node if node.op_type == "Conv")
    (norm,) = (node for node in made.graph.node if node.domain == DOMAIN)
    attributes = {each.name: each for each in (*conv.attribute, *norm.attribute)}
    conv_pads = next(each for each in conv.attribute if each.name == "pads")
    if spoil == "phases":
        attributes["phases"].ints[:] = [3, 2]
        attributes["crop"].ints[:] = [0, 0]
    elif spoil == "crop":
        attributes["crop"].ints[:] = [0, 0]
    elif spoil == "pads":
        conv_pads.ints[:] = conv_pads.ints[2:] + conv_pads.ints[:2]
    else:
        (weights,) = (each for each in made.graph.initializer if each.name.endswith("weights_of_phases"))
        weights.CopyFrom(numpy_helper.from_array(np.roll(numpy_helper.to_array(weights), 20, axis=0), weights.name))
    functions.attach_functions(made)
    with pytest.raises(AssertionError):
        assert_close(run_onnxruntime(made, feeds), expected)
