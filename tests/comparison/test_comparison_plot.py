"""The parts of a plot that are arithmetic; a person has to look at the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from tests.support.extent import part
from trtconv.comparison import compare
from trtconv.comparison.plot import _largest_of_blocks, _map_of, write_plot

PNG = b"\x89PNG"


def test_a_map_is_the_mean_over_all_but_height_and_width() -> None:
    error = np.arange(2 * 3 * 5 * 6, dtype=float).reshape(2, 3, 5, 6)
    for arranged in (error, error.transpose(0, 2, 3, 1)):
        heat = _map_of(arranged)
        assert heat is not None
        assert np.array_equal(heat, error.mean(axis=(0, 1)))
    assert _map_of(np.zeros((1, 1000))) is None
    assert _map_of(np.zeros(9)) is None


def test_no_error_vanishes_when_a_map_is_shrunk() -> None:
    error = np.zeros((3000, 2049))
    error[2999, 2048] = error[1234, 7] = 5
    heat = _map_of(error)
    assert heat is not None
    assert max(heat.shape) <= 1024
    assert np.count_nonzero(heat) == 2
    assert heat[-1, -1] == heat.max() == 5
    assert np.array_equal(_largest_of_blocks(np.array([[1.0, 2.0, 3.0]]), (1, 2)), [[2.0, 3.0]])


SHAPES = ["", "0", "7", "100000", "1,1000", "4,4", "2,3,40,50", "1,40,50,3", "2,3,4,5,6"]


@pytest.mark.parametrize("shape", part(SHAPES, {"", "0", "100000", "2,3,40,50"}.__contains__))
def test_outputs_of_every_rank_are_drawn(tmp_path: Path, shape: str) -> None:
    pytest.importorskip("matplotlib")
    text = f'<ir_version: 8, opset_import: ["": 17]> g (float[{shape}] x) => (float[{shape}] y) <float c = {{1.01}}> '
    for name, body in (("a", "y = Identity(x)"), ("b", "y = Mul(x, c)")):
        onnx.save(
            onnx.parser.parse_model(f"{text} {{ {body} }}".replace("float[] ", "float ")), tmp_path / f"{name}.onnx"
        )
    dims = tuple(int(each) for each in shape.split(",") if each)
    x = np.random.default_rng(0).standard_normal(dims).astype(np.float32)
    report = compare(tmp_path / "a.onnx", tmp_path / "b.onnx", [{"x": np.asarray(x)}], 0.0, keep_arrays=True)
    write_plot(report, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(PNG)


def drawn(folder: Path, body: str, values: list[float]) -> list[str]:
    """Return what a plot writes and how it draws, for what `body` makes of the values of an 8 x 8 map."""
    figures = []
    for name, nodes in (("a", "y = Identity(x)"), ("b", body)):
        text = f'<ir_version: 8, opset_import: ["": 17]> g (float[8,8] x) => (float[8,8] y) {{ {nodes} }}'
        onnx.save(onnx.parser.parse_model(text), folder / f"{name}.onnx")
    x = np.resize(np.array(values, np.float32), (8, 8))
    report = compare(folder / "a.onnx", folder / "b.onnx", [{"x": x}], 0.0, keep_arrays=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: figures.append(figure))
        write_plot(report, folder / "plot.png")
    axes = figures[0].axes
    return [*(text.get_text() for axis in axes for text in axis.texts), *("map" for axis in axes if axis.images)]


def test_equal_outputs_are_said_to_be_equal_and_no_map_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert drawn(tmp_path, "y = Identity(x)", [1, 2, 3]) == ["all 64 elements are equal"]
    assert drawn(tmp_path, "y = Identity(x)", [1, float("nan"), float("inf")]) == ["all 64 elements are equal"]


def test_errors_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert drawn(tmp_path, "y = Abs(x)", [-1, 2, 3]) == ["map"]


def test_errors_that_are_no_numbers_are_said_to_be_so(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert drawn(tmp_path, "y = Sqrt(x)", [0, 1, -1]) == ["the errors are NaN or infinite", "map"]
