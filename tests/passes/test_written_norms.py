"""Norms put together from every way to write a mean, a variance, a root and an affine part are all recognised."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import trtconv
from tests.support.command_line import run
from tests.support.equivalence import assert_same_numbers, rewrite, seeded_inputs
from trtconv import BuildConfig
from trtconv.config import EngineOptions
from trtconv.inspection.model_inspection import inspect_model
from trtconv.manifest import Manifest
from trtconv.preparation import prepare_as_built

AXES = "<axes = [2, 3]>"
CONSTANTS = """float eps = {1e-5}, float two = {2}, float half = {0.5}, float minus = {-0.5}, float one = {1},
    float count = {20}, float part = {0.05}, int64[2] hw = {2, 3}, int64[3] flat = {2, 3, -1},
    int64[4] four = {2, 3, 1, 1}"""
SCALES = "float[1,3,1,1] g = {1, -2, 3}, float[3,1,1] b = {0.5, -1, 2}"
# Each writes the tensor that the next part reads: m, then v, then r (the inverse deviation) or s, then y.
MEANS = {
    "reduced": f"m = ReduceMean {AXES} (x)",
    "pooled": "m = GlobalAveragePool (x)",
    "summed": "ms = ReduceSum (x, hw)  m = Mul (ms, part)",
    "of a view": "mv = Reshape (x, flat)  mf = ReduceMean <axes = [2], keepdims = 0> (mv)  m = Reshape (mf, four)",
    "in turn": "mw = ReduceMean <axes = [3]> (x)  m = ReduceMean <axes = [2]> (mw)",
}
VARIANCES = {
    "mean of squares": f"q = Mul (d, d)  v = ReduceMean {AXES} (q)",
    "power": f"q = Pow (d, two)  v = ReduceMean {AXES} (q)",
    "sum of squares": f"q = ReduceSumSquare {AXES} (d)  v = Div (q, count)",
    "length": f"q = ReduceL2 {AXES} (d)  w = Mul (q, q)  v = Mul (part, w)",
    "difference of squares": f"q = Mul (x, x)  w = ReduceMean {AXES} (q)  mm = Mul (m, m)  v = Sub (w, mm)",
    "product with the data": f"q = Mul (d, x)  v = ReduceMean {AXES} (q)",
    "own mean": f"k = ReduceMean {AXES} (x)  dk = Sub (k, x)  q = Mul (dk, dk)  v = GlobalAveragePool (q)",
}
INVERSES = {
    "divided by root": "e = Add (v, eps)  s = Sqrt (e)  r = Div (one, s)",
    "reciprocal": "e = Add (eps, v)  s = Sqrt (e)  r = Reciprocal (s)",
    "power": "e = Add (v, eps)  r = Pow (e, minus)",
    "root of reciprocal": "e = Add (v, eps)  i = Reciprocal (e)  r = Sqrt (i)",
    "half power": "e = Add (v, eps)  s = Pow (e, half)  r = Reciprocal (s)",
}
AFFINES = {
    "plain": "y = Mul (d, r)",
    "scaled": "n = Mul (r, d)  p = Mul (n, g)  y = Add (b, p)",
    "folded": "k1 = Mul (g, r)  p = Mul (x, k1)  mk = Mul (m, k1)  c = Sub (b, mk)  y = Add (p, c)",
    "folded, negated": "p = Mul (x, r)  mr = Mul (m, r)  c = Neg (mr)  y = Add (c, p)",
    "divided": "s2 = Reciprocal (r)  n = Div (d, s2)  y = Mul (n, g)",
}
COMBINATIONS = list(itertools.product(MEANS, VARIANCES, INVERSES, AFFINES))


def spell(mean: str, variance: str, inverse: str, affine: str) -> onnx.ModelProto:
    rest = "\n".join((VARIANCES[variance], INVERSES[inverse], AFFINES[affine]))
    text = "\n".join((MEANS[mean], "d = Sub (x, m)" if re.search(r"\bd\b", rest) else "", rest))
    return onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[2,3,4,5] x) => (float[2,3,4,5] y) '
        f"<{CONSTANTS}, {SCALES}> {{ {text} }}"
    )


@pytest.mark.parametrize("combination", COMBINATIONS[::11], ids=", ".join)
def test_every_way_to_write_it(combination: tuple[str, str, str, str], tmp_path: Path) -> None:
    model = spell(*combination)
    rewritten = rewrite(model, tmp_path, ops="fused")
    assert [node.op_type for node in rewritten.proto.graph.node] == ["InstanceNorm"]
    assert_same_numbers(model, rewritten.proto, seeded_inputs(model))


def wrong(text: str, replacement: str) -> onnx.ModelProto:
    """Return a norm with one fault: no step of the algebra may overlook it."""
    model_text = onnx.printer.to_text(spell("reduced", "mean of squares", "divided by root", "folded"))
    assert model_text.count(text) == 1, text
    return onnx.parser.parse_model(model_text.replace(text, replacement))


@pytest.mark.parametrize(
    ("text", "replacement"),
    {
        "mean not scaled": ("mk = Mul (m, k1)", "mk = Mul (m, r)"),
        "mean twice": ("c = Sub (b, mk)", "mk2 = Add (mk, mk)  c = Sub (b, mk2)"),
        "root of the root": ("s = Sqrt (e)", "s0 = Sqrt (e)  s = Sqrt (s0)"),
        "no root": ("s = Sqrt (e)", "s = Identity (e)"),
        "fourth power": ("q = Mul (d, d)", "q0 = Mul (d, d)  q = Mul (q0, q0)"),
        "maximum": (f"v = ReduceMean {AXES.replace('axes', 'axes: ints')} (q)", "v = GlobalMaxPool (q)"),
    }.values(),
)
def test_a_fault_is_no_norm(text: str, replacement: str, tmp_path: Path) -> None:
    assert rewrite(wrong(text, replacement), tmp_path, ops="fused").num_edits == 0


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "norm.onnx"
    proto = spell("reduced", "power", "reciprocal", "scaled")
    proto.graph.node[-1].name = "/norm/Add"
    onnx.save(proto, path)
    return path


def test_the_report_names_the_node_that_writes_the_result(model: Path) -> None:
    (decision,) = trtconv.dry_run(model, BuildConfig(backend="tensorrt", ops="fused")).decisions
    assert (decision.node, decision.op) == ("/norm/Add", "written-out norm")
    assert decision.became == "trtconv::InstanceNorm"
    assert decision.reason.startswith("written out in 10 nodes")
    assert decision.figures["nodes"] == 10
    report = trtconv.dry_run(model, BuildConfig(backend="tensorrt", ops="plugin"))
    assert report.decisions == ()
    (other,) = report.others
    assert (other.node, other.op) == ("Sqrt(s)", "written-out norm")
    assert "--ops fused takes those" in other.reason
    (other,) = trtconv.dry_run(model, BuildConfig(backend="tensorrt-rtx")).others
    assert other.reason == "TensorRT-RTX does not support plugins"


def test_inspect_shows_the_decisions_of_fused(model: Path) -> None:
    (node,) = inspect_model(model, ops="fused").nodes
    assert (node.node, node.became) == ("/norm/Add", "trtconv::InstanceNorm")
    assert inspect_model(model, ops="fused").native_norms == []
    assert len(inspect_model(model, ops="plugin").native_norms) == 1
    assert run("inspect", model, "--ops", "fused", "--json").document["nodes"][0]["node"] == "/norm/Add"


def test_a_decision_file_keeps_a_written_norm(model: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    trtconv.dry_run(model, BuildConfig(backend="tensorrt", ops="fused", decisions=plan))
    plan.write_text(plan.read_text().replace('"became": "trtconv::InstanceNorm"', '"became": null'))
    (decision,) = trtconv.dry_run(model, BuildConfig(backend="tensorrt", ops="fused", decisions=plan)).decisions
    assert (decision.node, decision.became) == ("/norm/Add", None)


def test_a_manifest_says_which_passes_ran(model: Path) -> None:
    made = {}
    for ops in ("plugin", "fused"):
        decisions = trtconv.dry_run(model, BuildConfig(backend="tensorrt", ops=ops)).decisions
        manifest = Manifest(trtconv="0", options=EngineOptions(ops=ops), decisions=decisions)
        proto, _ = prepare_as_built(model, manifest)
        made[ops] = [node.op_type for node in proto.graph.node]
    assert made["fused"] == ["InstanceNorm"]
    assert "InstanceNorm" not in made["plugin"]


def test_rewrite_takes_the_option(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.onnx"
    assert trtconv.rewrite(model, output, ops="fused").num_rewritten == 1
    assert trtconv.rewrite(model, output, ops="plugin").num_rewritten == 0
    result = run("rewrite", model, "-o", output, "--ops", "fused", "--json")
    assert result.document["num_rewritten"] == 1
    norm = onnx.load(output).graph.node[0]
    assert norm.name == "/norm/Add"
    scale = next(each for each in onnx.load(output).graph.initializer if each.name == norm.input[1])
    assert np.array_equal(onnx.numpy_helper.to_array(scale), np.array([1, -2, 3], dtype=np.float32))


def test_a_scale_of_another_length_than_the_channels_keeps_a_norm(tmp_path: Path) -> None:
    """Shape inference gives up on such a model, so the declared shapes stand beside it."""
    text = f"""<ir_version: 8, opset_import: ["": 17]> g (float[1,3,8,8] x) => (float[1,3,8,8] y)
        <float[8,1,1] g = {{1, 2, 3, 4, 5, 6, 7, 8}}, float eps = {{1e-5}}> {{
        m = ReduceMean {AXES} (x)  d = Sub (x, m)  q = Mul (d, d)  v = ReduceMean {AXES} (q)
        e = Add (v, eps)  s = Sqrt (e)  n = Div (d, s)  y = Mul (n, g) }}"""
    path = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    (decision,) = trtconv.dry_run(path, BuildConfig(backend="tensorrt", ops="fused")).decisions
    assert (decision.became, decision.reason) == (None, "its scale or bias has 8 values for 3 channels")
