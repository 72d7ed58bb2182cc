"""Decisions are written once and obeyed from then on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from trtconv import BuildConfig, dry_run, preparation
from trtconv import decisions as decision_file
from trtconv.decisions import KEPT_FP32, Decision, group_decisions
from trtconv.errors import ConfigError

MODEL = """<ir_version: 8, opset_import: ["": 9]> g (float[1,2,8,8] x) => (float[1,2,12,12] y) {
    [first] a = Pad <mode = "reflect", pads = [0,0,1,1,0,0,1,1]> (x)
    [second] y = Pad <mode = "reflect", pads = [0,0,1,1,0,0,1,1]> (a)
}"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(MODEL), path)
    return path


def decide(model: Path, file: Path) -> dict[str, str | None]:
    report = dry_run(model, BuildConfig(backend="tensorrt", ops="plugin", decisions=file))
    return {decision.node: decision.became for decision in report.decisions}


def edit(file: Path, index: int, **changes: object) -> None:
    document = json.loads(file.read_text())
    document["decisions"][index].update(changes)
    file.write_text(json.dumps(document))


def test_a_missing_file_is_written(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "decisions.json"
    made = decide(model, file)
    assert made == {"first": "trtconv::ReflectPad", "second": "trtconv::ReflectPad"}
    document = json.loads(file.read_text())
    assert document["format"] == 1
    assert {entry["node"]: entry["became"] for entry in document["decisions"]} == made


def test_the_report_says_whether_the_file_was_written_or_followed(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    config = BuildConfig(backend="tensorrt", decisions=file)
    first, second = dry_run(model, config), dry_run(model, config)
    assert (first.decisions_written, first.decisions_read) == (file, None)
    assert (second.decisions_written, second.decisions_read) == (None, file)
    count = len(first.decisions)
    assert f"wrote {count} decision" in first.render()
    assert f"followed {file}" in second.render()
    assert second.to_json()["decisions_read"] == str(file)
    assert "decisions" not in dry_run(model).render()


def test_a_file_that_cannot_be_written_is_told_before_the_work(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "run_and_check", lambda *_: pytest.fail("the passes were run"))
    for file, what in ((tmp_path / "none" / "d.json", "the folder does not exist"), (model / "d.json", "folder does")):
        with pytest.raises(ConfigError, match=what):
            decide(model, file)


def test_an_edited_file_is_obeyed_and_left_alone(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "decisions.json"
    decide(model, file)
    edit(file, 1, became=None, reason="slower here")
    content = file.read_text()
    report = dry_run(model, BuildConfig(backend="tensorrt", ops="plugin", decisions=file))
    kept = next(decision for decision in report.decisions if decision.node == "second")
    assert kept.became is None
    assert "slower here" in kept.reason
    assert report.num_rewritten == 1
    assert file.read_text() == content


def test_a_node_that_is_not_there_is_an_error(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "decisions.json"
    decide(model, file)
    edit(file, 0, node="third")
    with pytest.raises(ConfigError, match="third"):
        decide(model, file)


def test_a_plugin_that_cannot_be_is_an_error(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "decisions.json"
    decide(model, file)
    edit(file, 0, became="trtconv::InstanceNorm")
    with pytest.raises(ConfigError, match=r"wants trtconv::InstanceNorm for first, which becomes trtconv::ReflectPad"):
        decide(model, file)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 2, "decisions": []}', '{"format": 1, "decisions": [1]}']
)
def test_another_file_is_refused(model: Path, tmp_path: Path, content: str) -> None:
    file = tmp_path / "decisions.json"
    file.write_text(content)
    with pytest.raises(ConfigError, match="not a decision file"):
        decide(model, file)
    assert file.read_text() == content


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"node": "first", "op": "Pad"}, "decisions[0]: became is missing"),
        ({"node": 1, "op": "Pad", "became": None}, "decisions[0].node: got 1, expected text"),
        ({"node": "first", "op": "Pad", "became": []}, "decisions[0].became: got a list, expected text"),
        (
            {"node": "first", "op": "Pad", "became": None, "figures": 1},
            "decisions[0].figures: got 1, expected an object",
        ),
    ],
)
def test_a_wrong_entry_is_named(model: Path, tmp_path: Path, entry: object, message: str) -> None:
    file = tmp_path / "decisions.json"
    file.write_text(json.dumps({"format": 1, "decisions": [entry]}))
    with pytest.raises(ConfigError) as caught:
        decide(model, file)
    assert f"is not a decision file: {message}" in caught.value.what
    assert caught.value.where == str(file)


def test_a_list_is_no_decision_file(tmp_path: Path) -> None:
    file = tmp_path / "decisions.json"
    file.write_text("[]")
    with pytest.raises(ConfigError) as caught:
        decision_file.read(file)
    assert caught.value.what == "is not a decision file: the document: got a list, expected an object"


def test_a_pipe_and_a_folder_are_no_decision_files(model: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is not a regular file"):
        decide(model, tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is a folder, expected a JSON file"):
        decide(model, tmp_path)


def test_a_reason_may_be_left_out_and_a_byte_order_mark_is_no_matter(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "decisions.json"
    content = {"format": 1, "decisions": [{"node": "second", "op": "Pad(reflect)", "became": None}]}
    file.write_text(json.dumps(content), encoding="utf-8-sig")
    assert decide(model, file) == {"first": "trtconv::ReflectPad", "second": None}


def test_figures_are_written_where_there_are_some_and_read_back(tmp_path: Path) -> None:
    file = tmp_path / "decisions.json"
    plain = Decision("a", "Pad", None, "slow")
    counted = Decision("b", "Pad", None, "slow", {"native_us": 3.5, "sizes": [1, 2]})
    decision_file.write(file, Path("model.onnx"), [plain, counted])
    document = json.loads(file.read_text())
    assert list(document) == ["format", "model", "decisions"]
    assert [list(entry) for entry in document["decisions"]] == [
        ["node", "op", "became", "reason"],
        ["node", "op", "became", "reason", "figures"],
    ]
    assert decision_file.read(file).by_node == {"a": plain, "b": counted}


def test_decisions_are_grouped_by_what_they_share() -> None:
    made = [Decision(node, op, None, reason) for node, op, reason in ("aPx", "bPy", "cPx", "dQx")]
    groups = group_decisions(made, "op", "became", "reason")
    assert ["".join(each.node for each in group) for group in groups] == ["ac", "b", "d"]
    assert [len(group) for group in group_decisions(made, "reason")] == [3, 1]


def test_the_figures_of_a_precision_reach_the_report(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[2,4] x) => (float[2,4] y)
        <float[4,4] w = {1,2,3,4, 4,3,2,1, 1,2,3,4, 4,3,2,1}, float big = {9000}, float small = {1e-4}> {
        a = MatMul(x, w) [large] c = Mul(a, big) d = Mul(c, small) y = MatMul(d, w) }"""
    path = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    np.savez(tmp_path / "inputs.npz", x=np.ones((2, 4), np.float32))
    report = dry_run(path, BuildConfig(backend="tensorrt", precision="fp16", calibration=[tmp_path / "inputs.npz"]))
    (large,) = [decision for decision in report.kept_fp32 if decision.node == "large"]
    assert large.became == KEPT_FP32
    document = json.loads(json.dumps(report.to_json()))
    (entry,) = [entry for entry in document["kept_fp32"] if entry["node"] == "large"]
    assert entry["figures"] == large.figures == {"tensor": "c", "max_abs": 9e4}


def test_a_file_without_decisions_is_read_and_not_written_over(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "decisions.json"
    file.write_text('{"format": 1, "decisions": []}')
    assert decide(model, file) == {"first": "trtconv::ReflectPad", "second": "trtconv::ReflectPad"}
    assert file.read_text() == '{"format": 1, "decisions": []}'
