"""Local functions in another opset than the model are inlined, and compute what they computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.checker
import onnx.helper
import onnx.parser
import pytest

from tests.support.command_line import run_here
from tests.support.equivalence import rewrite_file, run_onnxruntime, seeded_inputs
from trtconv.errors import ModelError
from trtconv.model import model_io

PLAIN = """<ir_version: 10, opset_import: ["": {model}, "l": 1]>
g (float[1,4,8,8] x) => (float[1,4,8,8] y) <float[4] s = {{1, 2, 3, 4}}> {{
    r = Relu(x)
    a = l.Block(r, s)
    y = l.Block(a, s)
}}
<domain: "l", opset_import: ["": {function}]> Block (a, s) => (b) {{ n = InstanceNormalization(a, s, s)  b = Relu(n) }}
"""
# The graph, a branch and another function call G, of opset 11, whose Softmax and ReduceMean meant another thing.
CHANGED = """<ir_version: 10, opset_import: ["": 18, "l": 1]>
g (float[1,4,8,8] x, bool c) => (float[1,4,1,1] y) <float[4] s = {1, 2, 3, 4}> {
    r = Relu(x)
    a = l.F(r, s)
    direct = l.G(r)
    v = Add(a, direct)
    y = If(c) <then_branch = t () => (float[1,4,1,1] o) { q = Neg(v)  o = l.G(q) },
               else_branch = e () => (float[1,4,1,1] p) { p = Neg(v) }>
}
<domain: "l", opset_import: ["": 13, "l": 1]> F (a, s) => (b) { c = l.G(a)  d = l.G(c)  b = Relu(d) }
<domain: "l", opset_import: ["": 11]> G (a) => (b) {
    r = Relu(a)  q = Softmax<axis=1>(r)  b = ReduceMean<axes=[2,3]>(q) }
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "functions.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def changed_reference(x: np.ndarray, c: bool) -> np.ndarray:
    """What CHANGED computes: Softmax of opset 11 runs over all axes from the given one on."""

    def g(a: np.ndarray) -> np.ndarray:
        r = np.maximum(a, 0)
        e = np.exp(r - r.max())
        return (e / e.sum()).mean(axis=(2, 3), keepdims=True)

    r = np.maximum(x, 0)
    v = np.maximum(g(g(r)), 0) + g(r)
    return g(-v) if c else -v


@pytest.mark.parametrize(("model", "function"), [(18, 17), (20, 18), (17, 18), (22, 13), (13, 11)])
def test_ops_that_did_not_change_are_not_converted(tmp_path: Path, model: int, function: int) -> None:
    path = write(tmp_path, PLAIN.format(model=model, function=function))
    loaded = model_io.load(path)
    ops = ["Relu", "InstanceNormalization", "Relu", "InstanceNormalization", "Relu"]
    assert [node.op_type for node in loaded.proto.graph.node] == ops
    assert not loaded.proto.functions
    assert not loaded.proto.graph.value_info
    original = onnx.load(path)
    feeds = seeded_inputs(original)
    expected = run_onnxruntime(original, feeds)
    np.testing.assert_array_equal(run_onnxruntime(loaded.proto, feeds)[0], expected[0])
    rewritten = rewrite_file(path)
    assert [decision.became for decision in rewritten.decisions] == ["trtconv::InstanceNorm"] * 2
    np.testing.assert_allclose(run_onnxruntime(rewritten.proto, feeds)[0], expected[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("c", [False, True])
def test_ops_that_changed_are_converted_at_every_call(tmp_path: Path, c: bool) -> None:
    proto = model_io.load(write(tmp_path, CHANGED)).proto
    onnx.checker.check_model(proto, full_check=True)
    x = np.random.default_rng(0).standard_normal((1, 4, 8, 8), dtype=np.float32)
    (y,) = run_onnxruntime(proto, {"x": x, "c": np.array(c)})
    np.testing.assert_allclose(y, changed_reference(x, c), rtol=1e-5, atol=1e-6)


def test_a_function_that_cannot_be_converted_is_named(tmp_path: Path) -> None:
    text = CHANGED.replace("float[1,4,8,8] x", "float[1,4,8,8] w").replace("Relu(x)", "my.Unknown(w)")
    path = write(tmp_path, text.replace('"l": 1]>\ng', '"l": 1, "my": 1]>\ng'))
    with pytest.raises(ModelError) as caught:
        model_io.load(path)
    assert "local function l::G is written in opset 11, the model in 18" in caught.value.what
    assert "ReduceMean, Softmax" in caught.value.what
    assert caught.value.hint
    for command in (["inspect"], ["build", "--dry-run"], ["rewrite", "-o", "out.onnx"]):
        result = run_here(command[0], path, *command[1:], cwd=tmp_path)
        assert result.exit_code == 3
        assert "l::G" in result.error
        assert "inliner.cc" not in result.stderr


def test_a_function_that_calls_itself_is_refused(tmp_path: Path) -> None:
    text = CHANGED.replace("r = Relu(a)  q", "r = l.F(a, a)  q")
    with pytest.raises(ModelError, match="call themselves: l::F, l::G"):
        model_io.load(write(tmp_path, text))


def test_defaults_and_attributes_of_functions_are_bound(tmp_path: Path) -> None:
    body = '<domain: "l", opset_import: ["": 13]> M <axes>(a) => (b) { b = ReduceMean<axes: ints = @axes>(a) }'
    graph = "g (float[2,4,8] x) => (float[2,1,8] y) { y = l.M<axes=[1]>(x) }"
    path = write(tmp_path, f'<ir_version: 10, opset_import: ["": 18, "l": 1]> {graph} {body}')
    x = np.random.default_rng(0).standard_normal((2, 4, 8), dtype=np.float32)
    (y,) = run_onnxruntime(model_io.load(path).proto, {"x": x})
    np.testing.assert_allclose(y, x.mean(axis=1, keepdims=True), rtol=1e-5, atol=1e-6)


def test_a_call_gets_its_types_from_the_call_before(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["": 18, "l": 1]>
    g (float[1,4,8,8] x) => (float[1,4,12,12] y) <float[4] s = {1, 2, 3, 4}> {
        m = l.Block<pads=[0,0,1,1,0,0,1,1]>(x, s)
        y = l.Block<pads=[0,0,1,1,0,0,1,1]>(m, s)
    }
    <domain: "l", opset_import: ["": 13]> Block <pads>(a, s) => (b) {
        p = Constant<value_ints: ints = @pads>()
        q = Pad<mode="reflect">(a, p)
        n = InstanceNormalization(q, s, s)
        u = ReduceMean<axes=[2,3], keepdims=1>(n)
        b = Sub(n, u)
    }"""
    rewritten = rewrite_file(write(tmp_path, text))
    assert [decision.became for decision in rewritten.decisions].count("trtconv::ReflectPad") == 2
    x = np.random.default_rng(0).standard_normal((1, 4, 8, 8), dtype=np.float32)
    expected = x
    for _ in range(2):
        padded = np.pad(expected, [(0, 0), (0, 0), (1, 1), (1, 1)], mode="reflect")
        mean, var = (f(axis=(2, 3), keepdims=True) for f in (padded.mean, padded.var))
        s = np.arange(1, 5, dtype=np.float32).reshape(1, 4, 1, 1)
        normed = (padded - mean) / np.sqrt(var + 1e-5) * s + s
        expected = normed - normed.mean(axis=(2, 3), keepdims=True)
    np.testing.assert_allclose(run_onnxruntime(rewritten.proto, {"x": x})[0], expected, rtol=1e-4, atol=1e-4)
