"""No output takes the place of an input: of a file that was named, of a model's data, of an image in a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from tests.support.command_line import run_here, write_model
from tests.support.onnx_engine import FakeTensorRT
from tests.support.path_options import PATH_OPTIONS, READ, WRITTEN, command_line, write_usual_files

Key = tuple[str, str]
REFUSED = ("never overwritten", "two outputs would be written to this file", "is not a decision file")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    FakeTensorRT(monkeypatch)
    write_usual_files(tmp_path)
    return tmp_path


def of_command(keys: list[Key], read: Key) -> list[Key]:
    return [key for key in keys if key[0] == read[0] and key != read]


def require_refused(folder: Path, key: Key, path: Path, **others: str) -> None:
    """Let an output be a link to a file, which must be refused."""
    command, name = key
    target = folder / f"target{PATH_OPTIONS[key].suffix}"
    target.symlink_to(path)
    before = path.read_bytes()
    result = run_here(*command_line(command, {**others, name: target.name}), cwd=folder)
    assert result.exit_code == 2, result
    assert any(said in result.error for said in REFUSED), result.error
    assert target.name in result.error or path.name in result.error
    assert (path.read_bytes(), target.is_symlink()) == (before, True)


@pytest.mark.parametrize(
    ("read", "written"),
    [(read, written) for read in READ for written in of_command(WRITTEN, read)],
    ids=lambda key: "-".join(key),
)
def test_no_output_takes_the_place_of_a_file_that_is_named(folder: Path, read: Key, written: Key) -> None:
    source = folder / f"source{PATH_OPTIONS[read].suffix}"
    shutil.copy(folder / f"static{PATH_OPTIONS[read].suffix}", source)
    require_refused(folder, written, source, **{read[1]: source.name})


@pytest.mark.parametrize("written", WRITTEN, ids="-".join)
def test_no_output_takes_the_place_of_external_data(folder: Path, written: Key) -> None:
    text = "g (float[1,3,8,8] x) => (float[1,3,8,8] y) { y = Add(x, w) }"
    model = onnx.load(write_model(folder, "static", text))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((1, 3, 8, 8), np.float32), "w"))
    onnx.save(model, folder / "static.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    one_set = {"inputs": "static.npz"} if written[0] == "compare" else {}
    require_refused(folder, written, folder / "weights", **one_set)


@pytest.mark.parametrize(
    ("written", "images"), [(("compare", "plot"), "inputs"), (("build", "report"), "calibration"),
                            (("build", "output"), "calibration")],
    ids=["plot", "report", "engine"],
)  # fmt: skip
def test_no_output_takes_the_place_of_an_image_of_a_folder(folder: Path, written: Key, images: str) -> None:
    (folder / "images").mkdir()
    for name in "ab":
        Image.new("RGB", (8, 8)).save(folder / "images" / f"{name}.png")
    require_refused(folder, written, folder / "images" / "b.png", **{images: "images"})
