"""Whether an engine with plugins is right: within the tolerance, or no worse than TensorRT's own layers are."""

from __future__ import annotations

import math

from trtconv.comparison.measuring import OutputComparison
from trtconv.comparison.report import ComparisonReport

_ALLOWED_EXCESS = 1.1  # of the native engine's error: two builds of one network differ by as much
# Of its largest error, where the mean is in order: chance decides which of a million errors is the largest. H200, three
# runs of fast neural style in fp16: 0.99, 1.16 and 1.34 times that of the native engine.
_ALLOWED_PEAK = 1.5


def problem_of(report: ComparisonReport, native: ComparisonReport | None) -> str | None:
    """Return what is wrong with an engine that was compared with its model, None where nothing is.

    `native` is the same comparison of an engine of TensorRT's own layers. An output outside the tolerance is right
    if its largest error is at most 1.1 times that of the native engine. It also is if its mean error is at most 1.1
    times and its largest at most 1.5 times that of the native engine.
    """
    errors = {} if native is None else {each.name: each for each in native.outputs}
    for output in report.outputs:
        if output.passed:
            continue
        if output.problem is not None:
            return f"output {output.name}: {output.problem}"
        other = errors.get(output.name)
        if other is None or other.problem is not None:
            return f"output {output.name}: max|error| is {output.relative_error:.2g} of max|y|"
        if not _is_as_near(output, other):
            of_both = (f"{each.relative_error:.2g} of max|y| (mean {_mean(each):.2g})" for each in (output, other))
            return f"output {output.name}: max|error| is {', of the native engine '.join(of_both)}"
    return None


def _is_as_near(output: OutputComparison, native: OutputComparison) -> bool:
    if output.relative_error <= _ALLOWED_EXCESS * native.relative_error:
        return True
    is_peak = output.relative_error <= _ALLOWED_PEAK * native.relative_error
    return is_peak and _mean(output) <= _ALLOWED_EXCESS * _mean(native)


def _mean(output: OutputComparison) -> float:
    """Return the mean error as a part of max|y|: each engine has its own worst input set."""
    return output.mean_abs_error / output.max_abs_reference if output.max_abs_reference else math.inf
