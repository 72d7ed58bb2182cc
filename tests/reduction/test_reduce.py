"""`trtconv reduce`: what it finds, what it writes, and that the line that it prints shows the difference again."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from tests.support.command_line import OPSET_17, contents, run, run_here, write_model
from tests.support.comparison_models import write_network
from tests.support.documented_json import assert_documented
from tests.support.onnx_engine import FakeTensorRT
from trtconv import reduction
from trtconv.errors import Interrupted
from trtconv.reduction import ReduceConfig, candidates

ORT = ("--runtime", "onnxruntime")
Spoil = Callable[[onnx.ModelProto], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_network(tmp_path / "m.onnx")
    return tmp_path


def spoil_rewriting(monkeypatch: pytest.MonkeyPatch, spoil: Spoil) -> None:
    """Let the passes make something wrong."""
    prepare = candidates.prepare

    def wrong(*args: Any) -> Any:
        proto, report = prepare(*args)
        spoil(proto)
        return proto, report

    monkeypatch.setattr(candidates, "prepare", wrong)


def swap_scale_and_bias(proto: onnx.ModelProto) -> None:
    for node in proto.graph.node:
        if node.op_type == "InstanceNorm":
            node.input[1], node.input[2] = node.input[2], node.input[1]


def turn_pads_round(proto: onnx.ModelProto) -> None:
    for node in proto.graph.node:
        if node.op_type == "ReflectPad":
            pads = next(each for each in node.attribute if each.name == "pads").ints
            half = len(pads) // 2
            pads[:] = [*pads[half:], *pads[:half]]


def replace_after(op: str, after: str) -> Spoil:
    """Make an Abs of each node of one op whose input a node of another op writes."""

    def spoil(proto: onnx.ModelProto) -> None:
        writers = {name: node.op_type for node in proto.graph.node for name in node.output}
        for node in proto.graph.node:
            if node.op_type == op and writers.get(node.input[0]) == after:
                node.op_type = "Abs"

    return spoil


@pytest.mark.parametrize(
    ("spoil", "node", "tensor"), [(swap_scale_and_bias, "/norm", "n"), (turn_pads_round, "/pad", "p")]
)
def test_one_wrong_node_is_found_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, spoil: Spoil, node: str, tensor: str
) -> None:
    spoil_rewriting(monkeypatch, spoil)
    result = run_here("reduce", "m.onnx", "-o", "small.onnx", *ORT, "--json", cwd=folder)
    assert (result.exit_code, result.stderr) == (1, "")
    assert_documented(result.document)
    reduced = result.document["reduced"]
    assert (reduced["nodes"], reduced["tensor"]) == ([node], tensor)
    small = onnx.load(folder / "small.onnx")
    onnx.checker.check_model(small, full_check=True)
    assert [each.name for each in small.graph.node] == [node]
    assert [each.name for each in small.graph.input] == list(np.load(folder / "small.npz"))


def test_the_line_that_is_printed_shows_the_difference_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_rewriting(monkeypatch, swap_scale_and_bias)
    made = run_here("reduce", "m.onnx", "-o", "small.onnx", *ORT, "--json", cwd=folder).document
    program, *words = shlex.split(made["reduced"]["command"])
    again = run_here(*words, "--json", cwd=folder)
    assert (program, again.exit_code) == ("trtconv", 1)
    figures = {**made["reduced"]["comparison"], "input_set": "small.npz"}
    assert again.document["outputs"] == [figures]


def test_the_inputs_are_the_values_of_the_whole_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_rewriting(monkeypatch, swap_scale_and_bias)
    x = np.random.default_rng(0).standard_normal((1, 2, 12, 16)).astype(np.float32)
    np.savez(folder / "x.npz", x=x)
    result = run_here("reduce", "m.onnx", "-o", "small.onnx", *ORT, "--inputs", "x.npz", cwd=folder)
    assert result.exit_code == 1
    assert np.array_equal(np.load(folder / "small.npz")["a"], x * x)


def test_fp16_is_reduced_to_the_node_that_loses_the_digits(tmp_path: Path) -> None:
    """Nothing is spoilt here: a third has no place in fp16, whole numbers have one."""
    text = "g (float[4] x) => (float[4] y) <float two = {2.0}, float third = {0.3333333}> "
    body = '{ ["a"] a = Mul(x, two) ["b"] b = Relu(a) ["c"] c = Mul(b, third) ["d"] y = Relu(c) }'
    write_model(tmp_path, "m", text + body)
    np.savez(tmp_path / "x.npz", x=np.array([1, 2, 4, 7], np.float32))
    options = ("--precision", "fp16", "--inputs", "x.npz", "--tolerance", "1e-5")
    result = run_here("reduce", "m.onnx", "-o", "small.onnx", *ORT, *options, "--json", cwd=tmp_path)
    assert result.exit_code == 1, result.stderr
    assert result.document["reduced"]["nodes"] == ["c"]


def test_fp16_is_judged_by_the_inputs_that_are_compared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged_by = []
    prepare = candidates.prepare

    def wrong(model: Any, config: Any, reason: Any) -> Any:
        judged_by.append([path.name for path in config.calibration])
        proto, report = prepare(model, config, reason)
        swap_scale_and_bias(proto)
        return proto, report

    monkeypatch.setattr(candidates, "prepare", wrong)
    np.savez(folder / "x.npz", x=np.ones((1, 2, 12, 16), np.float32))
    options = ("--precision", "fp16", "--inputs", "x.npz")
    result = run_here("reduce", "m.onnx", "-o", "small.onnx", *ORT, *options, "--json", cwd=folder)
    assert result.exit_code == 1
    assert judged_by[0] == ["x.npz"]
    assert judged_by[1:] == [["small.npz"]] * (len(judged_by) - 1) != []


def test_what_takes_two_nodes_is_reduced_to_two(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Relu is wrong after a norm alone: without the norm it is right."""
    spoil_rewriting(monkeypatch, replace_after("Relu", "InstanceNorm"))
    result = run_here("reduce", "m.onnx", "-o", "small.onnx", *ORT, "--json", cwd=folder)
    assert (result.document["reduced"]["nodes"], result.document["reduced"]["tensor"]) == (["/norm", "/relu"], "r")


def test_where_nothing_differs_nothing_is_written(folder: Path) -> None:
    before = contents(folder)
    result = run_here("reduce", "m.onnx", "-o", "small.onnx", *ORT, cwd=folder)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "same every output is within the tolerance: there is nothing to reduce" in " ".join(result.stdout.split())
    assert contents(folder) == before


def test_where_no_part_differs_by_itself_nothing_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(proto: onnx.ModelProto) -> None:
        if len(proto.graph.output) == 2:
            swap_scale_and_bias(proto)

    spoil_rewriting(monkeypatch, spoil)
    before = contents(folder)
    result = run_here("reduce", "m.onnx", "-o", "small.onnx", *ORT, cwd=folder)
    assert (result.exit_code, result.stderr) == (1, "")
    assert "no part of the model differs by itself: nothing was written" in result.stdout
    assert contents(folder) == before


def test_parts_that_do_not_run_are_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(proto: onnx.ModelProto) -> None:
        swap_scale_and_bias(proto)
        if len(proto.graph.output) == 1:
            proto.graph.node[0].op_type = "Nonsense"

    spoil_rewriting(monkeypatch, spoil)
    result = run_here("reduce", "m.onnx", "-o", "small.onnx", *ORT, cwd=folder)
    assert result.exit_code == 1
    said = " ".join(result.stdout.split())
    assert "parts did not run, the first: small.rewritten.onnx: node /norm: there is no plugin Nonsense" in said


def test_a_candidate_that_does_not_run_is_not_called_by_a_temporary_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(proto: onnx.ModelProto) -> None:
        proto.graph.node[0].op_type = "Nonsense"

    spoil_rewriting(monkeypatch, spoil)
    result = run_here("reduce", "m.onnx", "-o", "small.onnx", *ORT, cwd=folder)
    assert result.exit_code == 3
    assert result.error.startswith("what trtconv makes of m.onnx: ONNX Runtime does not run it")


def test_ctrl_c_ends_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(proto: onnx.ModelProto) -> None:
        swap_scale_and_bias(proto)
        if len(proto.graph.output) == 1:
            raise Interrupted("interrupted")

    spoil_rewriting(monkeypatch, spoil)
    with pytest.raises(Interrupted):
        reduction.reduce(folder / "m.onnx", ReduceConfig(folder / "small.onnx", runtime="onnxruntime"))


def test_an_engine_that_is_wrong_is_reduced_with_its_manifest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensorrt = FakeTensorRT(monkeypatch)
    tensorrt.spoil = swap_scale_and_bias
    monkeypatch.setattr("trtconv.reduction.has_tensorrt", lambda runtime: True)
    report = reduction.reduce(folder / "m.onnx", ReduceConfig(folder / "small.onnx"))
    assert report.reduced is not None
    assert list(report.reduced.nodes) == ["/norm"]
    assert {"small.onnx", "small.engine", "small.engine.json", "small.npz"} < set(contents(folder))
    words = shlex.split(report.reduced.command)
    assert run_here(*words[1:], cwd=folder).exit_code == 1


def test_what_a_branch_reads_from_outside_comes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The branch reads a tensor, a constant and an initializer of the outer graph."""
    text = """g (float[1,2,4,4] x, bool c) => (float[1,2,A,B] y) <float[2] s = {1, 2}, float[2] b = {3, -4}> {
      outer = Neg(x)
      pads = Constant<value_ints=[0, 0, 1, 1, 0, 0, 1, 1]>()
      ["/norm"] n = InstanceNormalization(outer, s, b)
      ["/if"] y = If(c) <
        then_branch = t () => (float[1,2,A,B] p) { q = Pad<mode="reflect">(n, pads) k = Constant<value_float=2.0>()
          p = Mul(q, k) },
        else_branch = e () => (float[1,2,A,B] r) { r = Pad<mode="reflect">(outer, pads) }
      >
    }"""
    write_model(tmp_path, "m", text)

    def spoil(proto: onnx.ModelProto) -> None:
        for node in proto.graph.node:
            for attribute in node.attribute:
                if attribute.name == "then_branch":
                    next(each for each in attribute.g.node if each.op_type == "Mul").op_type = "Add"

    spoil_rewriting(monkeypatch, spoil)
    np.savez(tmp_path / "x.npz", x=np.ones((1, 2, 4, 4), np.float32) * np.arange(4, dtype=np.float32), c=True)
    result = run_here("reduce", "m.onnx", "-o", "small.onnx", *ORT, "--inputs", "x.npz", "--json", cwd=tmp_path)
    assert result.exit_code == 1, result.stderr
    assert result.document["reduced"]["nodes"] == ["/if"]
    assert sorted(np.load(tmp_path / "small.npz")) == ["c", "n", "outer"]


def test_weights_in_other_files_are_in_the_small_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_rewriting(monkeypatch, swap_scale_and_bias)
    model = onnx.parser.parse_model(
        f"{OPSET_17} g (float[1,300,4,4] x) => (float[1,300,4,4] y) "
        '<float[300] s, float[300] b> { r = Neg(x) ["/norm"] y = InstanceNormalization(r, s, b) }'
    )
    rng = np.random.default_rng(0)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(rng.standard_normal(300).astype(np.float32), name) for name in "sb"
    )
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    (tmp_path / "out").mkdir()
    result = run_here("reduce", "m.onnx", "-o", "out/small.onnx", *ORT, cwd=tmp_path)
    assert result.exit_code == 1, result.stderr
    assert sorted(contents(tmp_path / "out")) == ["small.npz", "small.onnx", "small.rewritten.onnx"]
    small = onnx.load(tmp_path / "out" / "small.onnx", load_external_data=False)
    assert {each.data_location for each in small.graph.initializer} == {onnx.TensorProto.DEFAULT}


def test_a_terminal_reads_the_way_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_rewriting(monkeypatch, swap_scale_and_bias)
    result = run_here("reduce", "m.onnx", "-o", "small.onnx", *ORT, cwd=folder)
    said = " ".join(result.stdout.split())
    assert "reduced to 1 node: /norm n: max|error|" in said
    assert "written small.onnx, small.rewritten.onnx, small.npz" in said
    command = "trtconv compare small.onnx small.rewritten.onnx --inputs small.npz --tolerance 0.0001"
    assert said.replace(" \\ ", " ").endswith(f"next {command}")  # where it is wrapped


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("m.onnx", "-o", "small.txt"), 2, "small.txt: got .txt, expected .onnx"),
        (("m.onnx", "-o", "m.onnx"), 2, "never overwritten"),
        (("m.onnx", "-o", "no/small.onnx"), 2, "the folder does not exist"),
        (("m.onnx", "-o", "small.onnx", "--sets", "0"), 2, "at least one input set"),
        (("m.onnx", "-o", "small.onnx", "--atol", "q=1"), 2, "there is no output 'q'"),
        (("none.onnx", "-o", "small.onnx"), 2, "no such file"),
        (("bad.onnx", "-o", "small.onnx"), 3, "ONNX Runtime does not run it"),
        (("m.onnx", "-o", "small.onnx", "--precision", "bf16"), 4, "ONNX Runtime runs no network in bf16"),
        (("m.onnx", "-o", "small.onnx", "--runtime", "tensorrt"), 4, "no engine can be built here"),
    ],
)
def test_errors(folder: Path, args: tuple[str, ...], code: int, said: str) -> None:
    write_model(folder, "bad", "g (float[3] x) => (float[3] y) { y = my.Foo(x) }")
    before = contents(folder)
    runtime = () if "--runtime" in args else ORT
    result = (
        run("reduce", *args, *runtime, cwd=folder) if code == 4 else run_here("reduce", *args, *runtime, cwd=folder)
    )
    assert (result.exit_code, said in result.error) == (code, True), result.stderr
    assert contents(folder) == before
