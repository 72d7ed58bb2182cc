"""The comparison passes equal models and fails on everything that polygraphy's defaults would let through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from trtconv.comparison import ComparisonReport, compare, random_inputs
from trtconv.errors import ConfigError

REFERENCE = "y = Mul(x, two)  z = Neg(x)"
FEED = {"x": np.array([1.0, -2.0, 4.0], dtype=np.float32)}


def save(path: Path, body: str, outputs: Sequence[str] = ("y", "z")) -> Path:
    declared = ", ".join(f"float[3] {name}" for name in outputs)
    constants = "float two = {2.0}, float nearly_two = {2.0001}, float zero = {0.0}"
    text = f'<ir_version: 8, opset_import: ["": 17]> g (float[3] x) => ({declared}) <{constants}> {{ {body} }}'
    onnx.save(onnx.parser.parse_model(text), path)
    return path


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return save(tmp_path / "reference.onnx", REFERENCE)


def run(reference: Path, body: str, *, tolerance: float = 0.0, outputs: Sequence[str] = ("y", "z")) -> ComparisonReport:
    candidate = save(reference.with_name("candidate.onnx"), body, outputs)
    return compare(reference, candidate, [FEED], tolerance)


def test_equal_models_pass(reference: Path) -> None:
    report = run(reference, "y = Add(x, x)  z = Sub(zero, x)")
    assert report.passed
    assert [output.name for output in report.outputs] == ["y", "z"]
    assert {output.max_abs_reference for output in report.outputs} == {8.0, 4.0}


def test_an_error_is_measured_against_the_largest_reference_value(reference: Path) -> None:
    body = "y = Mul(x, nearly_two)  z = Neg(x)"
    report = run(reference, body, tolerance=1e-4)
    assert report.outputs[0].relative_error == pytest.approx(5e-5, rel=1e-2)
    assert report.passed
    assert not run(reference, body, tolerance=4e-5).passed


def test_a_missing_output_fails(reference: Path) -> None:
    report = run(reference, "y = Mul(x, two)", outputs=["y"])
    assert not report.passed
    assert "the candidate has no output" in report.render()


def test_a_renamed_output_fails(reference: Path) -> None:
    report = run(reference, "y = Mul(x, two)  other = Neg(x)", outputs=["y", "other"])
    assert not report.passed
    assert "the reference has no output" in report.render()


def test_another_shape_fails(reference: Path) -> None:
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[3] x) => (float[1,3] y, float[3] z) '
    body = "<int64[1] axes = {0}> { t = Add(x, x)  y = Unsqueeze(t, axes)  z = Neg(x) }"
    candidate = reference.with_name("candidate.onnx")
    onnx.save(onnx.parser.parse_model(text + body), candidate)
    report = compare(reference, candidate, [FEED], 1.0)
    assert "shape [1, 3], expected [3]" in report.render()
    assert not report.passed


def test_nan_and_infinity_where_the_reference_has_none_fail(reference: Path) -> None:
    assert "NaN" in run(reference, "t = Sub(x, x)  y = Div(t, t)  z = Neg(x)", tolerance=1.0).render()
    assert "infinities" in run(reference, "y = Div(x, zero)  z = Neg(x)", tolerance=1.0).render()


def test_equal_nan_and_infinity_pass(tmp_path: Path) -> None:
    body = "t = Sub(x, x)  y = Div(t, t)  z = Div(x, zero)"
    assert run(save(tmp_path / "reference.onnx", body), body).passed


def test_the_worst_of_several_input_sets_counts(reference: Path) -> None:
    candidate = save(reference.with_name("candidate.onnx"), "t = Abs(x)  y = Mul(t, two)  z = Neg(x)")
    positive = {"x": np.array([1.0, 2.0, 3.0], dtype=np.float32)}
    assert compare(reference, candidate, [positive], 0.0).passed
    assert not compare(reference, candidate, [positive, FEED, positive], 0.0).passed


def test_no_input_sets_are_no_proof(reference: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to compare"):
        compare(reference, reference, [], 0.0)


def test_random_inputs_are_seeded_and_shaped(tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[N,3] x) => (float[N,3] y) { y = Neg(x) }'
    path = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    first, again = (random_inputs(path, {"x": (5, 3)}, num_sets=2) for _ in range(2))
    other = random_inputs(path, {"x": (5, 3)}, seed=1)
    assert first[0]["x"].shape == (5, 3)
    assert np.array_equal(first[0]["x"], again[0]["x"])
    assert not np.array_equal(first[0]["x"], first[1]["x"])
    assert not np.array_equal(first[0]["x"], other[0]["x"])
    assert -1 <= first[0]["x"].min() < 0 < first[0]["x"].max() <= 1
