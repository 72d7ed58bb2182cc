"""What ONNX Runtime gets: a copy that it does not refuse for its form, of which nothing else is different."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto

from tests.support.command_line import run_here
from trtconv.errors import ModelError
from trtconv.model import onnx_session
from trtconv.model.onnx_session import cause_of, hint_of, notes_of_runtime, open_file, open_session
from trtconv.model.runtime_copy import RuntimeLimits, runtime_copy

X = np.arange(4, dtype=np.float32)
TAKES_ALL = RuntimeLimits("ONNX Runtime 9", lambda ir_version: ir_version, lambda domain, opset: opset)


def parse(text: str, ir_version: int = 8, opset: int = 17) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: {ir_version}, opset_import: ["": {opset}]> {text}')


def run(proto: onnx.ModelProto, folder: Path = Path(), **feed: Any) -> Any:
    """Run a model in memory and from a file, which must give the same."""
    (first,) = open_session(proto, folder).run(None, feed or {"x": X})
    path = folder / "model.onnx"
    if folder != Path():
        path.write_bytes(proto.SerializeToString())
        assert np.array_equal(open_file(path).run(None, feed or {"x": X})[0], first)
    return first


def names(proto: onnx.ModelProto) -> list[str]:
    found = [node.name for node in proto.graph.node]
    return found + [node.name for node in proto.graph.node for each in node.attribute for node in each.g.node]


def test_nodes_get_names_of_their_own(tmp_path: Path) -> None:
    text = 'g (float[4] x) => (float[4] y) { ["a"] s = Neg(x) ["a"] t = Neg(s) ["a_2"] u = Neg(t) ["a"] y = Neg(u) }'
    proto = parse(text)
    before = proto.SerializeToString()
    copy = runtime_copy(proto, Path(), TAKES_ALL)
    assert names(copy) == ["a", "a_3", "a_2", "a_4"]
    assert [list(node.output) for node in copy.graph.node] == [["s"], ["t"], ["u"], ["y"]]
    assert proto.SerializeToString() == before
    assert np.array_equal(run(proto, tmp_path), X)


def test_nodes_inside_branches_and_functions_get_names_of_their_own(tmp_path: Path) -> None:
    text = """g (float[4] x, bool c) => (float[4] y) {
        ["a"] y = If (c) <then_branch = t () => (float[4] p) { ["a"] q = Neg(x) ["a"] p = Neg(q) },
                          else_branch = e () => (float[4] r) { ["a"] r = Neg(x) }>
    }"""
    proto = parse(text)
    copy = runtime_copy(proto, Path(), TAKES_ALL)
    assert len(set(names(copy))) == 4
    assert np.array_equal(run(proto, tmp_path, x=X, c=np.array(True)), X)
    body = '<domain: "my", opset_import: ["": 17]> twice (a) => (b) { ["n"] c = Neg(a) ["n"] b = Neg(c) }'
    header = '<ir_version: 8, opset_import: ["": 17, "my": 1]>'
    called = onnx.parser.parse_model(f"{header} g (float[4] x) => (float[4] y) {{ y = my.twice(x) }} {body}")
    assert np.array_equal(run(called, tmp_path), X)


def test_a_model_that_is_fine_is_not_copied() -> None:
    proto = parse("g (float[4] x) => (float[4] y) { t = Neg(x) y = Neg(t) }")
    assert runtime_copy(proto, Path(), TAKES_ALL) is proto


def test_a_file_that_is_fine_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(parse("g (float[4] x) => (float[4] y) { y = Neg(x) }"), path)
    monkeypatch.setattr(onnx_session, "copy_for_runtime", lambda *_: pytest.fail("copied"))
    assert np.array_equal(open_file(path).run(None, {"x": X})[0], -X)


PADDED = 'g (float[1,1,4,4] x) => (float[1,1,6,6] y) <int64[8] p = {0,0,1,1,0,0,1,1}> { y = Pad<mode="reflect">(x, p) }'


def external(folder: Path) -> Path:
    proto = parse(PADDED)
    tensor = onnx.numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "p")
    proto.graph.initializer[0].CopyFrom(tensor)
    path = folder / "model.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="data.bin", size_threshold=0)
    return path


@pytest.mark.parametrize("is_linked", [False, True])
def test_small_external_tensors_are_loaded(tmp_path: Path, is_linked: bool) -> None:
    """ONNX Runtime does not do so for shape inference since 1.23."""
    path = external(tmp_path)
    if is_linked:
        (tmp_path / "store").mkdir()
        (tmp_path / "data.bin").rename(tmp_path / "store" / "blob")
        (tmp_path / "data.bin").symlink_to(tmp_path / "store" / "blob")
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    (padded,) = open_file(path).run(None, {"x": x})
    assert np.array_equal(padded, np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect"))


def test_large_external_tensors_stay_in_their_file(tmp_path: Path) -> None:
    proto = parse('g (float[4096] x) => (float[4096] y) <float[4096] w = {0}> { ["a"] t = Mul(x, w) ["a"] y = Neg(t) }')
    values = np.arange(4096, dtype=np.float32)
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(values, "w"))
    path = tmp_path / "model.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="data.bin", size_threshold=0)
    light = onnx.load(path, load_external_data=False)
    copy = runtime_copy(light, tmp_path, TAKES_ALL)
    assert copy.graph.initializer[0].data_location == TensorProto.EXTERNAL
    assert np.array_equal(open_file(path).run(None, {"x": np.ones(4096, np.float32)})[0], -values)


@pytest.mark.parametrize("ir_version", [11, 15, 99, 10**9])
def test_a_newer_ir_version_is_lowered(tmp_path: Path, ir_version: int) -> None:
    proto = parse("g (float[4] x) => (float[4] y) { y = Neg(x) }", ir_version=ir_version)
    assert np.array_equal(run(proto, tmp_path), -X)


@pytest.mark.parametrize("opset", [25, 31, 10**9])
def test_a_newer_opset_is_lowered_where_no_op_changed(tmp_path: Path, opset: int) -> None:
    proto = parse("g (float[4] x) => (float[4] y) { y = Neg(x) }", opset=opset)
    assert np.array_equal(run(proto, tmp_path), -X)
    assert bool(notes_of_runtime(proto)) == (opset > 25)


def test_a_changed_op_of_a_newer_opset_is_named() -> None:
    """As if ONNX Runtime knew opset 17 alone: Pad changed in 18 and 19, Neg did not."""
    older = RuntimeLimits("ONNX Runtime 9", lambda ir_version: ir_version, lambda domain, opset: min(opset, 17))
    proto = parse(PADDED.replace("y = Pad", "n = Neg(x) y = Pad").replace("(x, p)", "(n, p)"), opset=19)
    with pytest.raises(ModelError) as caught:
        runtime_copy(proto, Path(), older)
    assert caught.value.what == "the model is in opset 19, ONNX Runtime 9 knows opset 17, and Pad changed in opset 19"
    assert caught.value.hint == "upgrade onnxruntime, or export the model with opset 17"
    proto.graph.node[1].op_type = "Pud"
    with pytest.raises(ModelError, match="Pud is newer than that"):
        runtime_copy(proto, Path(), older)
    del proto.graph.node[1]
    assert runtime_copy(proto, Path(), older).opset_import[0].version == 17


def test_opsets_of_functions_and_other_domains_are_lowered_too() -> None:
    older = RuntimeLimits("ONNX Runtime 9", lambda ir_version: 8, lambda domain, opset: 3 if domain else min(opset, 17))
    body = '<domain: "my", opset_import: ["": 18]> twice (a) => (b) { c = Neg(a) b = Neg(c) }'
    header = '<ir_version: 9, opset_import: ["": 17, "my": 1, "ai.onnx.ml": 5]>'
    proto = onnx.parser.parse_model(f"{header} g (float[4] x) => (float[4] y) {{ y = my.twice(x) }} {body}")
    copy = runtime_copy(proto, Path(), older)
    assert copy.ir_version == 8
    assert {entry.domain: entry.version for entry in copy.opset_import} == {"": 17, "my": 1, "ai.onnx.ml": 3}
    assert copy.functions[0].opset_import[0].version == 17


def test_axes_of_32_bits(tmp_path: Path) -> None:
    """ONNX allows them for Pad; ONNX Runtime's shape inference reads 64 bits alone."""
    text = PADDED.replace("<int64", "<int32[2] a = {2,3}, int64").replace(
        "int64[8] p = {0,0,1,1,0,0,1,1}", "int64[4] p = {1,1,1,1}"
    )
    proto = parse(text.replace("(x, p)", "(x, p, , a)"), opset=18)
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    assert run(proto, tmp_path, x=x).shape == (1, 1, 6, 6)


# What is told. --------------------------------------------------------------------------------------------------------


def test_the_cause_is_told_in_full() -> None:
    text = "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions: x\n index: 1 Got: 16 Expected: 3"
    assert cause_of(ValueError(text)) == "Got invalid dimensions: x index: 1 Got: 16 Expected: 3"
    loading = (
        "[ONNXRuntimeError] : 1 : FAIL : Load model from /tmp/a failed.onnx failed:This is an invalid model. Error: z"
    )
    assert cause_of(ValueError(loading)) == "This is an invalid model. Error: z"
    assert cause_of(ValueError("")) == "ValueError"


@pytest.mark.parametrize(
    ("text", "integers", "hint"),
    [
        (
            "Non-zero status code returned while running If node.",
            ["sr"],
            "give fitting inputs for sr: --inputs FILE.npz",
        ),
        ("Non-zero status code returned while running Add node.", [], "correct the node that is named; if its shapes"),
        ("Fatal error: my:Foo(-1) is not a registered function/op", ["sr"], "the model uses an op of another runtime"),
        ("9 : NOT_IMPLEMENTED : Could not find an implementation", [], "ONNX Runtime has no CPU kernel"),
        ("This is an invalid model. Type Error", ["sr"], "the model is not valid ONNX"),
        ("Protobuf parsing failed", ["sr"], ""),
        ("Got invalid dimensions for input: x", ["sr"], "give shapes that it takes: --shape"),
    ],
)
def test_the_hint_fits_the_cause(text: str, integers: list[str], hint: str) -> None:
    assert (hint_of(ValueError(text), integers, "--inputs") or "").startswith(hint)


def test_whole_numbers_that_do_not_fit_are_named(tmp_path: Path) -> None:
    """As the sampling rate of a speech model, which picks a branch."""
    text = """g (float[1,4] x, int64 rate) => (float[1,4] y) <int64 wanted = {16000}> {
        is_known = Equal(rate, wanted)
        y = If (is_known) <then_branch = t () => (float[1,4] p) { p = Neg(x) },
                           else_branch = e () => (float[1,4] q) <int64[1] five = {5}> { q = Reshape(x, five) }>
    }"""
    onnx.save(parse(text), tmp_path / "model.onnx")
    for command, option in (
        (("compare", "model.onnx", "model.onnx"), "--inputs"),
        (("build", "model.onnx", "--dry-run", "--precision", "fp16"), "--calibration"),
    ):
        result = run_here(*command, cwd=tmp_path)
        if result.exit_code == 3 and "ONNX Runtime" in result.error:
            assert "Reshape" in result.error
            assert f"fitting inputs for rate: {option} FILE.npz" in result.hint
        else:  # nothing of the model can be fp16
            assert command[0] == "build"


def test_telemetry_is_off_before_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    onnx_session._import_runtime()
    import os

    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_batch_statistics_survive_equal_initializers(tmp_path: Path) -> None:
    """An instance norm without affine as PyTorch exports it: scale is the running variance, bias the running mean."""
    equal = "float[2] s = {1, 1}, float[2] b = {0, 0}, float[2] m = {0, 0}, float[2] v = {1, 1}"
    node = "y, mean, variance = BatchNormalization <training_mode = 1> (x, s, b, m, v)"
    x = np.random.default_rng(0).normal(3, 2, (1, 2, 50)).astype(np.float32)
    path = tmp_path / "model.onnx"
    onnx.save(parse(f"g (float[1,2,50] x) => (float[1,2,50] y) <{equal}> {{ {node} }}"), path)
    (y,) = open_file(path).run(None, {"x": x})
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, expected, atol=1e-5)
