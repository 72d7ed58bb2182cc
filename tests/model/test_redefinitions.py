"""A name for two values: told, left to TensorRT, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from tests.support.command_line import run_here
from tests.support.equivalence import rewrite_file, run_onnxruntime
from trtconv import BuildConfig, dry_run
from trtconv.errors import ModelError
from trtconv.inspection.model_inspection import inspect_model
from trtconv.model import model_io

# Both branches pad; the first one has pads of its own under the name of the outer ones, and computes others from them.
SHADOWING = """<ir_version: 8, opset_import: ["": 17]>
g (float[1,4,8,8] x, bool c) => (float[1,4,h,w] y) <int64[8] pads = {0,0,1,1,0,0,1,1}, float[4] s = {1,2,3,4}> {
    r = Relu(x)
    ["if"] y = If(c) <
        then_branch = t () => (float[1,4,h,w] o) <int64[8] pads = {0,0,2,0,0,0,0,2}> {
            ["direct"] p = Pad<mode="reflect">(r, pads)
            same = Cast<to=7>(pads)
            ["computed"] q = Pad<mode="reflect">(p, same)
            ["norm"] o = InstanceNormalization(q, s, s)
        },
        else_branch = e () => (float[1,4,h,w] z) { ["outer"] z = Pad<mode="reflect">(r, pads) }>
}"""


def test_a_branch_that_defines_an_outer_name_again(tmp_path: Path) -> None:
    path = tmp_path / "shadowing.onnx"
    onnx.save(onnx.parser.parse_model(SHADOWING), path)
    report = dry_run(path, BuildConfig(backend="tensorrt", ops="plugin"))
    (warning,) = report.warnings
    assert warning.startswith("if/then_branch defines the outer tensor pads again")
    became = {decision.node.rpartition("/")[2]: decision.became for decision in report.decisions}
    assert became == {
        "norm": "trtconv::InstanceNorm",
        "direct": None,
        "computed": None,
        "outer": None,
    }
    reasons = {decision.reason for decision in report.decisions if decision.became is None}
    assert reasons == {
        "if/then_branch defines pads again, which ONNX forbids: ONNX Runtime takes the outer value",
    }
    shown = {node.node.rpartition("/")[2]: node.became for node in inspect_model(path).nodes}
    assert shown == became
    rewritten = rewrite_file(path)
    x = np.random.default_rng(0).standard_normal((1, 4, 8, 8), dtype=np.float32)
    for c in (False, True):
        feeds = {"x": x, "c": np.array(c)}
        (expected,) = run_onnxruntime(onnx.load(path), feeds, optimise=False)
        (got,) = run_onnxruntime(rewritten.proto, feeds, optimise=False)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_a_value_that_nothing_else_reads_is_the_inner_one(tmp_path: Path) -> None:
    """ONNX Runtime takes it as such, so the node is rewritten; the warning stays."""
    path = tmp_path / "inner.onnx"
    onnx.save(onnx.parser.parse_model(SHADOWING.replace('z = Pad<mode="reflect">(r, pads)', "z = Neg(r)")), path)
    (warning,) = dry_run(path).warnings
    assert "ONNX Runtime takes the inner value" in warning
    rewritten = rewrite_file(path)
    assert rewritten.num_edits == 3
    feeds = {"x": np.random.default_rng(0).standard_normal((1, 4, 8, 8), dtype=np.float32), "c": np.array(True)}
    (expected,) = run_onnxruntime(onnx.load(path), feeds, optimise=False)
    (got,) = run_onnxruntime(rewritten.proto, feeds, optimise=False)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def twice(folder: Path, values: list[int], as_raw: bool) -> Path:
    text = SHADOWING.replace("<int64[8] pads = {0,0,2,0,0,0,0,2}>", "")
    model = onnx.parser.parse_model(text)
    tensor = onnx.helper.make_tensor("pads", 7, [8], np.array(values).tobytes() if as_raw else values, raw=as_raw)
    model.graph.initializer.append(tensor)
    path = folder / "twice.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("as_raw", [False, True])
def test_an_initializer_given_twice(tmp_path: Path, as_raw: bool) -> None:
    path = twice(tmp_path, [0, 0, 1, 1, 0, 0, 1, 1], as_raw)
    model = model_io.load(path)
    assert [tensor.name for tensor in model.proto.graph.initializer].count("pads") == 1
    assert dry_run(path).warnings == ()
    path = twice(tmp_path, [0, 0, 1, 1, 0, 0, 1, 2], as_raw)
    with pytest.raises(ModelError, match="initializer pads is given twice, with different values"):
        model_io.load(path)
    result = run_here("build", path, "--dry-run", cwd=tmp_path)
    assert result.exit_code == 3
    assert "another name" in result.hint
