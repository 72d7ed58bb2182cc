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
from trtconv import BuildConfig, dry_run, preparation
from trtconv.config import EngineOptions
from trtconv.costs.tables import Noise, measured_tables
from trtconv.decisions import Decision
from trtconv.errors import ConfigError
from trtconv.gpu import driver
from trtconv.gpu.driver import Gpu
from trtconv.manifest import Manifest
from trtconv.model import model_io
from trtconv.shapes import parse_profiles

LARGE = "x=1x4x64x64:64x4x64x64:64x4x64x64"
H100 = Gpu("NVIDIA H100 80GB HBM3", "sm_90", "13.0", 3352.3)


@pytest.fixture(autouse=True)
def on_an_h100(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "find_gpu", lambda: H100)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.onnx")


def auto(*shapes: str, **options: Any) -> BuildConfig:
    return BuildConfig(ops="auto", profiles=parse_profiles(shapes), **options)


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
    assert figures["times_of"] == "NVIDIA H100 80GB HBM3, 2026-11-28"


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
    shares = table.shares if fast == "fused" else replace(table.shares, activation=99.0)
    monkeypatch.setattr(preparation, "table_for", lambda gpu: replace(table, rates=rates, shares=shares))
    decided = became(dry_run(model, auto(SHAPE)).decisions)
    norm, pad = "trtconv::InstanceNorm", "trtconv::ReflectPad"
    assert {name: decided.get(name) for name in ("norm", "relu", "pad")} == {
        "native": {"norm": None, "relu": None, "pad": None},
        "norm": {"norm": norm, "relu": None, "pad": None},
        "pad": {"norm": None, "relu": None, "pad": pad},
        "both": {"norm": norm, "relu": None, "pad": pad},
        "fused": {"norm": norm, "relu": norm, "pad": norm},
    }[fast]


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
    monkeypatch.setattr(preparation, "table_for", lambda gpu: replace(table, noise=Noise(us=1e9, share=0.0)))
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
    assert times["bf16"]["native"] > times[None]["native"], "around TensorRT's own norm and pad, tensors are copied"


def test_without_shapes_nodes_stay_native_with_the_reason(model: Path) -> None:
    decisions = dry_run(model, auto()).decisions
    assert {each.became for each in decisions} == {None}
    assert "no time can be predicted: the size of" in decisions[0].reason


def test_the_file_of_a_build_holds_the_figures_and_is_followed(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    first = dry_run(model, auto(SHAPE, decisions=file))
    document = json.loads(file.read_text())
    assert document["ops"] == "auto"
    assert all(set(each["figures"]["predicted_us"]) >= {"native", "fused"} for each in document["decisions"])
    again = dry_run(model, BuildConfig(profiles=parse_profiles([SHAPE]), decisions=file))
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

    monkeypatch.setattr(preparation, "choose_by_cost", no_choice)
    again, _ = preparation.prepare_as_built(model, manifest)
    assert preparation.graph_digest(again) == preparation.graph_digest(proto)


def test_the_result_computes_the_same(model: Path) -> None:
    config = auto(LARGE)
    proto, _ = preparation.prepare(model_io.load(model, profiles=config.profiles), config, None)
    assert any(node.domain == "trtconv" for node in proto.graph.node)
    feed = {"x": np.random.default_rng(0).standard_normal((2, 4, 64, 64)).astype(np.float32)}
    assert_close(run_onnxruntime(proto, feed), run_onnxruntime(onnx.load(model), feed))


def test_rewrite_refuses_to_choose(model: Path, tmp_path: Path) -> None:
    from trtconv import rewrite

    with pytest.raises(ConfigError, match="only a build chooses by time"):
        rewrite(model, tmp_path / "out.onnx", ops="auto")


def test_rtx_has_nothing_to_choose(model: Path) -> None:
    decisions = dry_run(model, auto(SHAPE, backend="tensorrt-rtx")).decisions
    assert {(each.became, each.reason) for each in decisions} == {(None, "TensorRT-RTX supports no plugins")}
