"""Which errors an engine may have beside those of TensorRT's own layers."""

from __future__ import annotations

import math

import pytest

from trtconv.comparison.acceptance import problem_of
from trtconv.comparison.measuring import OutputComparison, Tolerance
from trtconv.comparison.report import ComparisonReport


def report(
    largest: float, mean: float, problem: str | None = None, passed: bool = False, of: float = 1.0
) -> ComparisonReport:
    """Return a comparison of one output whose largest value is `of`, with its largest and its mean error."""
    errors = {"relative_error": largest, "mean_abs_error": mean, "max_abs_reference": of}
    output = OutputComparison("y", "random 1", Tolerance(1e-3, 0), passed, problem, **errors)
    return ComparisonReport("model.onnx", "model.engine", [output])


NATIVE = report(0.020, 0.002)


@pytest.mark.parametrize(
    ("largest", "mean", "is_right"),
    [
        (0.019, 0.002, True),
        (0.0219, 0.004, True),  # the largest error is that of another build
        (0.0221, 0.0021, True),  # the mean error is
        (0.029, 0.0021, True),
        (0.029, 0.0023, False),
        (0.031, 0.001, False),  # as of a wrong border, few elements of many
    ],
)
def test_errors_beside_the_native_engine(largest: float, mean: float, is_right: bool) -> None:
    problem = problem_of(report(largest, mean), NATIVE)
    assert problem is None if is_right else problem is not None
    if problem is not None:
        told = f"{largest:.2g} of max|y| (mean {mean:.2g}), of the native engine 0.02 of max|y| (mean 0.002)"
        assert problem == f"output y: max|error| is {told}"


def test_each_mean_is_a_part_of_the_values_of_its_own_input_set() -> None:
    assert problem_of(report(0.029, 0.021, of=10), NATIVE) is None
    assert problem_of(report(0.029, 0.023, of=10), NATIVE) is not None


def test_where_the_model_gives_zeros_both_may_differ_from_them() -> None:
    zeros = report(math.inf, 0.1, of=0)
    assert problem_of(zeros, report(math.inf, 0.2, of=0)) is None
    assert problem_of(zeros, NATIVE) is not None


def test_without_the_native_engine_the_tolerance_decides() -> None:
    assert problem_of(report(0.5, 0.1, passed=True), None) is None
    assert problem_of(report(0.5, 0.1), None) == "output y: max|error| is 0.5 of max|y|"
    assert problem_of(report(0.5, 0.1), report(0.5, 0.1, "not finite")) == "output y: max|error| is 0.5 of max|y|"
    assert problem_of(report(0.5, 0.1, "not finite"), NATIVE) == "output y: not finite"
