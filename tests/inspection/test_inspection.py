"""What `trtconv inspect` tells of a model: the golden outputs, the decisions, the problems, the layout."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper
from rich.cells import cell_len

from tests.support.documented_json import assert_documented
from tests.support.extent import part
from tests.support.inspection_cases import case_paths, expected_outputs, inspect_case, outputs, read_model
from trtconv import rewrite
from trtconv.errors import BackendError, ConfigError, ModelError
from trtconv.inspection import inspect, model_inspection, op_support
from trtconv.inspection.differences import diff
from trtconv.inspection.inspected_nodes import NodeInspection
from trtconv.inspection.model_inspection import inspect_model
from trtconv.reports.layout import render, shorten_middle
from trtconv.reports.tables import NO_BREAK, Column, Facts, Table

MODELS = os.environ.get("TRTCONV_TEST_MODELS")
REAL_MODELS = sorted(Path(MODELS).rglob("*.onnx")) if MODELS else []

CASES = {path.stem: path for path in case_paths()}


def write_case(name: str, folder: Path) -> Path:
    """Write the model of a case as an ONNX file."""
    path = folder / f"{name}.onnx"
    onnx.save(read_model(CASES[name]), path)
    return path


def nodes_of(case: str) -> dict[str, NodeInspection]:
    """Return what is told of each node of a case, by address."""
    return {node.node: node for node in inspect_case(CASES[case]).nodes}


@pytest.mark.parametrize("path", case_paths(), ids=lambda path: path.stem)
def test_golden_output(path: Path) -> None:
    assert outputs(inspect_case(path)) == expected_outputs(path)


@pytest.mark.parametrize("path", case_paths(), ids=lambda path: path.stem)
def test_json_is_as_documented(path: Path) -> None:
    assert_documented(inspect_case(path).to_json())


# Decisions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"ops": "plugin"}, {"ops": "fused"}, {"ops": "rewritten"}], ids=str)
def test_the_decisions_are_those_of_the_rewrite(tmp_path: Path, options: dict[str, Any]) -> None:
    for name in ("reasons", "functions", "unknown_ops"):
        path = write_case(name, tmp_path)
        made = rewrite(path, tmp_path / "out.onnx", **options).decisions
        nodes = inspect_model(path, **options).nodes
        told = [node for node in nodes if node.reason != "the plugin pads by reflection only"]
        assert sorted((node.node, node.op, node.became or "", node.reason) for node in told) == sorted(
            (decision.node, decision.op, decision.became or "", decision.reason) for decision in made
        )


def test_where_parameters_come_from() -> None:
    nodes = nodes_of("reasons")

    def sources(node: str) -> dict[str, str]:
        return {parameter.name: parameter.source for parameter in nodes[node].parameters}

    assert sources("norm") == {"epsilon": "attribute", "scale": "initializer", "bias": "initializer"}
    assert sources("run_time_pad") == {"pads": "run_time"}
    assert sources("branch/then_branch/padded") == {"pads": "computed"}
    assert {parameter.name: parameter.source for parameter in nodes_of("functions")["Pad(y)"].parameters} == {
        "pads": "constant_node",
        "axes": "constant_node",
    }
    assert nodes_of("pad_too_large")["fine"].parameters[0].source == "attribute"
    assert nodes["branch/then_branch/padded"].parameters[0].value == [0, 0, 1, 1, 0, 0, 1, 1]


def test_a_chain_that_begins_at_run_time_is_run_time(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[1, 1, 4, 4] x, int32[8] given) => (y) '
        '{ pads = Cast <to = 7> (given) [pad] y = Pad <mode = "reflect"> (x, pads) }'
    )
    onnx.save(model, tmp_path / "model.onnx")
    (node,) = inspect_model(tmp_path / "model.onnx").nodes
    assert node.became is None
    assert "depends on given" in node.reason
    assert [(parameter.source, parameter.value) for parameter in node.parameters] == [("run_time", None)]


def test_an_error_of_the_pass_is_a_problem_and_no_crash() -> None:
    inspection = inspect_case(CASES["pad_too_large"])
    assert [problem.nodes for problem in inspection.problems] == [("wide",)]
    assert [node.is_decided for node in inspection.nodes] == [False, False]


def test_keep_native_is_respected(tmp_path: Path) -> None:
    path = write_case("reasons", tmp_path)
    nodes = {node.node: node for node in inspect_model(path, keep_native=["nor*"]).nodes}
    assert nodes["norm"].became is None
    assert "--keep-native" in nodes["norm"].reason
    with pytest.raises(ConfigError, match="matches no"):
        inspect_model(path, keep_native=["nobody"])


def test_the_file_is_not_changed(tmp_path: Path) -> None:
    path = write_case("reasons", tmp_path)
    before = path.read_bytes()
    inspect_model(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# What stands in the way -------------------------------------------------------------------------------------------


def test_ops_that_onnx_does_not_define() -> None:
    problems = {problem.nodes[0]: problem.what for problem in inspect_case(CASES["unknown_ops"]).problems}
    assert "not a standard ONNX operator" in problems["scaler"]
    assert "custom domain" in problems["mine"]
    assert "dropped with opset 10" in problems["old"]
    assert "came with opset 18" in problems["new"]
    assert "norm" not in problems


def test_the_parser_of_the_backend_is_asked(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    inspection = inspect_model(write_case("unknown_ops", tmp_path), backend="tensorrt-rtx")
    assert inspection.backend.checked
    refused = [problem for problem in inspection.problems if problem.found_by.startswith("TensorRT-RTX")]
    assert any("mine" in problem.nodes for problem in refused)
    assert not any("norm" in problem.nodes for problem in refused)


def test_the_parser_reads_custom_ops_as_onnx_ops(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    rewrite(write_case("functions", tmp_path), tmp_path / "rewritten.onnx", ops="plugin")
    inspection = inspect_model(tmp_path / "rewritten.onnx", backend="tensorrt-rtx")
    assert inspection.backend.checked
    assert inspection.problems == []
    bare = inspect_model(write_case("rewritten", tmp_path), backend="tensorrt-rtx")
    assert not bare.backend.checked
    assert "without their functions" in bare.backend.detail


def test_without_a_parser_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_backend(config: object) -> None:
        raise BackendError("TensorRT builds engines on a GPU, and no CUDA device found")

    monkeypatch.setattr(op_support.backends, "select_backend", no_backend)
    monkeypatch.setattr(model_inspection, "_as_native", lambda *_: pytest.fail("the model was read for no parser"))
    inspection = inspect_model(write_case("reasons", tmp_path), backend="tensorrt")
    assert not inspection.backend.checked
    assert "unchecked  no TensorRT: TensorRT builds engines on a GPU" in inspection.render(140)


# Data files -------------------------------------------------------------------------------------------------------


def test_data_files_are_listed_and_not_loaded(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[1, 3, 8] x) => (y) { y = InstanceNormalization (x, s, s) }'
    )
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "s"))
    path = tmp_path / "model.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    inspection = inspect_model(path, ops="plugin")
    assert inspection.external_files == {"weights.bin": 12}
    assert inspection.weight_bytes == 12
    assert inspection.nodes[0].became == "trtconv::InstanceNorm"
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match=r"weights\.bin is missing"):
        inspect_model(path)


# Bad files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"text, no model", b"\x08\x07", bytes(100)])
def test_a_file_that_is_neither_model_nor_engine(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="not an ONNX model"):
        inspect(path)


def test_a_truncated_model(tmp_path: Path) -> None:
    path = write_case("reasons", tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelError):
        inspect(path)


# Two models -------------------------------------------------------------------------------------------------------


def test_the_difference_of_a_model_and_its_rewrite(tmp_path: Path) -> None:
    original, rewritten = write_case("functions", tmp_path), tmp_path / "rewritten.onnx"
    rewrite(original, rewritten, ops="plugin")
    difference = diff(inspect(original), inspect(rewritten))
    changed = {(change.section, change.item): (change.a, change.b) for change in difference.changes}
    assert changed["ops", "Pad"] == ("1", None)
    assert changed["ops", "trtconv::ReflectPad"] == (None, "1")
    assert ("inputs", "x") not in changed
    assert_documented(difference.to_json())
    assert "trtconv::ReflectPad" in difference.render(80)


def test_a_model_does_not_differ_from_itself(tmp_path: Path) -> None:
    path = write_case("reasons", tmp_path)
    difference = diff(inspect(path), inspect(path))
    assert difference.changes == []
    assert difference.num_compared > 10


# Groups -----------------------------------------------------------------------------------------------------------


ALIKE = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,8,8] x) => (float[1,3,12,12] y) <float[3] s = {1,1,1}, int64[8] p = {0,0,1,1,0,0,1,1}> {
    [n1] a = InstanceNormalization(x, s, s)
    [n2] b = InstanceNormalization(a, s, s)
    [n3] c = InstanceNormalization(b, s, s)
    [p1] d = Pad<mode="reflect">(c, p)
    [e1] e = Pad<mode="edge">(d, p)
    y = Relu(e)
}"""


def test_equal_nodes_share_a_row_and_all_lists_each(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(ALIKE), tmp_path / "m.onnx")
    inspection = inspect_model(tmp_path / "m.onnx", ops="plugin")
    text = inspection.render(140)
    assert "3 InstanceNormalization" in text
    assert "n1, n2 and 1 more" in text
    assert "n3" not in text
    assert "2: 1 reflect (plugin), 1 edge (native)" in text.replace(NO_BREAK, " ")
    every = inspection.render(140, show_all=True)
    assert all(name in every for name in ("n1", "n2", "n3", "p1", "e1"))
    assert "and 1 more" not in every


def test_changes_of_equal_nodes_share_a_row(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(ALIKE), tmp_path / "m.onnx")
    rewrite(tmp_path / "m.onnx", tmp_path / "r.onnx", ops="plugin")
    difference = diff(*(inspect(tmp_path / name, ops="plugin") for name in ("m.onnx", "r.onnx")))
    assert "3: n1, n2 and 1 more" in difference.render(140)
    assert "n3" in difference.render(140, show_all=True)
    assert [change.item for change in difference.changes if change.section == "nodes"] == ["n1", "n2", "n3", "p1"]


def test_a_norm_has_one_type(tmp_path: Path) -> None:
    """ONNX gives scale and bias the type of X, which custom ops before it leave open."""
    text = ALIKE.replace("[n1] a = InstanceNormalization(x, s, s)", "a = my.Foo(x)").replace(
        '["" : 17]', '["" : 17, "my" : 1]'
    )
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    inspection = inspect_model(tmp_path / "m.onnx")
    assert {node.dtype for node in inspection.nodes if node.op == "InstanceNormalization"} == {"float32"}
    assert "type unknown" not in inspection.render(80, show_all=True)
    assert inspection.render(80).index("Blockers") < inspection.render(80).index("Inputs and outputs")


# Layout -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 40, 60, 80, 100, 140])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for name in CASES:
        text = inspect_case(CASES[name]).render(width)
        assert max(map(cell_len, text.splitlines())) <= max(width, 40)


def test_a_number_stands_with_its_title_where_the_table_does_not_fit() -> None:
    columns = [Column("case", "name"), Column("result"), Column("kernel us", "number"), Column("of copy", "number")]
    table = Table("", columns, [("InstanceNorm/1x64x256x256", "timed", "15.9", "0.46"), ("none", "wrong", "-", "")])
    assert "kernel us  of copy" in render([table], 80)
    lines = [line.strip() for line in render([table], 40).splitlines()]
    assert lines[1:] == ["InstanceNorm/1x64x256x256", "timed", "kernel us 15.9, of copy 0.46", "none", "wrong"]


def test_a_line_does_not_break_between_a_number_and_what_it_counts() -> None:
    ops = ", ".join(f"{count}{NO_BREAK}Transpose" for count in range(100, 120))
    for width in range(40, 60):
        lines = render([Facts([("nodes", ops)])], width).splitlines()
        assert all(line.endswith(("Transpose,", "Transpose")) for line in lines), lines


def test_colour_only_where_asked_for() -> None:
    inspection = inspect_case(CASES["reasons"])
    assert "\x1b[" not in inspection.render(80)
    coloured = inspection.render(80, color=True)
    assert "\x1b[" in coloured
    bare = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [line.rstrip() for line in bare.splitlines()] == inspection.render(80).splitlines()


def test_text_of_a_model_is_no_markup() -> None:
    table = Table("[bold]heading[/bold]", [Column("a", "name"), Column("b", "text")], [("[red]x[/red]", "[1,2]")])
    for width in (40, 80):
        text = render([Facts([("label", "[link=x]")]), table], width)
        assert "[red]x[/red]" in text
        assert "[bold]heading[/bold]" in text
        assert "[link=x]" in text


def test_control_characters_are_written_out() -> None:
    odd = "a\n\x1b[2Jb"
    for width in (40, 80):
        text = render(
            [Facts([("label", odd)]), Table("", [Column("a", "name"), Column("b", "text")], [(odd, odd)])], width
        )
        assert text.count("a\\n\\x1b[2Jb") == 3


@pytest.mark.parametrize("width", range(1, 12))
def test_names_are_shortened_in_the_middle(width: int) -> None:
    short = shorten_middle("abcdefghij", width)
    assert cell_len(short) == min(width, 10)
    assert short == "abcdefghij" or "…" in short
    assert cell_len(shorten_middle("日本語日本語", width)) <= width


# Real models ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not REAL_MODELS, reason="TRTCONV_TEST_MODELS names no folder of real models")
@pytest.mark.parametrize("path", part(REAL_MODELS, REAL_MODELS[::3].__contains__), ids=lambda path: path.stem)
def test_real_models(path: Path, tmp_path: Path) -> None:
    inspection = inspect_model(path)
    assert_documented(inspection.to_json())
    rewritten = rewrite(path, tmp_path / "rewritten.onnx")
    assert sum(decision.is_plugin for decision in inspection.decisions) == rewritten.num_rewritten
    outcome = rewritten.render().splitlines()[0].partition("nodes): ")[2]
    assert outcome in " ".join(inspection.render(1000).split())
    assert all(node.is_decided and node.reason for node in inspection.nodes)
    assert inspection.to_json()["num_nodes"] == rewritten.num_nodes
    for width in (80, 140):
        assert max(map(cell_len, inspection.render(width).splitlines())) <= width
