"""Paths that are not ASCII, and not even UTF-8, in every command that reads or writes a model."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.support.command_line import RTX, environment, run, run_here, write_model
from trtconv.files import text_path

GBK = os.fsdecode(b"\xc4\xa3\xd0\xcd")  # as unzip leaves a folder that a Chinese Windows has packed
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
DATA = "веса.bin"


def write_external(folder: Path, name: str) -> Path:
    """Write a model with its weights and its pads in a data file whose name is not ASCII."""
    path = write_model(folder, "static")
    model = onnx.load(path)
    path.unlink()
    weights = {"w": np.ones((1, 3, 10, 12), np.float32)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, key) for key, value in weights.items())
    norm = next(node for node in model.graph.node if node.output[0] == "y")
    norm.output[0] = "n"
    model.graph.node.append(onnx.helper.make_node("Add", ["n", "w"], ["y"]))
    target = Path(folder, name)
    with target.open("wb") as file:
        onnx.external_data_helper.convert_model_to_external_data(model, location=DATA, size_threshold=0)
        onnx.external_data_helper.write_external_data_tensors(model, str(folder))
        file.write(model.SerializeToString())
    return target


@pytest.fixture(params=["folder", "file", "both"])
def model(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path / ("plain" if request.param == "file" else GBK)
    (tmp_path / "made").mkdir()
    made = write_external(tmp_path / "made", "model.onnx")
    made = made.rename(made.with_name("model.onnx" if request.param == "folder" else f"{GBK}.onnx"))
    made.parent.rename(folder)
    return folder / made.name


def test_every_command_takes_a_path_that_is_not_utf_8(model: Path) -> None:
    folder = model.parent
    rewritten = folder / f"{GBK}.rewritten.onnx"
    for args in (
        ["build", model, *RTX],
        ["build", model, "--dry-run", "--precision", "bf16"],
        ["rewrite", model, "-o", rewritten],
        ["inspect", model],
    ):
        result = run_here(*args, "--json", cwd=folder)
        assert result.exit_code == 0, result.stderr
        json.loads(result.stdout)
        assert result.stderr == ""
    assert rewritten.exists()
    engine = model.with_name(model.name.removesuffix(".onnx") + ".engine")
    assert engine.read_bytes()[:4] == b"vtrt"
    manifest = json.loads(engine.with_name(engine.name + ".json").read_text())
    assert manifest["model"]["file"] == model.name


def test_an_error_names_the_path_and_shows_no_bytes_of_the_model(model: Path) -> None:
    content = model.read_bytes()
    model.write_bytes(content[: len(content) // 2])
    result = run_here("build", model, *RTX, cwd=model.parent)
    assert result.exit_code == 3
    assert len(result.stderr) < 600
    assert "\\udc" not in result.stderr


@pytest.mark.parametrize("command", ["build", "rewrite", "inspect"])
def test_the_c_locale(tmp_path: Path, command: str) -> None:
    folder = tmp_path / "модель"
    folder.mkdir()
    model = write_external(folder, "сеть.onnx")
    options = {"build": [*RTX], "rewrite": ["-o", folder / "новая.onnx"], "inspect": []}[command]
    result = run(command, model, *options, cwd=folder, env=environment(**C_LOCALE))
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""


def test_a_text_path_leads_to_the_same_folder(tmp_path: Path) -> None:
    folder = tmp_path / GBK
    folder.mkdir()
    (folder / "data").write_text("beside")
    with text_path(folder / "model.onnx") as path:
        assert path.encode().decode() == path
        assert Path(path).name == "model.onnx"
        assert Path(path).with_name("data").read_text() == "beside"
    assert not Path(path).parent.exists()
    with text_path(tmp_path / "модель.onnx") as path:
        assert path == str(tmp_path / "модель.onnx")
