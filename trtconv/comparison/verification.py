"""`trtconv build --verify`: compare an engine with its model before it becomes a file."""

from __future__ import annotations

from typing import Any

from trtconv.comparison.default_precision import built_precision
from trtconv.comparison.report import ComparisonReport
from trtconv.comparison.runners import require_polygraphy
from trtconv.comparison.running import run_both
from trtconv.comparison.tolerance import TOLERANCE
from trtconv.config import BuildConfig
from trtconv.engine.backends import Backend
from trtconv.errors import AccuracyError, BackendError
from trtconv.inputs.input_files import read_calibration
from trtconv.inputs.made_inputs import DEFAULT_SETS, input_specs, make_inputs, shape_choices
from trtconv.model.exact_norms import exact_reference
from trtconv.model.model_io import Model
from trtconv.progress import Progress


def require_verifiable(backend: Backend) -> None:
    """Raise BackendError, before the long work, where the engine that is to be built could not be run."""
    require_polygraphy()
    if backend.gpu is None or backend.gpu.arch != backend.arch:
        here = "there is no GPU here" if backend.gpu is None else f"the GPU here is {backend.gpu.arch}"
        hint = "build without --verify, and run trtconv compare MODEL ENGINE on the machine with the GPU"
        raise BackendError(f"an engine for {backend.arch} cannot be run: {here}", where="--verify", hint=hint)


def compare_with_model(model: Model, loaded: Any, config: BuildConfig, progress: Progress) -> ComparisonReport:
    """Return how a loaded engine compares with its model, on the inputs of the calibration if there are any."""
    precision = built_precision(config, model.proto)
    if config.calibration:
        sets = read_calibration(config.calibration, model.proto, config.profiles)
    else:
        choices = shape_choices(model.proto, config.profiles)
        sets = make_inputs(input_specs(model.proto), choices, num_sets=DEFAULT_SETS)
    feeds, labels = [each.feed for each in sets], [each.label for each in sets]
    reference = exact_reference(model.proto, model.path)
    return run_both(
        reference, loaded, feeds, TOLERANCE[precision], labels=labels, progress=progress, option="--calibration"
    )


def verify(model: Model, loaded: Any, config: BuildConfig, progress: Progress) -> ComparisonReport:
    """Return the comparison of a loaded engine with its model.

    Raises AccuracyError when it is outside the tolerance of its precision.
    """
    report = compare_with_model(model, loaded, config, progress)
    if not report.passed:
        worst = report.worst
        error = worst.problem or f"max|error| is {worst.relative_error:.2g} of max|y|, allowed {worst.tolerance}"
        raise AccuracyError(
            f"the engine does not compute what the model does: output {worst.name}, {worst.input_set}: {error}",
            where="--verify",
            hint=f"no engine was written; {_next_step(built_precision(config, model.proto))}",
        )
    return report


def _next_step(precision: str) -> str:
    look = "without --verify, then: trtconv compare MODEL ENGINE --bisect"
    return f"TF32 may be why: build with --no-tf32, or {look}" if precision == "tf32" else f"build {look}"
