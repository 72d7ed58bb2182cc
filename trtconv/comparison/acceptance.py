"""Whether an engine with plugins is right: within the tolerance, or no worse than TensorRT's own layers are."""

from __future__ import annotations

from trtconv.comparison.measuring import OutputComparison
from trtconv.comparison.report import ComparisonReport

_ALLOWED_EXCESS = 1.1  # of the native engine's error: two builds of one network differ by as much
# Of its largest error, where the mean is in order: chance decides which of a million errors is the largest. H200, three
# runs of fast neural style in fp16: 0.99, 1.16 and 1.34 times that of the native engine, and the rms over 8 sets 1.05.
_ALLOWED_PEAK = 1.5


def problem_of(report: ComparisonReport, native: ComparisonReport | None) -> str | None:
    """Return what is wrong with an engine that was compared with its model, None where nothing is.

    `native` is the same comparison of an engine of TensorRT's own layers. An output outside the tolerance is right
    where it is no more than a tenth further from the model than that of the native engine, by its largest error, or by
    its mean error if the largest is no more than half as large again.
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
            errors_of_both = f"{output.relative_error:.2g} of max|y|, of the native engine {other.relative_error:.2g}"
            return f"output {output.name}: max|error| is {errors_of_both}"
    return None


def _is_as_near(output: OutputComparison, native: OutputComparison) -> bool:
    largest = output.relative_error / max(native.relative_error, 1e-30)
    mean = output.mean_abs_error / max(native.mean_abs_error, 1e-30)
    return largest <= _ALLOWED_EXCESS or (largest <= _ALLOWED_PEAK and mean <= _ALLOWED_EXCESS)
