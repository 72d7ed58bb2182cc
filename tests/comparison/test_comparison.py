"""The comparison passes equal models and fails on everything that polygraphy's defaults would let through."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto

from trtconv.comparison import (
    ComparisonReport,
    OutputComparison,
    Tolerance,
    Tolerances,
    compare,
    comparing,
    random_inputs,
)
from trtconv.comparison.measuring import Element, compare_output
from trtconv.errors import ConfigError

REFERENCE = "y = Mul(x, two)  z = Neg(x)"
FEED = {"x": np.array([1.0, -2.0, 4.0], dtype=np.float32)}


def save(path: Path, body: str, outputs: Sequence[str] = ("y", "z")) -> Path:
    declared = ", ".join(f"float[3] {name}" for name in outputs)
    constants = "float two = {2.0}, float nearly_two = {2.0001}, float zero = {0.0}, float hundredth = {0.01}"
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


def test_a_set_that_fails_is_worse_than_one_with_a_larger_error(reference: Path) -> None:
    """By |y| of the element, a small error may fail where a large one passes."""
    candidate = save(reference.with_name("candidate.onnx"), "t = Add(x, hundredth)  y = Mul(t, two)  z = Neg(x)")
    tolerances = Tolerances(Tolerance(), rtol={"y": 0.1})
    feeds = [{"x": np.array(values, np.float32)} for values in ([1, 1, 1], [0.01, 100, 100], [1, 1, 1])]
    report = compare(reference, candidate, feeds, tolerances)
    assert (report.outputs[0].passed, report.outputs[0].input_set) == (False, "input set 2")
    assert report.worst.name == "y"


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


def measured(expected: object, got: object, tolerance: Tolerance | None = None) -> OutputComparison:
    """Compare two arrays, float32 unless they have a type."""
    pair = [{"y": np.asarray(each, getattr(each, "dtype", np.float32))} for each in (expected, got)]
    return compare_output("y", *pair, tolerance or Tolerance(of_max=1e-3))


def test_the_figures_of_an_output() -> None:
    found = measured([[1, -2, 0], [4, 8, -16]], [[1.5, -2, 0.25], [4, 8, -12]], Tolerance(atol=0.3))
    assert not found.passed
    assert (found.max_abs_error, found.mean_abs_error) == (4, 4.75 / 6)
    assert (found.max_elementwise_error, found.mean_elementwise_error) == (0.5, 0.75 / 5)
    assert (found.max_abs_reference, found.relative_error) == (16, 0.25)
    assert found.num_bad == 2
    assert found.first_bad == Element((0, 0), 1, 1.5)
    assert found.worst == Element((1, 2), -16, -12)
    first, second = (np.array(values, float) for values in ([1, -2, 0, 4, 8, -16], [1.5, -2, 0.25, 4, 8, -12]))
    assert found.cosine == pytest.approx(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


@pytest.mark.parametrize(
    ("tolerance", "passed"),
    [
        (Tolerance(of_max=0.0101), True),
        (Tolerance(of_max=0.0099), False),
        (Tolerance(atol=0.101), True),
        (Tolerance(atol=0.099), False),
        (Tolerance(rtol=0.0101), False),  # the small element alone is out
        (Tolerance(rtol=0.101), True),
        (Tolerance(of_max=0.005, atol=0.03, rtol=0.0201), True),
        (Tolerance(of_max=0.005, atol=0.03, rtol=0.0199), False),
    ],
)
def test_a_tolerance_is_the_sum_of_its_terms(tolerance: Tolerance, passed: bool) -> None:
    assert measured(np.array([1.0, 10.0]), np.array([1.1, 10.1]), tolerance).passed == passed


def test_an_infinity_of_the_other_sign_fails() -> None:
    found = measured([1, np.inf, -np.inf], [1, np.inf, np.inf])
    assert not found.passed
    assert found.first_bad == Element((2,), -np.inf, np.inf)
    assert found.num_bad == 1


def test_nan_at_another_place_fails_and_is_named() -> None:
    found = measured([[np.nan, 1], [2, 3]], [[1, np.nan], [2, 3]])
    assert not found.passed
    assert "1 NaN and 0 infinities, expected 1 NaN" in (found.problem or "")
    assert found.first_bad is not None
    assert found.first_bad.index == (0, 0)


def test_finite_elements_beside_equal_infinities_are_compared() -> None:
    assert not measured([np.inf, 1.0], [np.inf, 2.0]).passed
    assert measured([np.inf, 1.0], [np.inf, 1.0001]).passed


def test_integers_are_compared_beyond_what_floats_hold() -> None:
    big = 1 << 60
    assert not measured(np.array([big]), np.array([big + 1]), Tolerance()).passed
    assert measured(np.array([big]), np.array([big]), Tolerance()).passed


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        (np.float32, np.float16, False),
        (np.int64, np.int32, False),
        (np.float32, np.int32, True),
        (np.int32, np.bool_, True),
        (np.float32, np.str_, True),
    ],
)
def test_types_of_another_kind_are_not_compared(first: type, second: type, problem: bool) -> None:
    found = measured(np.ones(3, first), np.ones(3, second))
    assert (found.problem is not None) == problem
    assert found.passed != problem


def test_text_is_compared_by_equality() -> None:
    text = np.array(["a", "b"], object)  # as ONNX Runtime gives it
    found = measured(text, text.copy())
    assert (found.passed, found.problem, found.by_equality, found.dtype) == (True, None, True, "string")
    assert (found.max_abs_error, found.is_telling) == (0, True)
    found = measured(text, np.array(["a", "c"], object))
    assert (found.passed, found.num_bad, found.max_abs_error) == (False, 1, np.inf)
    assert found.first_bad == Element((1,), "b", "c")
    assert measured(text, np.array(["a"], object)).problem == "shape [1], expected [2]"
    assert measured(text, np.zeros(2)).problem == "values of type string and float64 cannot be compared"


SCORES = [{"cat": 0.25, "dog": 0.75}, {"cat": 0.5, "dog": 1e-9}]


@pytest.mark.parametrize(
    ("expected", "got", "passed", "problem"),
    [
        (SCORES, [{"cat": 0.25, "dog": 0.75}, {"dog": 2e-9, "cat": 0.5}], True, None),
        (SCORES, [{"cat": 0.25, "dog": 0.75}, {"cat": 0.4, "dog": 1e-9}], False, None),
        (SCORES, [{"cat": 0.25, "dog": 0.75}, {"cat": 0.5, "cow": 0}], False, "has [1]['cow'], expected [1]['dog']"),
        (SCORES, SCORES[:1], False, "has the end, expected [1]['cat']"),
        (SCORES, np.ones(2), False, "has a tensor, expected [0]['cat']"),
        ([["a"], ["b"]], [["a"], ["b"]], True, None),
        ([["a"], ["b"]], [["a"], ["c"]], False, None),
        ([np.ones(2), np.zeros(3)], [np.ones(2), np.zeros(3)], True, None),
        ([np.ones(2), np.zeros(3)], [np.ones(2), np.zeros(4)], False, "[1]: shape [4], expected [3]"),
        ([np.ones(2)], [np.array([1, np.nan])], False, "1 NaN and 0 infinities, expected 0 NaN and 0 infinities"),
        ({7: "a", 8: "b"}, {8: "b", 7: "a"}, True, None),
        ([], [], True, None),
        ([{"name": "cat", "score": 1.0}], [{"name": "dog", "score": 1.0}], False, None),
        ([1], ["1"], False, "[0]: values of type int64 and string cannot be compared"),
    ],
)
def test_sequences_and_maps_are_compared(expected: Any, got: Any, passed: bool, problem: str | None) -> None:
    found = compare_output("y", {"y": expected}, {"y": got}, Tolerance(of_max=1e-3))
    assert found.passed == passed
    assert problem is None or (found.problem or "").startswith(problem)
    report = ComparisonReport("a", "b", [found], ["set"])
    assert ("same  " in report.render()) == passed
    json.dumps(report.to_json(), allow_nan=False)


LABELS = """<ir_version: 8, opset_import: ["": 17, "ai.onnx.ml": 3]> g (float[2,2] x) => (string[2] label, float[2] p)
{ i = ArgMax<axis=1, keepdims=0>(x)
  label = ai.onnx.ml.LabelEncoder<keys_int64s=[0,1], values_strings=["cat","dog"]>(i)
  p = ai.onnx.ml.ZipMap<classlabels_strings=["cat","dog"]>(x) }"""


def test_labels_and_scores_of_a_classifier(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(LABELS)
    score = onnx.helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    scores = onnx.helper.make_map_type_proto(TensorProto.STRING, score)
    model.graph.output[1].type.CopyFrom(onnx.helper.make_sequence_type_proto(scores))
    onnx.save(model, tmp_path / "a.onnx")
    other = next(node for node in model.graph.node if node.op_type == "LabelEncoder")
    other.attribute[1].strings[1] = b"cow"
    onnx.save(model, tmp_path / "b.onnx")
    feed = {"x": np.array([[0.5, 0.25], [0.5, 0.75]], np.float32)}
    report = compare(tmp_path / "a.onnx", tmp_path / "a.onnx", [feed], 1e-4)
    assert report.passed, report.render()
    assert report.outputs[1].dtype == "sequence of map of float64"
    assert report.warnings == []
    report = compare(tmp_path / "a.onnx", tmp_path / "b.onnx", [feed], 1e-4)
    assert [output.passed for output in report.outputs] == [False, True]
    assert "[1]: dog, cow" in report.render()


def test_text_is_fed_from_files(tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["": 17]> g (string[2] s, float[2] x) => (string[2] t, float[2] y) '
    onnx.save(onnx.parser.parse_model(text + "{ t = Identity(s) y = Neg(x) }"), tmp_path / "a.onnx")
    np.savez(tmp_path / "i.npz", s=np.array(["one", "two"]), x=np.ones(2))
    report = comparing.compare(
        tmp_path / "a.onnx", tmp_path / "a.onnx", comparing.CompareConfig(inputs=[tmp_path / "i.npz"])
    )
    assert report.passed, report.render()


def test_outputs_that_prove_nothing_are_named(tmp_path: Path) -> None:
    path = save(tmp_path / "zeros.onnx", "y = Sub(x, x)  z = Neg(x)")
    report = compare(path, path, [FEED, FEED], 0.0)
    assert report.passed
    assert report.warnings == [
        "output y holds only zeros and values that are not finite in every input set: its comparison proves nothing"
    ]
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[3] x) => (int64[A,1] y) { t = Sub(x, x)  y = NonZero(t) }'
    onnx.save(onnx.parser.parse_model(text), path)
    assert "output y is empty" in compare(path, path, [FEED], 0.0).warnings[0]


def test_one_telling_input_set_is_enough(tmp_path: Path) -> None:
    path = save(tmp_path / "model.onnx", "y = Neg(x)  z = Neg(x)")
    assert compare(path, path, [{"x": np.zeros(3, np.float32)}, FEED], 0.0).warnings == []


def test_another_float_type_is_noted(reference: Path) -> None:
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[3] x) => (float16[3] y, float[3] z) <float two = {2.0}> '
    body = "{ t = Mul(x, two)  y = Cast<to = 10>(t)  z = Neg(x) }"
    candidate = reference.with_name("candidate.onnx")
    onnx.save(onnx.parser.parse_model(text + body), candidate)
    report = compare(reference, candidate, [FEED], 0.0)
    assert report.passed
    assert report.notes == ["output y: float16, float32 in the reference"]


def test_an_input_of_another_type_gets_its_values_in_that_type(reference: Path) -> None:
    text = '<ir_version: 8, opset_import: ["": 17]> g (float16[3] x) => (float[3] y, float[3] z) '
    body = "<float two = {2.0}> { w = Cast<to = 1>(x)  y = Mul(w, two)  z = Neg(w) }"
    candidate = reference.with_name("candidate.onnx")
    onnx.save(onnx.parser.parse_model(text + body), candidate)
    report = compare(reference, candidate, [FEED], 0.0)
    assert report.passed
    assert report.notes == ["input x: float32 for the reference, float16 for the candidate"]


def test_a_type_that_numpy_does_not_have_is_refused(tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["": 17]> g (bfloat16[3] x) => (float[3] y) { y = Cast<to = 1>(x) }'
    path = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    with pytest.raises(ConfigError, match="input x is bfloat16, which polygraphy cannot feed"):
        compare(path, path, [FEED], 0.0)
