"""Norms that no pass takes up are found, whatever their spelling; what is none is not taken for one."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.parser
import pytest

from trtconv import BuildConfig, dry_run, rewrite
from trtconv.inspection.model_inspection import inspect_model
from trtconv.model.native_norms import native_norms

HEAD = '<ir_version: 8, opset_import: ["": {opset}]> g (float[N,4,H,W] x) => (float[N,4,H,W] y) '
MEAN = "m = ReduceMean<axes=[2,3]>(x)  d = Sub(x, m)"
EPSILON = "e = Constant<value_float=1e-5>()"
SPELLINGS = {
    "product": f"{{ {EPSILON} {MEAN} q = Mul(d, d)  v = ReduceMean<axes=[2,3]>(q)"
    "  w = Add(v, e)  s = Sqrt(w)  y = Div(d, s) }",
    "power": f"{{ {EPSILON} t = Constant<value_float=2.0>() {MEAN} q = Pow(d, t)  v = ReduceMean<axes=[2,3]>(q)"
    "  w = Add(v, e)  s = Sqrt(w)  r = Reciprocal(s)  y = Mul(d, r) }",
    "pooling": f"{{ {EPSILON} m = GlobalAveragePool(x)  d = Sub(x, m)  q = Mul(d, d)  v = GlobalAveragePool(q)"
    "  w = Add(v, e)  s = Sqrt(w)  y = Div(d, s) }",
    "a mean of squares less a square": f"{{ {EPSILON} q = Mul(x, x)  u = ReduceMean<axes=[2,3]>(q)"
    "  m = ReduceMean<axes=[2,3]>(x)  n = Mul(m, m)  v = Sub(u, n)  w = Add(v, e)"
    "  s = Sqrt(w)  d = Sub(x, m)  y = Div(d, s) }",
    "no mean is taken off": f"{{ {EPSILON} q = Mul(x, x)  u = ReduceMean<axes=[1]>(q)"
    "  w = Add(u, e)  s = Sqrt(w)  y = Div(x, s) }",
    "power of a half": f"{{ {EPSILON} h = Constant<value=float {{-0.5}}>() {MEAN} q = Mul(d, d)"
    "  v = ReduceMean<axes=[2,3]>(q)  w = Add(v, e)  s = Pow(w, h)  y = Mul(d, s) }",
}
NONE = {
    "a magnitude": "{ a = Mul(x, x)  b = Mul(x, x)  c = Add(a, b)  y = Sqrt(c) }",
    "a root of a mean": "{ a = ReduceMean<axes=[2,3]>(x)  b = Sqrt(a)  y = Mul(x, b) }",
    "a mean of squares": "{ a = Mul(x, x)  b = ReduceMean<axes=[2,3]>(a)  y = Mul(x, b) }",
    "a product without its second factor": "{ a = Mul(x)  b = ReduceMean<axes=[2,3]>(a)  c = Sqrt(b)  y = Mul(x, c) }",
    "squeeze and excite": "{ a = GlobalAveragePool(x)  b = Sigmoid(a)  y = Mul(x, b) }",
}
OTHERS = {
    "GroupNormalization": (21, "<float[4] s = {1,1,1,1}> { y = GroupNormalization<num_groups=2>(x, s, s) }"),
    "LayerNormalization": (17, "<float[1] s = {1}> { y = LayerNormalization(x, s) }"),
}


def parse(text: str, opset: int = 17) -> onnx.ModelProto:
    return onnx.parser.parse_model(HEAD.format(opset=opset) + text)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_written_out_norms(spelling: str) -> None:
    (found,) = native_norms(parse(SPELLINGS[spelling]))
    assert found.op == "written-out norm"
    assert found.node in ("Sqrt(s)", "Pow(s)")


@pytest.mark.parametrize("case", NONE)
def test_what_is_no_norm(case: str) -> None:
    assert native_norms(parse(NONE[case])) == []


def test_a_norm_in_a_branch_that_reads_the_outer_mean() -> None:
    text = SPELLINGS["product"].replace("s = Sqrt(w)  y = Div(d, s)", "")
    branch = "{ c = Constant<value = bool {1}>()  y = If(c) <then_branch = t () => (float[N,4,H,W] o)"
    text = text.replace("}", "") + branch.removeprefix("{")
    text += " { s = Sqrt(w)  o = Div(d, s) }, else_branch = f () => (float[N,4,H,W] p) { p = Relu(x) }> }"
    (found,) = native_norms(parse(text))
    assert found.node == "If(y)/then_branch/Sqrt(s)"


@pytest.mark.parametrize("op", [*OTHERS, "written-out norm"])
def test_a_report_never_says_that_there_is_nothing(tmp_path: Path, op: str) -> None:
    opset, text = OTHERS.get(op, (17, SPELLINGS["product"]))
    path = tmp_path / "m.onnx"
    onnx.save(parse(text, opset), path)
    lines = dry_run(path, BuildConfig(backend="tensorrt", ops="plugin")).render().splitlines()
    assert lines[0].endswith(": 1 norm or pad stays native")
    assert lines[1].split() == ["rewritten", "nothing"]
    assert lines[2].startswith(f"native     1 {op}: ")
    inspection = inspect_model(path, ops="plugin")
    assert [norm.op for norm in inspection.native_norms] == [op]
    assert "rewrite    1 norm or pad stays native" in inspection.render()
    assert f"1 {op}" in inspection.render()


def test_statistics_of_a_batch_are_told_once(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    text = "<float[4] s = {1,1,1,1}> { y, a, b = BatchNormalization<training_mode=1>(x, s, s, s, s) }"
    onnx.save(parse(text), path)
    told = [
        line
        for line in dry_run(path, BuildConfig(backend="tensorrt", ops="plugin")).render().splitlines()
        if "BatchNormalization" in line
    ]
    assert len(told) == 1
    assert told[0].startswith("native     1 BatchNormalization: ")
    assert inspect_model(path).native_norms == []


def test_a_model_that_was_rewritten_before(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(parse("<float[4] s = {1,1,1,1}> { y = InstanceNormalization(x, s, s) }"), path)
    rewrite(path, tmp_path / "r.onnx", ops="plugin")
    lines = dry_run(tmp_path / "r.onnx", BuildConfig(backend="tensorrt", ops="plugin")).render().splitlines()
    assert lines[1].split() == ["rewritten", "nothing"]
    assert lines[2] == "plugin     1 trtconv::InstanceNorm: the model was rewritten before [InstanceNorm(y)]"
