"""Run two models, or a model and an engine, on the same inputs through polygraphy and compare every output.

Polygraphy's defaults let wrong results pass: a missing output is skipped, differently named ones are paired, NaN is
left to the caller. So names, shapes, NaN and infinities are held equal here first, and only then are values compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx
from polygraphy.common import TensorMetadata
from polygraphy.comparator import Comparator, DataLoader, RunResults, SimpleCompareFunc
from polygraphy.logger import G_LOGGER

from trtconv.engine import load_engine
from trtconv.errors import ConfigError

Arrays = Mapping[str, npt.NDArray[Any]]

G_LOGGER.module_severity = G_LOGGER.CRITICAL  # it logs to standard output


@dataclass(frozen=True)
class OutputComparison:
    """How far one output of the candidate is from the reference, at worst over all input sets.

    `relative_error` is max_abs_error / max_abs_reference; `problem` says why values cannot be compared, or is None.
    """

    name: str
    max_abs_error: float
    max_abs_reference: float
    relative_error: float
    passed: bool
    problem: str | None = None


@dataclass(frozen=True)
class ComparisonReport:
    """The comparison of two files. `tolerance` bounds the relative error of each output."""

    reference: str
    candidate: str
    tolerance: float
    outputs: Sequence[OutputComparison]

    @property
    def passed(self) -> bool:
        """Whether every output is within the tolerance."""
        return all(output.passed for output in self.outputs)

    def to_json(self) -> dict[str, Any]:
        """Return the report in the types of JSON."""
        return asdict(self) | {"passed": self.passed}

    def render(self) -> str:
        """Return the report as lines for a terminal."""
        lines = []
        for output in self.outputs:
            detail = output.problem or f"max|error| {output.max_abs_error:.3g} = {output.relative_error:.2g} of max|y|"
            lines.append(f"{'same' if output.passed else 'DIFFERS':<10} {output.name}: {detail}")
        lines.append(f"{'tolerance':<10} {self.tolerance:g} of max|y| of each output")
        return "\n".join(lines)


def compare(reference: Any, candidate: Any, feeds: Sequence[Arrays], tolerance: float) -> ComparisonReport:
    """Run both on every input set of `feeds` and compare all outputs.

    Each is the path of an ONNX model (run by ONNX Runtime on the CPU) or of an engine, or a loaded engine. An output
    passes when max|error| <= `tolerance` * max|reference| for every input set. Raises ConfigError without input sets.
    """
    if not feeds:
        raise ConfigError("nothing to compare: no input sets", where=str(reference))
    runners = [_runner(reference, "reference"), _runner(candidate, "candidate")]
    results = Comparator.run(runners, data_loader=[dict(feed) for feed in feeds])
    pairs = list(zip(results["reference"], results["candidate"], strict=True))
    names = list(dict.fromkeys(name for first, second in pairs for name in (*first, *second)))
    outputs = [_worst([_compare_output(name, first, second, tolerance) for first, second in pairs]) for name in names]
    return ComparisonReport(str(reference), str(candidate), tolerance, outputs)


def random_inputs(
    model: str | Path, shapes: Mapping[str, Sequence[int]] | None = None, *, seed: int = 0, num_sets: int = 1
) -> list[dict[str, npt.NDArray[Any]]]:
    """Return `num_sets` seeded input sets for an ONNX model, uniform in [-1, 1] (integers in 0..1, booleans both).

    `shapes` gives the shape of every dynamic input.
    """
    metadata = TensorMetadata()
    for name, shape in (shapes or {}).items():
        metadata.add(name, dtype=None, shape=tuple(shape))
    loader = DataLoader(seed=seed, iterations=num_sets, input_metadata=metadata, val_range=(-1.0, 1.0))
    with _runner(model, "inputs") as runner:
        loader.input_metadata = runner.get_input_metadata(use_numpy_dtypes=False)
        return [{name: np.asarray(value) for name, value in feed.items()} for feed in loader]


def _runner(model: Any, name: str) -> Any:
    is_path = isinstance(model, (str, Path))
    if is_path and Path(model).suffix == ".onnx":
        return OnnxrtRunner(SessionFromOnnx(str(model), providers=["cpu"]), name=name)
    from polygraphy.backend.trt import TrtRunner

    return TrtRunner(load_engine(model) if is_path else model, name=name)


def _compare_output(name: str, first: Arrays, second: Arrays, tolerance: float) -> OutputComparison:
    problem = _incomparable(name, first, second)
    if problem is not None:
        return OutputComparison(name, np.inf, np.nan, np.inf, False, problem)
    expected, got = (np.asarray(arrays[name]) for arrays in (first, second))
    finite = np.isfinite(expected)
    scale = float(np.abs(expected[finite], dtype=np.float64).max(initial=0.0))
    accept = SimpleCompareFunc(atol=tolerance * scale, rtol=0.0, check_error_stat="max", infinities_compare_equal=True)
    pair = [{name: np.where(finite, values, 0)} for values in (expected, got)]
    passed = bool(Comparator.compare_accuracy(_as_results(pair), compare_func=accept))
    error = float(np.abs(expected[finite].astype(np.float64) - got[finite].astype(np.float64)).max(initial=0.0))
    relative = error / scale if scale else (0.0 if error == 0 else np.inf)
    return OutputComparison(name, error, scale, relative, passed)


def _incomparable(name: str, first: Arrays, second: Arrays) -> str | None:
    for arrays, side in ((first, "reference"), (second, "candidate")):
        if name not in arrays:
            return f"the {side} has no output of this name"
    expected, got = np.asarray(first[name]), np.asarray(second[name])
    if expected.shape != got.shape:
        return f"shape {list(got.shape)}, expected {list(expected.shape)}"
    if expected.dtype.kind == "f" or got.dtype.kind == "f":
        if not np.array_equal(np.isnan(expected), np.isnan(got)):
            return f"{np.isnan(got).sum()} NaN, expected {np.isnan(expected).sum()}, or at other places"
        infinite = np.isinf(expected)
        if not np.array_equal(infinite, np.isinf(got)) or not np.array_equal(expected[infinite], got[infinite]):
            return f"{np.isinf(got).sum()} infinities, expected {infinite.sum()}, or at other places"
    return None


def _as_results(pair: Sequence[Arrays]) -> RunResults:
    results = RunResults()
    for side, arrays in zip(("reference", "candidate"), pair, strict=True):
        results.add([dict(arrays)], runner_name=side)
    return results


def _worst(comparisons: Sequence[OutputComparison]) -> OutputComparison:
    return max(comparisons, key=lambda each: (not each.passed, each.relative_error))
