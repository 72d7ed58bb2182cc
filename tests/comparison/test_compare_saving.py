"""The files of --save-inputs and --save-outputs: what is in them, under which names, and that they are read again."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from tests.support.command_line import contents, run_here, write_model
from tests.support.comparison_models import write_network
from trtconv.comparison.saving import ArrayFiles
from trtconv.inputs.array_files import npz_bytes
from trtconv.inputs.input_files import fitted, read_inputs
from trtconv.inputs.made_inputs import InputSet, InputSpec

SAVE = ("--save-inputs", "in.npz", "--save-outputs", "out.npz")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_network(tmp_path / "good.onnx")
    write_network(tmp_path / "bad.onnx", parameters="b, s")
    return tmp_path


def test_what_was_saved_gives_the_same_comparison(folder: Path) -> None:
    made = run_here("compare", "good.onnx", "bad.onnx", "--sets", "1", *SAVE, "--json", cwd=folder)
    assert (made.document["saved_inputs"], made.document["saved_outputs"]) == (["in.npz"], ["out.npz"])
    again = run_here("compare", "good.onnx", "bad.onnx", "--inputs", "in.npz", "--json", cwd=folder).document
    figures = [{**output, "input_set": ""} for output in made.document["outputs"]]
    assert [{**output, "input_set": ""} for output in again["outputs"]] == figures
    other = run_here("compare", "good.onnx", "bad.onnx", "--sets", "1", "--seed", "1", "--json", cwd=folder).document
    assert [{**output, "input_set": ""} for output in other["outputs"]] != figures


def test_outputs_of_both_have_names(folder: Path) -> None:
    result = run_here("compare", "good.onnx", "bad.onnx", "--sets", "1", *SAVE, "--json", cwd=folder)
    saved = np.load(folder / "out.npz")
    assert sorted(saved) == ["candidate/y", "candidate/z", "y", "z"]
    worst = result.document["outputs"][0]["worst"]
    assert (saved["y"][tuple(worst["index"])], saved["candidate/y"][tuple(worst["index"])]) == pytest.approx(
        (worst["expected"], worst["got"])
    )


def test_each_of_several_sets_has_its_file(folder: Path) -> None:
    result = run_here("compare", "good.onnx", "bad.onnx", *SAVE, cwd=folder)
    assert {"in-1.npz", "in-2.npz", "out-1.npz", "out-2.npz"} < set(contents(folder))
    assert "in.npz" not in contents(folder)
    said = " ".join(result.stdout.split())
    assert "saved inputs in in-1.npz, in-2.npz" in said
    assert (
        "saved outputs in out-1.npz, out-2.npz: the reference's by their names, the candidate's as candidate/NAME"
        in said
    )
    values = [np.load(folder / f"in-{number}.npz")["x"] for number in (1, 2)]
    assert not np.array_equal(*values)


def test_inputs_are_there_where_the_run_fails(tmp_path: Path) -> None:
    """The reshape that fails needs the input's values."""
    write_model(tmp_path, "m", "g (float[1,3] x, int64[2] s) => (float[A,B] y) { y = Reshape(x, s) }")
    result = run_here("compare", "m.onnx", "m.onnx", "--shape", "s=[5,7]", "--sets", "1", *SAVE, cwd=tmp_path)
    assert result.exit_code == 3
    assert list(np.load(tmp_path / "in.npz")["s"]) == [5, 7]
    assert "out.npz" not in contents(tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--save-inputs", "in.txt"), "in.txt: got .txt, expected .npz"),
        (("--save-outputs", "out"), "out: got no suffix, expected .npz"),
        (("--save-inputs", "a.npz", "--save-outputs", "./a.npz"), "would be written to one file"),
        (("--save-inputs", "x.npz", "--inputs", "x.npz"), "is never overwritten"),
        (("--save-inputs", "x.npz", "--inputs", "x-1.npz", "--inputs", "x.npz"), "is never overwritten"),
        (("--save-outputs", "no/a.npz"), "the folder does not exist"),
    ],
)
def test_wrong_places(folder: Path, options: tuple[str, ...], said: str) -> None:
    for name in ("x", "x-1"):
        np.savez(folder / f"{name}.npz", x=np.zeros((1, 2, 12, 16), np.float32))
    before = contents(folder)
    result = run_here("compare", "good.onnx", "bad.onnx", *options, cwd=folder)
    assert result.exit_code == 2
    assert said in result.error
    assert contents(folder) == before


def test_a_numbered_file_never_takes_the_place_of_a_source(folder: Path) -> None:
    for name in ("x-1", "y"):
        np.savez(folder / f"{name}.npz", x=np.zeros((1, 2, 12, 16), np.float32))
    options = ("--inputs", "x-1.npz", "--inputs", "y.npz", "--save-inputs", "x.npz")
    result = run_here("compare", "good.onnx", "bad.onnx", *options, cwd=folder)
    assert (result.exit_code, "x-1.npz" in result.error) == (2, True)


def test_an_array_may_be_called_file_and_hold_every_type(tmp_path: Path) -> None:
    """numpy.savez takes `file` for its own parameter."""
    arrays = {
        "file": np.arange(3),
        "/a/b:0": np.array([1.5, -2], ml_dtypes.bfloat16),
        "text": np.array(["a", "bc"], object),
    }
    (tmp_path / "a.npz").write_bytes(npz_bytes(arrays))
    read = np.load(tmp_path / "a.npz")
    assert read["/a/b:0"].dtype == np.float32
    assert {name: list(read[name]) for name in read} == {name: list(values) for name, values in arrays.items()}


def test_structures_become_arrays_and_no_name_is_taken_twice(tmp_path: Path) -> None:
    files = ArrayFiles(tmp_path / "o.npz", 1, ())
    expected = {"s": [{"cat": 0.25}, {"cat": 0.75}], "candidate/s[0]['cat']": np.ones(2)}
    files.write_outputs(0, expected, {"s": [{"cat": 0.5}, {"cat": 0.5}]})
    saved = {name: values.tolist() for name, values in np.load(tmp_path / "o.npz").items()}
    assert saved == {
        "s[0]['cat']": 0.25, "s[1]['cat']": 0.75, "candidate/s[0]['cat']": [1, 1],
        "candidate/s[0]['cat']_1": 0.5, "candidate/s[1]['cat']": 0.5,
    }  # fmt: skip


def test_bfloat16_inputs_are_read_again(tmp_path: Path) -> None:
    values = np.array([1.5, -2, 3e38], ml_dtypes.bfloat16)
    spec = InputSpec("x", values.dtype, (3,))
    ArrayFiles(tmp_path / "i.npz", 1, ()).write_inputs([InputSet("", {"x": values})])
    (made,) = read_inputs([tmp_path / "i.npz"], [spec])
    for read in (made.feed["x"], fitted(spec, made.feed["x"], "again")):
        assert read.dtype == values.dtype
        assert np.array_equal(read, values)
