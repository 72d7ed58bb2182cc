"""The peak signal-to-noise ratio: of images alone, and the number that the formula gives."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from trtconv.comparison import ComparisonReport, compare
from trtconv.comparison.psnr import is_image, psnr_db

IMAGE = "1,3,16,20"


def compared(folder: Path, body: str, dims: str = IMAGE, also: str = "4,4") -> ComparisonReport:
    """Compare `y` and `z`, which are what they are given, with what `body` makes of them."""
    for name, nodes in (("a", "y = Identity(x) z = Identity(w)"), ("b", body)):
        text = f'<ir_version: 8, opset_import: ["": 17]> g (float[{dims}] x, float[{also}] w) => '
        text += f"(float[{dims}] y, float[{also}] z) <float c = {{0.01}}> {{ {nodes} }}"
        onnx.save(onnx.parser.parse_model(text), folder / f"{name}.onnx")
    x = np.random.default_rng(0).uniform(-2, 2, [int(each) for each in dims.split(",")]).astype(np.float32)
    x.flat[:2] = -2, 2
    return compare(folder / "a.onnx", folder / "b.onnx", [{"x": x, "w": np.ones((4, 4), np.float32)}], 0.1)


def test_the_peak_is_the_range_of_the_reference(tmp_path: Path) -> None:
    """An error of 0.01 everywhere, in an image from -2 to 2."""
    report = compared(tmp_path, "y = Add(x, c) z = Identity(w)")
    image, other = report.outputs
    assert image.psnr_db == pytest.approx(10 * math.log10(4**2 / 0.01**2), abs=1e-3)
    assert other.psnr_db is None
    lines = [line.split() for line in report.render().splitlines()]
    (heading,) = [line for line in lines if "PSNR" in line]
    assert heading[-1] == "PSNR"
    assert ["52.0", "dB"] in [line[-2:] for line in lines if line[:1] == ["y"]]


def test_pixels_that_are_off_by_one() -> None:
    """Pixels 0 to 255 of which each is off by one: 48.13 dB."""
    reference = np.arange(256, dtype=np.float64)
    assert psnr_db(reference, np.ones(256)) == pytest.approx(48.1308, abs=1e-4)


def test_equal_images_have_an_infinite_ratio(tmp_path: Path) -> None:
    report = compared(tmp_path, "y = Identity(x) z = Identity(w)")
    assert report.outputs[0].psnr_db == math.inf
    assert "inf dB" in report.render()
    assert json.loads(json.dumps(report.to_json()))["outputs"][0]["psnr_db"] == "inf"


def test_without_an_image_nothing_is_said_of_it(tmp_path: Path) -> None:
    report = compared(tmp_path, "y = Add(x, c) z = Identity(w)", dims="1,64,16,20")
    assert [output.psnr_db for output in report.outputs] == [None, None]
    assert "PSNR" not in report.render()


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (2, 1, 100, 30), (1, 8, 9, 3), (1, 720, 1280, 1)])
def test_images(shape: tuple[int, ...]) -> None:
    assert is_image(shape)


@pytest.mark.parametrize("shape", [(), (3,), (64, 64), (3, 64, 64), (1, 4, 64, 64), (1, 3, 7, 64), (0, 3, 64, 64)])
def test_no_images(shape: tuple[int, ...]) -> None:
    assert not is_image(shape)


def test_errors_beyond_the_square_of_float64_have_a_ratio() -> None:
    reference = np.array([0.0, 1e200])
    assert psnr_db(reference, np.array([0.0, 1e198])) == pytest.approx(40 + 20 * math.log10(math.sqrt(2)))


def test_an_image_of_one_value_has_no_peak() -> None:
    assert psnr_db(np.full(9, 2.0), np.full(9, 0.1)) is None
