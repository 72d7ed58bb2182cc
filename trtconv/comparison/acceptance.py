"""Whether an engine with plugins is right: within the tolerance, or no worse than TensorRT's own layers are."""

from __future__ import annotations

from trtconv.comparison.report import ComparisonReport

_ALLOWED_EXCESS = 1.1  # of the native engine's error: two builds of one network differ by as much


def problem_of(report: ComparisonReport, native: ComparisonReport | None) -> str | None:
    """Return what is wrong with an engine that was compared with its model, None where nothing is.

    `native` is the same comparison of an engine of TensorRT's own layers. An output outside the tolerance is right
    where it is no more than a tenth further from the model than that of the native engine.
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
        if output.relative_error > _ALLOWED_EXCESS * other.relative_error:
            errors_of_both = f"{output.relative_error:.2g} of max|y|, of the native engine {other.relative_error:.2g}"
            return f"output {output.name}: max|error| is {errors_of_both}"
    return None
