"""Decisions are written once and obeyed from then on."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import onnx.parser
import pytest

from trtconv import BuildConfig, dry_run
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
    report = dry_run(model, BuildConfig(decisions=file))
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


def test_an_edited_file_is_obeyed_and_left_alone(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "decisions.json"
    decide(model, file)
    edit(file, 1, became=None, reason="slower here")
    content = file.read_text()
    report = dry_run(model, BuildConfig(decisions=file))
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
    with pytest.raises(ConfigError, match="no decision file"):
        decide(model, file)
    assert file.read_text() == content


def test_a_file_without_decisions_is_read_and_not_written_over(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "decisions.json"
    file.write_text('{"format": 1, "decisions": []}')
    assert decide(model, file) == {"first": "trtconv::ReflectPad", "second": "trtconv::ReflectPad"}
    assert file.read_text() == '{"format": 1, "decisions": []}'
