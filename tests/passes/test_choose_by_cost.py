"""--ops auto: what is chosen for real graphs, that a user decides first, and that a manifest makes the graph again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from models.make_models import make
from tests.support.equivalence import assert_close, run_onnxruntime
from tests.support.tune_fakes import SHAPE, write_model
from trtconv import BuildConfig, dry_run, preparation, rewrite
from trtconv.config import EngineOptions
from trtconv.costs import tables
from trtconv.costs.tables import Noise, measured_tables
from trtconv.decisions import Decision
from trtconv.errors import ConfigError
from trtconv.gpu import driver
from trtconv.gpu.driver import Gpu
from trtconv.manifest import Manifest
from trtconv.model import model_io
from trtconv.passes import choose_by_cost
from trtconv.shapes import parse_profiles

LARGE = "x=1x4x64x64:64x4x64x64:64x4x64x64"
H200 = Gpu("NVIDIA H200", "sm_90", "13.0", 4917.0)


@pytest.fixture(autouse=True)
def on_an_h200(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "find_gpu", lambda: H200)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.onnx")


def auto(*shapes: str, **options: Any) -> BuildConfig:
    return BuildConfig(**{"backend": "tensorrt", "ops": "auto", "profiles": parse_profiles(shapes), **options})


def became(decisions: Sequence[Decision]) -> dict[str, str | None]:
    return {each.node: each.became for each in decisions}


def test_norms_of_a_style_network_take_their_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "style.onnx"
    onnx.save(make("fast_neural_style", height=1080, width=1920, dtype="fp16"), path)
    decisions = {each.node: each for each in dry_run(path, auto()).decisions}
    assert decisions["/conv1/Pad"].became == "trtconv::ReflectPad"
    assert decisions["/conv2/Pad"].became == decisions["/conv1/Relu"].became == "trtconv::InstanceNorm"
    figures = decisions["/conv2/Pad"].figures
    times = figures["predicted_us"]
    assert times["fused"] < times["plugin"] < times["native"]
    assert figures["times_of"] == "NVIDIA H200, 2026-11-29"


def test_a_small_norm_in_a_region_stays_native(tmp_path: Path) -> None:
    """As in xfeat: the norm of a picture of one channel that many slices and transposes read."""
    lines = [f"  s{index} = Slice <>(n, k{index}, k{index + 1}, a)" for index in range(16)]
    lines += [f"  u{index} = Transpose <perm: ints = [0, 1, 3, 2]> (s{index})" for index in range(16)]
    names = ", ".join(f"u{index}" for index in range(16))
    constants = ", ".join(f"int64[1] k{index} = {{{16 * index}}}" for index in range(17))
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[1,1,256,256] x) => (float[1,16,16,256] y)
        <float[1] s = {{1}}, float[1] b = {{0}}, int64[1] a = {{3}}, {constants}> {{
          [norm] n = InstanceNormalization (x, s, b)
        {chr(10).join(lines).replace("<>", "")}
          y = Concat <axis: int = 1> ({names})
        }}"""
    path = tmp_path / "patches.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    (decision,) = dry_run(path, auto()).decisions
    assert decision.became is None
    assert "TensorRT's own layer is predicted to be faster" in decision.reason
    times = decision.figures["predicted_us"]
    assert times["native"] < times["plugin"]


@pytest.mark.parametrize("fast", ["native", "norm", "pad", "both", "fused"])
def test_each_choice_is_what_the_passes_then_make(model: Path, monkeypatch: pytest.MonkeyPatch, fast: str) -> None:
    """The rates are changed so that one form wins by far, then the graph must be of that form."""
    (table,) = measured_tables()
    slow = {"native": (1, 9), "norm": (9, 1), "pad": (9, 1), "both": (9, 1), "fused": (9, 1)}[fast]
    rates = {}
    for name, rate in table.rates.items():
        factor = 1000.0
        if name.startswith(("norm", "pad")):
            factor *= slow["plugin" in name]
            if (fast == "norm" and name.startswith("pad")) or (fast == "pad" and name.startswith("norm")):
                factor = 9000.0 if "plugin" in name else 1000.0
        rates[name] = replace(rate, microseconds=[each * factor for each in rate.microseconds])
    shares = table.shares if fast == "fused" else replace(table.shares, activation={"16": 99.0, "32": 99.0})
    monkeypatch.setattr(tables, "table_for", lambda gpu: replace(table, rates=rates, shares=shares))
    decided = became(dry_run(model, auto(SHAPE)).decisions)
    norm, pad = "trtconv::InstanceNorm", "trtconv::ReflectPad"
    assert {name: decided.get(name) for name in ("norm", "relu", "pad")} == {
        "native": {"norm": None, "relu": None, "pad": None},
        "norm": {"norm": norm, "relu": None, "pad": None},
        "pad": {"norm": None, "relu": None, "pad": pad},
        "both": {"norm": norm, "relu": None, "pad": pad},
        "fused": {"norm": norm, "relu": norm, "pad": norm},
    }[fast]


def write_upsampled(path: Path) -> Path:
    """Write a norm, nearest upsampling, a reflect pad and a convolution, after which a norm and a thin one come."""
    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (float[1,64,128,128] x) => (float[1,3,256,256] y)
        <float[4] f = {1, 1, 2, 2}, int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}> {
          [norm1] a = InstanceNormalization (x, s, b)
          [act1] d = Relu (a)
          [up] u = Resize <mode: string = "nearest", nearest_mode: string = "floor",
              coordinate_transformation_mode: string = "asymmetric"> (d, , f)
          [pad] q = Pad <mode: string = "reflect"> (u, p)
          [conv] c = Conv (q, w)
          [norm2] e = InstanceNormalization (c, t, r)
          [act2] h = Relu (e)
          [last] y = Conv <pads: ints = [3, 3, 3, 3]> (h, v)
        }"""
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    shapes = {"s": (64,), "b": (64,), "w": (32, 64, 3, 3), "t": (32,), "r": (32,), "v": (3, 32, 7, 7)}
    for name, shape in shapes.items():
        values = (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    onnx.save(proto, path)
    return path


ALL_OF_UPSAMPLED = {"norm1": "plugin", "act1": "fused", "up": "rewritten", "pad": "fused", "conv": "rewritten",
                    "norm2": "plugin", "act2": "fused", "last": "rewritten"}  # fmt: skip


def made(decisions: Sequence[Decision]) -> dict[str, str | None]:
    return {each.node: each.made for each in decisions}


def test_convolutions_that_gain_are_rewritten(tmp_path: Path) -> None:
    decisions = {
        each.node: each for each in dry_run(write_upsampled(tmp_path / "m.onnx"), auto(precision="fp16")).decisions
    }
    assert made(list(decisions.values())) == ALL_OF_UPSAMPLED
    times = decisions["conv"].figures["predicted_us"]
    assert times["rewritten"] < times["fused"] < times["native"]
    assert decisions["norm2"].figures["predicted_us"] == times, "what reads the phases is chosen with the convolution"
    alone = decisions["last"].figures["predicted_us"]
    assert alone.keys() == {"native", "rewritten"}
    (table,) = measured_tables()
    assert alone["rewritten"] > table.convolutions["16"].fixed_us, "the new convolution counts, not its map alone"


def test_a_convolution_whose_form_gains_nothing_stays(tmp_path: Path) -> None:
    """512 channels fill the tiles, and no norm follows; of few channels as many are computed for nothing."""
    path = tmp_path / "gan.onnx"
    onnx.save(make("gan_decoder", dtype="fp16", height=16, width=16), path)
    decisions = {each.node: each for each in dry_run(path, auto()).decisions}
    assert (decisions["/up1/Conv"].made, decisions["/up1/Resize"].made) == ("native", "native")
    assert "TensorRT's own layer is predicted to be faster" in decisions["/up1/Conv"].reason
    assert decisions["/up1/Conv"].figures["predicted_us"].keys() == {"native", "rewritten"}
    assert (decisions["/up5/Conv"].made, decisions["/up5/Resize"].made) == ("rewritten", "rewritten")


def test_larger_weights_need_a_gain_above_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_upsampled(tmp_path / "m.onnx")
    times = {each.node: each for each in dry_run(path, auto(precision="fp16")).decisions}["conv"].figures[
        "predicted_us"
    ]
    (table,) = measured_tables()
    gain = times["fused"] - times["rewritten"]
    for us, wanted in ((gain * 0.9, "rewritten"), (gain * 1.1, "native")):
        monkeypatch.setattr(tables, "table_for", lambda gpu, us=us: replace(table, noise=Noise(us=us, share=0.0)))
        assert made(dry_run(path, auto(precision="fp16")).decisions)["conv"] == wanted


@pytest.mark.parametrize("form", ["native", "plugin", "fused", "rewritten"])
def test_a_file_holds_each_choice_and_a_build_makes_it_again(tmp_path: Path, form: str) -> None:
    """Whatever else a later build is asked for: `auto` would choose otherwise for most of these nodes."""
    path, plan = write_upsampled(tmp_path / "m.onnx"), tmp_path / "plan.json"
    first = dry_run(path, BuildConfig(backend="tensorrt", ops=form, decisions=plan))  # type: ignore[arg-type]
    document = json.loads(plan.read_text())
    assert {each["node"]: each.get("choice", "native") for each in document["decisions"]} == made(first.decisions)
    # What the passes of the form do not look at; around native norms nobody asks what becomes of activations.
    others = {"conv", "last"} if form == "native" else ALL_OF_UPSAMPLED.keys() - made(first.decisions)
    document["decisions"] += [{"node": name, "op": "", "became": None} for name in others]
    plan.write_text(json.dumps(document))
    again = made(dry_run(path, auto(decisions=plan)).decisions)
    assert again == made(first.decisions) | dict.fromkeys(others, "native")


def test_a_node_chosen_as_a_plugin_stays_one_of_its_own(tmp_path: Path) -> None:
    """A pad right after a norm: in `fused` it goes into the norm, unless the file says `plugin`."""
    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (float[1,4,8,8] x) => (float[1,4,10,10] y)
        <float[4] s = {1, 2, 3, 4}, float[4] b = {0, 1, 2, 3}, int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}> {
          [norm] n = InstanceNormalization (x, s, b)
          [pad] y = Pad <mode: string = "reflect"> (n, p)
        }"""
    path, plan = tmp_path / "m.onnx", tmp_path / "plan.json"
    onnx.save(onnx.parser.parse_model(text), path)
    assert made(dry_run(path, BuildConfig(backend="tensorrt", ops="fused")).decisions)["pad"] == "fused"
    dry_run(path, BuildConfig(backend="tensorrt", ops="plugin", decisions=plan))
    assert made(dry_run(path, BuildConfig(backend="tensorrt", ops="fused", decisions=plan)).decisions) == {
        "norm": "plugin",
        "pad": "plugin",
    }
    document = json.loads(plan.read_text())
    document["decisions"][1]["choice"] = "native"
    plan.write_text(json.dumps(document))
    assert made(dry_run(path, BuildConfig(backend="tensorrt", ops="fused", decisions=plan)).decisions) == {
        "norm": "plugin",
        "pad": "native",
    }
    document["decisions"][1]["choice"] = "fused"
    plan.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="wants pad fused, which is plugin"):
        dry_run(path, BuildConfig(backend="tensorrt", ops="plugin", decisions=plan))


@pytest.mark.parametrize("precision", [None, "fp16"])
def test_a_manifest_makes_rewritten_convolutions_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: Any
) -> None:
    path = write_upsampled(tmp_path / "m.onnx")
    config = auto(precision=precision)
    proto, report = preparation.prepare(model_io.load(path), config, None)
    assert made(report.decisions)["conv"] == "rewritten"
    manifest = Manifest(
        trtconv="0", options=EngineOptions(ops="auto", precision=precision), decisions=report.decisions,
        kept_fp32=report.kept_fp32,
    )  # fmt: skip
    monkeypatch.setattr(choose_by_cost, "choose_by_cost", None)
    again, _ = preparation.prepare_as_built(path, manifest)
    assert preparation.graph_digest(again) == preparation.graph_digest(proto)


def test_what_auto_chooses_computes_the_same(tmp_path: Path) -> None:
    path = write_upsampled(tmp_path / "m.onnx")
    proto, report = preparation.prepare(model_io.load(path), auto(), None)
    assert made(report.decisions)["conv"] == "rewritten"
    feed = {"x": np.random.default_rng(0).standard_normal((1, 64, 128, 128)).astype(np.float32)}
    assert_close(run_onnxruntime(proto, feed), run_onnxruntime(onnx.load(path), feed))


def test_the_user_decides_first(model: Path, tmp_path: Path) -> None:
    decided = {each.node: each for each in dry_run(model, auto(SHAPE, keep_native=["norm"])).decisions}
    assert decided["norm"].reason == "asked for by --keep-native norm"
    file = tmp_path / "plan.json"
    document = {"format": 1, "ops": "auto", "decisions": [
        {"node": "norm", "op": "InstanceNormalization", "became": None, "reason": "mine"},
    ]}  # fmt: skip
    file.write_text(json.dumps(document))
    large = replace(auto(LARGE, decisions=file), ops=None)
    decided = {each.node: each for each in dry_run(model, large).decisions}
    assert decided["norm"].reason == f"{file}: mine"
    assert decided["pad"].became == "trtconv::ReflectPad", "ops auto comes from the file, and decides on the rest"


def test_what_a_file_wants_is_not_chosen_otherwise(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (table,) = measured_tables()
    monkeypatch.setattr(tables, "table_for", lambda gpu: replace(table, noise=Noise(us=1e9, share=0.0)))
    assert set(became(dry_run(model, auto(SHAPE)).decisions).values()) == {None}
    file = tmp_path / "plan.json"
    dry_run(model, replace(auto(SHAPE, decisions=file), ops="fused"))
    decided = became(dry_run(model, auto(SHAPE, decisions=file)).decisions)
    assert decided == dict.fromkeys(("norm", "relu", "pad"), "trtconv::InstanceNorm")


def test_16_bits_are_predicted_with_a_precision(model: Path) -> None:
    times = {}
    for precision in (None, "bf16"):
        decisions = {each.node: each for each in dry_run(model, auto(LARGE, precision=precision)).decisions}
        times[precision] = decisions["pad"].figures["predicted_us"]
    for choice in ("native", "plugin", "fused"):
        assert times["bf16"][choice] < 0.95 * times[None][choice], choice


def test_without_shapes_nodes_become_what_plugin_makes_of_them(model: Path) -> None:
    decisions = {each.node: each for each in dry_run(model, auto()).decisions}
    assert made(list(decisions.values())) == {"norm": "plugin", "relu": "native", "pad": "plugin"}
    assert "no time can be predicted: the size of" in decisions["relu"].reason


def test_the_file_of_a_build_holds_the_figures_and_is_followed(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    first = dry_run(model, auto(SHAPE, decisions=file))
    document = json.loads(file.read_text())
    assert document["ops"] == "auto"
    assert all(set(each["figures"]["predicted_us"]) >= {"native", "fused"} for each in document["decisions"])
    again = dry_run(model, BuildConfig(backend="tensorrt", profiles=parse_profiles([SHAPE]), decisions=file))
    assert became(again.decisions) == became(first.decisions)


def test_a_manifest_makes_the_same_graph_again(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = auto(LARGE)
    loaded = model_io.load(model, profiles=config.profiles)
    proto, report = preparation.prepare(loaded, config, None)
    assert {each.became for each in report.decisions} == {"trtconv::InstanceNorm"}
    manifest = Manifest(
        trtconv="0", options=EngineOptions(ops="auto"), profiles=config.profiles, decisions=report.decisions
    )

    def no_choice(*arguments: object) -> None:
        raise AssertionError("it chooses anew")

    monkeypatch.setattr(choose_by_cost, "choose_by_cost", no_choice)
    again, _ = preparation.prepare_as_built(model, manifest)
    assert preparation.graph_digest(again) == preparation.graph_digest(proto)


def test_the_result_computes_the_same(model: Path) -> None:
    config = auto(LARGE)
    proto, _ = preparation.prepare(model_io.load(model, profiles=config.profiles), config, None)
    assert any(node.domain == "trtconv" for node in proto.graph.node)
    feed = {"x": np.random.default_rng(0).standard_normal((2, 4, 64, 64)).astype(np.float32)}
    assert_close(run_onnxruntime(proto, feed), run_onnxruntime(onnx.load(model), feed))


def test_rewrite_chooses_as_a_build_does(tmp_path: Path) -> None:
    path, output = write_upsampled(tmp_path / "m.onnx"), tmp_path / "out.onnx"
    report = rewrite(path, output)
    assert made(report.decisions) == made(dry_run(path, backend="tensorrt").decisions)
    assert (
        report.render()
        .splitlines()[0]
        .endswith(": 3 of 3 norms and pads become plugins, 2 of 2 convolutions are rewritten")
    )
    kept = rewrite(path, output, keep_native=["conv"])
    assert made(kept.decisions)["conv"] == "native"
    assert (
        kept.render()
        .splitlines()[0]
        .endswith(": 3 of 3 norms and pads become plugins, 1 of 1 convolutions are rewritten")
    )


def test_rtx_has_nothing_to_choose(model: Path) -> None:
    decisions = dry_run(model, auto(SHAPE, backend="tensorrt-rtx")).decisions
    assert {(each.became, each.reason) for each in decisions} == {(None, "TensorRT-RTX does not support plugins")}
