"""Which errors an engine may have beside those of TensorRT's own layers."""

from __future__ import annotations

import pytest

from trtconv.comparison.acceptance import problem_of
from trtconv.comparison.measuring import OutputComparison, Tolerance
from trtconv.comparison.report import ComparisonReport


def report(largest: float, mean: float, problem: str | None = None, passed: bool = False) -> ComparisonReport:
    output = OutputComparison(
        "y", "random 1", Tolerance(1e-3, 0), passed, problem, relative_error=largest, mean_abs_error=mean
    )
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
        assert problem == f"output y: max|error| is {largest:.2g} of max|y|, of the native engine 0.02"


def test_without_the_native_engine_the_tolerance_decides() -> None:
    assert problem_of(report(0.5, 0.1, passed=True), None) is None
    assert problem_of(report(0.5, 0.1), None) == "output y: max|error| is 0.5 of max|y|"
    assert problem_of(report(0.5, 0.1), report(0.5, 0.1, "not finite")) == "output y: max|error| is 0.5 of max|y|"
    assert problem_of(report(0.5, 0.1, "not finite"), NATIVE) == "output y: not finite"
