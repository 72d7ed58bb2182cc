"""Comparing, bisecting and verifying engines: what trtconv does around them, with stand-ins for TensorRT's part."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import trtconv
from models.make_models import make
from tests.support.command_line import contents, run
from tests.support.comparison_models import write_network
from tests.support.onnx_engine import FakeTensorRT
from trtconv import BuildConfig, CompareConfig
from trtconv.comparison import bisection
from trtconv.errors import AccuracyError, BackendError, ConfigError
from trtconv.manifest import manifest_path, read_manifest
from trtconv.shapes import parse_profiles


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    return FakeTensorRT(monkeypatch)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_network(tmp_path / "model.onnx")


def engine_of(model: Path, **options: Any) -> Path:
    given = {"ops": "plugin"} | options
    return trtconv.build(model, BuildConfig(output=model.with_suffix(".engine"), **given)).engine


def unread_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a build not read types back from what TensorRT made."""
    monkeypatch.setattr("trtconv.convert.require_precision", lambda *_: None)
    monkeypatch.setattr("trtconv.convert.read_engine", lambda *_: None)


def swap_scale_and_bias(proto: onnx.ModelProto) -> None:
    node = next(node for node in proto.graph.node if node.op_type == "InstanceNorm")
    node.input[1], node.input[2] = node.input[2], node.input[1]


def change_pads(change: Callable[[list[int]], list[int]]) -> Callable[[onnx.ModelProto], None]:
    def spoil(proto: onnx.ModelProto) -> None:
        pads = next(node.attribute for node in proto.graph.node if node.op_type == "ReflectPad")[0].ints
        pads[:] = change(list(pads))

    return spoil


def test_an_engine_that_is_right(model: Path, tensorrt: FakeTensorRT) -> None:
    report = trtconv.compare(model, engine_of(model))
    assert report.passed
    assert report.candidate == str(model.with_suffix(".engine"))
    assert report.notes == []
    assert {node.op_type for node in tensorrt.built[0].graph.node} >= {"InstanceNorm", "ReflectPad"}


@pytest.mark.parametrize(
    ("options", "of_max", "why"),
    [
        ({}, 5e-3, "fp32 with TF32 (from its manifest)"),
        ({"tf32": False}, 1e-4, "fp32 without TF32"),
        ({"tf32": True}, 5e-3, "fp32 with TF32"),
    ],
)
def test_the_tolerance_is_that_of_the_precision(
    model: Path, tensorrt: FakeTensorRT, options: dict[str, Any], of_max: float, why: str
) -> None:
    report = trtconv.compare(model, engine_of(model, **options))
    assert report.outputs[0].tolerance.of_max == of_max
    assert why in report.basis


@pytest.mark.parametrize(("precision", "of_max"), [("fp16", 2e-2), ("bf16", 5e-2)])
def test_the_tolerance_of_16_bits_is_in_the_manifest(
    model: Path, tensorrt: FakeTensorRT, precision: str, of_max: float
) -> None:
    engine = engine_of(model)
    content = json.loads(manifest_path(engine).read_text())
    content["options"]["precision"] = precision
    manifest_path(engine).write_text(json.dumps(content))
    report = trtconv.compare(model, engine)
    assert report.outputs[0].tolerance.of_max == of_max
    assert f"the engine is {precision} (from its manifest)" in report.basis


def test_an_engine_without_a_manifest(model: Path, tensorrt: FakeTensorRT) -> None:
    engine = engine_of(model, tf32=False)
    manifest_path(engine).unlink()
    report = trtconv.compare(model, engine)
    assert report.passed
    assert "TensorRT's default, as there is no manifest" in report.basis
    assert report.notes[0].startswith("there is no manifest beside the engine")
    tensorrt.spoil = swap_scale_and_bias
    with pytest.raises(ConfigError, match="there is no manifest, which says how the engine was built"):
        trtconv.compare(write_network(model, parameters="b, s"), engine, CompareConfig(bisect=True))


FLOAT64 = """<ir_version: 8, opset_import: ["" : 17]>
g (float[2,4] x, double scale) => (double[2,4] y) { s = Cast<to = 1>(scale) m = Mul(x, s) y = Cast<to = 11>(m) }"""


def parse_as_tensorrt(proto: onnx.ModelProto) -> None:
    """Take float64 as float32, as TensorRT's parser does."""
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    for node in proto.graph.node:
        for attribute in node.attribute:
            attribute.i = onnx.TensorProto.FLOAT


@pytest.mark.parametrize("is_given", [False, True])
def test_an_engine_of_a_model_with_float64(tmp_path: Path, tensorrt: FakeTensorRT, is_given: bool) -> None:
    model, inputs = tmp_path / "model.onnx", tmp_path / "inputs.npz"
    onnx.save(onnx.parser.parse_model(FLOAT64), model)
    np.savez(inputs, x=np.ones((2, 4)), scale=np.array(1 / 3))
    tensorrt.spoil = parse_as_tensorrt
    report = trtconv.build(model, BuildConfig(verify=True))
    assert report.manifest.verified is not None
    compared = trtconv.compare(model, report.engine, CompareConfig(inputs=[inputs] if is_given else []))
    assert compared.passed
    assert compared.notes == [
        "input scale: float64 for the reference, float32 for the candidate",
        "output y: float32, float64 in the reference",
    ]
    if is_given:
        assert compared.outputs[0].max_abs_error == pytest.approx(abs(1 / 3 - np.float32(1 / 3)))


def test_an_engine_of_another_model_is_noted(model: Path, tensorrt: FakeTensorRT) -> None:
    other = write_network(model.with_name("other.onnx"), epsilon="0.00002")
    assert "is not the model.onnx that the engine was built from" in trtconv.compare(other, engine_of(model)).notes[0]


@pytest.mark.parametrize(
    ("spoil", "tensor", "node"),
    [
        (swap_scale_and_bias, "n", "/norm"),
        (change_pads(lambda pads: [*pads[4:], *pads[:4]]), "p", "/pad"),
        (change_pads(lambda pads: [pads[axis] for axis in (0, 1, 3, 2, 4, 5, 7, 6)]), "p", "/pad"),
    ],
    ids=["scale and bias swapped", "begins and ends swapped", "axes swapped"],
)
def test_bisect_builds_anew_and_names_the_layer(
    model: Path, tensorrt: FakeTensorRT, spoil: Callable[[onnx.ModelProto], None], tensor: str, node: str
) -> None:
    tensorrt.spoil = spoil
    report = trtconv.compare(model, engine_of(model, tf32=False), CompareConfig(bisect=True))
    assert not report.passed
    assert report.bisection is not None
    assert (report.bisection.tensor, report.bisection.node) == (tensor, node)
    assert len(tensorrt.built) == 2
    assert "built anew from model.onnx" in report.bisection.detail


def test_bisect_uses_the_model_that_the_engine_was_built_from(model: Path, tensorrt: FakeTensorRT) -> None:
    engine = engine_of(write_network(model.with_name("wrong.onnx"), parameters="b, s"))
    report = trtconv.compare(model, engine, CompareConfig(bisect=True))
    assert report.bisection is not None
    assert report.bisection.node == "/norm"
    assert report.bisection.candidate_op == "trtconv::InstanceNorm"
    model.with_name("wrong.onnx").unlink()
    with pytest.raises(ConfigError, match=r"was built from wrong\.onnx, which is not here"):
        trtconv.compare(model, engine, CompareConfig(bisect=True))


def test_what_stayed_native_stays_so_in_the_bisection(model: Path, tensorrt: FakeTensorRT) -> None:
    engine = engine_of(model, keep_native=["/pad"])
    tensorrt.spoil = swap_scale_and_bias
    trtconv.compare(model, engine, CompareConfig(tolerance={"*": 0.0}, bisect=True))
    ops = [{node.op_type for node in built.graph.node} for built in tensorrt.built]
    assert "Pad" in ops[0]
    assert "InstanceNorm" in ops[0]
    assert all("Pad" in each and "ReflectPad" not in each for each in ops)
    assert len(ops) == 2


def test_bisect_says_so_where_every_tensor_agrees(model: Path, tensorrt: FakeTensorRT) -> None:
    """As where TensorRT fuses wrongly: with more outputs it does not."""
    tensorrt.spoil = swap_scale_and_bias
    engine = engine_of(model)
    tensorrt.spoil = lambda proto: None
    report = trtconv.compare(model, engine, CompareConfig(bisect=True))
    assert report.bisection is not None
    assert report.bisection.tensor is None
    assert report.bisection.num_compared == 6
    assert "the error arises after z" in report.bisection.detail
    assert "6 float tensors compared, none differs: the error arises after z" in report.render()


def test_bisect_goes_in_batches_where_tensors_are_large(
    model: Path, tensorrt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bisection, "MAX_BATCH_BYTES", 2 * 4 * 2 * 12 * 16)
    tensorrt.spoil = change_pads(lambda pads: [*pads[4:], *pads[:4]])
    report = trtconv.compare(model, engine_of(model), CompareConfig(bisect=True))
    assert report.bisection is not None
    assert (report.bisection.tensor, report.bisection.num_compared) == ("p", 4)
    outputs = [[each.name for each in built.graph.output] for built in tensorrt.built]
    assert [len(names) for names in outputs] == [2, 2 + 2, 2 + 1, 2 + 1]


def test_a_precision_is_kept_in_the_bisection(
    tmp_path: Path, tensorrt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread_precision(monkeypatch)
    model = tmp_path / "model.onnx"
    onnx.save(make("fast_neural_style", channels=4, height=24, width=32), model)
    options = {"precision": "fp16", "keep_fp32": ["/res5/*"], "opt_level": 2, "tf32": False}
    engine = engine_of(model, **options)
    report = trtconv.compare(model, engine, CompareConfig(tolerance={"*": 0.0}, bisect=True))
    assert report.bisection is not None
    assert "stay fp32 than in the engine" not in report.bisection.detail
    types = [
        {value.name: value.type.tensor_type.elem_type for value in built.graph.value_info} for built in tensorrt.built
    ]
    assert types[0] == types[1]
    assert onnx.TensorProto.FLOAT16 in types[0].values()
    content = read_manifest(engine)
    assert content is not None
    config = content.config()
    assert (config.precision, config.tf32, config.opt_level, config.ops) == ("fp16", False, 2, "native")


# Shapes and profiles. -----------------------------------------------------------------------------------------------


def test_the_profiles_of_the_engine_say_what_is_run(tmp_path: Path, tensorrt: FakeTensorRT) -> None:
    model = write_network(tmp_path / "model.onnx", batch="N")
    profiles = parse_profiles(["x=1x2x12x16:2x2x12x16:3x2x12x16", None, "x=4x2x12x16:5x2x12x16:6x2x12x16"])
    engine = engine_of(model, profiles=profiles)
    report = trtconv.compare(model, engine, CompareConfig(num_sets=1))
    assert list(report.input_sets) == ["random 1, profile 1", "random 1, profile 2"]
    assert tensorrt.loaded[-1].profiles_used == [0, 1]
    report = trtconv.compare(model, engine, CompareConfig(num_sets=1, all_shapes=True))
    assert len(report.input_sets) == 6
    assert tensorrt.loaded[-1].profiles_used == [0, 0, 0, 1, 1, 1]
    trtconv.compare(model, engine, CompareConfig(num_sets=1, profiles=parse_profiles(["x=6x2x12x16"])))
    assert tensorrt.loaded[-1].profiles_used == [1]


def test_an_engine_of_one_shape_is_compared_at_that_shape(tmp_path: Path, tensorrt: FakeTensorRT) -> None:
    model = write_network(tmp_path / "model.onnx", batch="n")
    engine = engine_of(model, profiles=parse_profiles(["x=3x2x12x16"]))
    tensorrt.loaded.clear()
    report = trtconv.compare(model, engine)
    assert report.passed
    assert tensorrt.loaded[-1].get_tensor_shape("x") == (3, 2, 12, 16), "TensorRT fixes what has one size"
    assert list(report.input_sets) == ["random 1", "random 2"]
    with pytest.raises(ConfigError, match="x is 1x2x12x16, expected 3x2x12x16"):
        trtconv.compare(model, engine, CompareConfig(profiles=parse_profiles(["x=1x2x12x16"])))


def test_shapes_that_no_profile_holds(tmp_path: Path, tensorrt: FakeTensorRT) -> None:
    model = write_network(tmp_path / "model.onnx", batch="N")
    engine = engine_of(model, profiles=parse_profiles(["x=1x2x12x16:2x2x12x16:3x2x12x16"]))
    with pytest.raises(ConfigError, match="no profile of the engine holds x=4x2x12x16") as caught:
        trtconv.compare(model, engine, CompareConfig(profiles=parse_profiles(["x=4x2x12x16"])))
    assert "x=1x2x12x16:2x2x12x16:3x2x12x16" in (caught.value.hint or "")


# build --verify. ----------------------------------------------------------------------------------------------------


def test_verify_keeps_an_engine_that_is_right(model: Path, tensorrt: FakeTensorRT) -> None:
    report = trtconv.build(model, BuildConfig(verify=True, tf32=False))
    verified = json.loads(report.manifest_path.read_text())["verified"]
    assert verified["input_sets"] == ["random 1", "random 2"]
    assert verified["relative_error"] <= 1e-4
    assert verified["tolerance"] == "0.0001 max|y|"
    assert "verified   2 input sets, worst output y: max|error|" in report.render()


def test_without_verify_the_manifest_says_nothing_of_it(model: Path, tensorrt: FakeTensorRT) -> None:
    report = trtconv.build(model)
    assert report.manifest.verified is None
    assert "verified" not in report.render()


def test_verify_keeps_no_engine_that_is_wrong(model: Path, tensorrt: FakeTensorRT) -> None:
    trtconv.build(model)
    before = contents(model.parent)
    tensorrt.spoil = swap_scale_and_bias
    with pytest.raises(
        AccuracyError, match="--verify: the engine does not compute what the model does: output"
    ) as caught:
        trtconv.build(model, BuildConfig(verify=True, ops="plugin"))
    assert caught.value.exit_code == 1
    assert "allowed 0.005 max|y|" in caught.value.what
    assert "build with --no-tf32" in (caught.value.hint or "")
    assert contents(model.parent) == before
    with pytest.raises(AccuracyError) as caught:
        trtconv.build(model, BuildConfig(verify=True, ops="plugin", tf32=False))
    assert "tf32" not in (caught.value.hint or "")


def test_verify_takes_the_inputs_of_the_calibration(
    model: Path, tensorrt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread_precision(monkeypatch)
    inputs = model.with_name("inputs.npz")
    np.savez(inputs, x=np.random.default_rng(0).standard_normal((1, 2, 12, 16)).astype(np.float32))
    report = trtconv.build(model, BuildConfig(verify=True, precision="fp16", calibration=[inputs]))
    assert report.manifest.to_json()["verified"]["input_sets"] == [str(inputs)]
    assert report.manifest.to_json()["verified"]["tolerance"] == "0.02 max|y|"


def test_verify_runs_every_profile(tmp_path: Path, tensorrt: FakeTensorRT) -> None:
    model = write_network(tmp_path / "model.onnx", batch="N")
    profiles = parse_profiles(["x=1x2x12x16", None, "x=2x2x12x16:3x2x12x16:4x2x12x16"])
    report = trtconv.build(model, BuildConfig(verify=True, profiles=profiles))
    assert len(report.manifest.to_json()["verified"]["input_sets"]) == 4
    assert tensorrt.loaded[-1].profiles_used == [0, 0, 1, 1]


def test_verify_and_stripped_weights_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="cannot be compared"):
        BuildConfig(verify=True, strip_weights=True)


def test_verify_is_refused_where_no_gpu_runs_the_engine(model: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    before = contents(model.parent)
    result = run("build", model, "--backend", "tensorrt-rtx", "--gpu-arch", "sm_75", "--verify")
    assert result.exit_code == 4
    assert "--verify: an engine for sm_75 cannot be run" in result.error
    assert "trtconv compare MODEL ENGINE" in result.hint
    assert contents(model.parent) == before


def test_verify_needs_polygraphy_before_it_builds(
    model: Path, tensorrt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "polygraphy.logger", None)
    with pytest.raises(BackendError, match="comparisons need polygraphy"):
        trtconv.build(model, BuildConfig(verify=True))
    assert tensorrt.built == []
