"""Run two models, or a model and an engine, on the same inputs through polygraphy and compare every output."""

from __future__ import annotations

from trtconv.comparison.measuring import OutputComparison
from trtconv.comparison.report import Bisection, ComparisonReport
from trtconv.comparison.running import run_both as compare
from trtconv.comparison.tolerance import Tolerance, Tolerances
from trtconv.inputs.made_inputs import random_inputs

__all__ = [
    "Bisection",
    "ComparisonReport",
    "OutputComparison",
    "Tolerance",
    "Tolerances",
    "compare",
    "random_inputs",
]
