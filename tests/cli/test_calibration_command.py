"""`--calibration` and made-up inputs, as a user meets them: values of shape tensors, files that fit or do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.support.command_line import Result, run_here, write_model

RESIZED = """g (float[1,4,8,8] x, int64[4] size) => (float[1,4,h,w] y) <float[4] s = {1,2,3,4}, float[4] b = {0,0,0,0}>
{
    t = Resize<mode="linear">(x, , , size)
    y = InstanceNormalization(t, s, b)
}"""
SIZES = "size=[1,4,8,8]:[1,4,22,22]:[1,4,64,64]"
CONVOLUTION = """g (float[1,4,16,16] x) => (float[1,1,16,16] y) <float[1,4,1,1] w = {1, 2, 3, 4}> { y = Conv(x, w) }"""
DRY = ("--dry-run", "--precision", "fp16")


def test_the_usual_values_of_a_shape_tensor_are_used(tmp_path: Path) -> None:
    write_model(tmp_path, "m", RESIZED)
    result = run_here("build", "m.onnx", *DRY, "--shape", SIZES, cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    without = run_here("build", "m.onnx", *DRY, cwd=tmp_path)
    assert without.exit_code == 3
    assert "fitting inputs for size: --calibration FILE.npz, or use --precision bf16" in without.hint
    np.savez(tmp_path / "i.npz", x=np.ones((1, 4, 8, 8)))
    result = run_here("build", "m.onnx", *DRY, "--shape", SIZES, "--calibration", "i.npz", cwd=tmp_path)
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("options", [(), ("--all-shapes",), ("--inputs", "i.npz")])
def test_compare_takes_the_values_of_a_shape_tensor(tmp_path: Path, options: tuple[str, ...]) -> None:
    write_model(tmp_path, "m", RESIZED)
    np.savez(tmp_path / "i.npz", x=np.ones((1, 4, 8, 8)))
    result = run_here("compare", "m.onnx", "m.onnx", "--shape", SIZES, *options, cwd=tmp_path)
    assert result.exit_code == 0, result.stderr


def calibrate(folder: Path, values: Any, name: str = "i.npz") -> Result:
    write_model(folder, "m", CONVOLUTION)
    if name.endswith(".npz"):
        np.savez(folder / name, x=values)
    else:
        np.save(folder / name, values)
    return run_here("build", "m.onnx", *DRY, "--calibration", name, cwd=folder)


@pytest.mark.parametrize("name", ["i.npz", "i.npy"])
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.uint8, np.int64])
def test_types_that_fit_are_cast(tmp_path: Path, dtype: Any, name: str) -> None:
    result = calibrate(tmp_path, np.ones((1, 4, 16, 16), dtype), name)
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.ones((1, 16, 16, 4)), "x is 1x16x16x4, expected 1x4x16x16"),
        (np.full((1, 4, 16, 16), np.nan), "x holds NaN, in 1024 of 1024 values"),
        (np.full((1, 4, 16, 16), np.inf), "x holds inf, in 1024 of 1024 values"),
        (np.full((1, 4, 16, 16), 1j), "x is of type complex128, expected float32"),
    ],
)
def test_values_that_do_not_fit_are_told(tmp_path: Path, values: Any, said: str) -> None:
    result = calibrate(tmp_path, values)
    assert result.exit_code == 2
    assert result.error == f"--calibration i.npz: {said}"


def test_a_calibration_without_shapes_says_what_to_type(tmp_path: Path) -> None:
    write_model(tmp_path, "dynamic")
    result = run_here("build", "dynamic.onnx", *DRY, cwd=tmp_path)
    assert result.exit_code == 2
    assert result.hint == "add --shape x=1x3x256x256"


def test_a_newer_model_is_compared_and_the_report_says_how(tmp_path: Path) -> None:
    path = write_model(tmp_path, "m", CONVOLUTION)
    model = onnx.load(path)
    model.ir_version = 15
    next(entry for entry in model.opset_import if not entry.domain).version = 31
    onnx.save(model, path)
    result = run_here("compare", "m.onnx", "m.onnx", "--json", cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "does not know opset 31 of ai.onnx: it ran the model as opset" in result.document["notes"][0]
    assert run_here("build", "m.onnx", *DRY, cwd=tmp_path).exit_code == 0
