"""Measure how far one output is from the reference.

Comparisons that are easily passed by wrong results are not left to chance: names, shapes, NaN and infinities are held
equal first, and only then are values compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from trtconv.comparison.psnr import is_image, psnr_db
from trtconv.comparison.structures import Leaf, leaves_of, structure_name
from trtconv.comparison.tolerance import Tolerance
from trtconv.inputs.made_inputs import type_name

Float64Array = npt.NDArray[np.float64]

_FLOATS, _INTEGERS, _TEXT = "f", "iub", "OSU"
_ERRORS = (
    "max_abs_error",
    "mean_abs_error",
    "max_elementwise_error",
    "mean_elementwise_error",
    "relative_error",
)


@dataclass(frozen=True)
class Element:
    """One element of an output, in both: numbers, or text."""

    index: tuple[int, ...]
    expected: float | str
    got: float | str


@dataclass(frozen=True)
class OutputComparison:
    """How far one output of the candidate is from the reference, in one input set.

    `relative_error` is max_abs_error / max_abs_reference; the elementwise errors are |error| / |y| where y is not 0.
    `problem` says why values cannot be compared, or is None; the errors are then infinite. An output `is_telling` when
    the reference has a number in it that is not 0: without one, no comparison proves anything. One that is compared
    `by_equality` holds text: its errors are 0 where all elements are equal, else infinite.
    """

    name: str
    input_set: str
    tolerance: Tolerance
    passed: bool
    problem: str | None = None
    dtype: str | None = None
    candidate_dtype: str | None = None
    shape: tuple[int, ...] | None = None
    num_bad: int = 0
    max_abs_error: float = math.inf
    mean_abs_error: float = math.inf
    max_elementwise_error: float = math.inf
    mean_elementwise_error: float = math.inf
    max_abs_reference: float = math.nan
    relative_error: float = math.inf
    cosine: float = math.nan
    first_bad: Element | None = None
    worst: Element | None = None
    is_telling: bool = True
    by_equality: bool = False
    psnr_db: float | None = None


def compare_output(
    name: str, first: Mapping[str, Any], second: Mapping[str, Any], tolerance: Tolerance, input_set: str = ""
) -> OutputComparison:
    """Compare one output; `first` holds those of the reference, `second` those of the candidate, by name."""
    for arrays, side in ((first, "reference"), (second, "candidate")):
        if name not in arrays:
            return OutputComparison(name, input_set, tolerance, False, f"the {side} has no output of this name")
    facts: dict[str, Any] = {"name": name, "input_set": input_set, "tolerance": tolerance}
    if not all(isinstance(arrays[name], np.ndarray) for arrays in (first, second)):
        return _compare_structures(first[name], second[name], facts)
    expected, got = first[name], second[name]
    facts |= {"dtype": type_name(expected.dtype), "candidate_dtype": type_name(got.dtype), "shape": expected.shape}
    if {expected.dtype.kind, got.dtype.kind} <= set(_TEXT) and expected.shape == got.shape:
        return OutputComparison(**facts, **_measure_equality(expected, got))
    problem = _incomparable(expected, got)
    if problem is not None:
        return OutputComparison(**facts, passed=False, problem=problem)
    elsewhere = _other_specials(expected, got)
    if elsewhere.any():
        problem = f"{_count_specials(got)}, expected {_count_specials(expected)}, or at other places"
        bad = _element(expected, got, int(np.argmax(elsewhere)))
        num_bad = int(elsewhere.sum())
        return OutputComparison(**facts, passed=False, problem=problem, num_bad=num_bad, first_bad=bad, worst=bad)
    return OutputComparison(**facts, **_measure(expected, got, tolerance))


def worst_of(comparisons: list[OutputComparison]) -> int:
    """Return the index of the comparison that is furthest out."""
    return max(range(len(comparisons)), key=lambda index: _badness(comparisons[index]))


def _badness(comparison: OutputComparison) -> tuple[bool, bool, float]:
    return not comparison.passed, comparison.problem is not None, comparison.relative_error


def _incomparable(expected: npt.NDArray[Any], got: npt.NDArray[Any]) -> str | None:
    if expected.shape != got.shape:
        return f"shape {list(got.shape)}, expected {list(expected.shape)}"
    kinds = {array.dtype.kind for array in (expected, got)}
    if not kinds <= set(_FLOATS + _INTEGERS):
        types = " and ".join(dict.fromkeys(map(type_name, (expected.dtype, got.dtype))))
        return f"values of type {types} cannot be compared"
    if len(kinds) > 1 and (kinds & set(_FLOATS) or "b" in kinds):
        return f"type {got.dtype}, expected {expected.dtype}"
    return None


def _other_specials(expected: npt.NDArray[Any], got: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Say where one is NaN or infinite, and the other is not the same."""
    if expected.dtype.kind not in _FLOATS:
        return np.zeros(expected.shape, bool)
    is_special = ~(np.isfinite(expected) & np.isfinite(got))
    is_same = (expected == got) | (np.isnan(expected) & np.isnan(got))
    result: npt.NDArray[np.bool_] = is_special & ~is_same
    return result


def _count_specials(values: npt.NDArray[Any]) -> str:
    return f"{np.isnan(values).sum()} NaN and {np.isinf(values).sum()} infinities"


def _measure(expected: npt.NDArray[Any], got: npt.NDArray[Any], tolerance: Tolerance) -> dict[str, Any]:
    finite = np.isfinite(expected)
    reference, candidate = (np.where(finite, values, 0).astype(np.float64) for values in (expected, got))
    magnitudes = np.abs(reference)
    error = np.abs(reference - candidate)
    if expected.dtype.kind in _INTEGERS:  # float64 does not hold every integer
        error = np.where(expected != got, np.maximum(error, 1), 0)
    largest = float(magnitudes.max(initial=0.0))
    bad = error > tolerance.bound(magnitudes, largest)
    max_error = float(error.max(initial=0.0))
    elementwise = error[magnitudes > 0] / magnitudes[magnitudes > 0]
    nothing = 0.0 if max_error == 0 else math.inf  # relative to zeros
    return {
        "passed": not bad.any(),
        "num_bad": int(bad.sum()),
        "max_abs_error": max_error,
        "mean_abs_error": float(error.mean()) if error.size else 0.0,
        "max_elementwise_error": float(elementwise.max()) if elementwise.size else nothing,
        "mean_elementwise_error": float(elementwise.mean()) if elementwise.size else nothing,
        "max_abs_reference": largest,
        "relative_error": max_error / largest if largest else nothing,
        "cosine": _cosine(reference, candidate),
        "first_bad": _element(expected, got, int(np.argmax(bad))) if bad.any() else None,
        "worst": _element(expected, got, int(np.argmax(error))) if max_error else None,
        "is_telling": largest > 0,
        "psnr_db": psnr_db(reference, error) if is_image(expected.shape) and np.all(finite) else None,
    }


def _measure_equality(expected: npt.NDArray[Any], got: npt.NDArray[Any]) -> dict[str, Any]:
    texts = [np.array([_as_text(each) for each in values.ravel()], object) for values in (expected, got)]
    bad = np.array(texts[0] != texts[1], bool)
    error = math.inf if bad.any() else 0.0
    first = int(np.argmax(bad)) if bad.any() else None
    place = None if first is None else tuple(int(each) for each in np.unravel_index(first, expected.shape))
    element = None if first is None or place is None else Element(place, texts[0][first], texts[1][first])
    return {
        "passed": not bad.any(),
        "num_bad": int(bad.sum()),
        **dict.fromkeys(_ERRORS, error),
        "first_bad": element,
        "worst": element,
        "is_telling": bool(expected.size),
        "by_equality": True,
    }


def _as_text(value: Any) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _compare_structures(expected: Any, got: Any, facts: dict[str, Any]) -> OutputComparison:
    """Compare sequences and maps: their lengths, keys and texts by equality, all their numbers as those of a tensor."""
    facts |= {"dtype": structure_name(expected), "candidate_dtype": structure_name(got)}
    pairs = list(zip_longest(leaves_of(expected), leaves_of(got)))
    problem = next((problem for pair in pairs if (problem := _structural_problem(*pair))), None)
    if problem is not None:
        return OutputComparison(**facts, passed=False, problem=problem)
    texts, numbers = (
        [np.concatenate([np.empty(0, kind), *(each[side][1].ravel() for each in pairs if _is_text(each) == is_text)])
         for side in (0, 1)]
        for is_text, kind in ((True, object), (False, np.float64))
    )  # fmt: skip
    by_text = OutputComparison(**facts, **_measure_equality(*texts))
    if not by_text.passed or not numbers[0].size:
        return by_text
    name = facts["name"]
    found = compare_output(name, {name: numbers[0]}, {name: numbers[1]}, facts["tolerance"])
    return replace(found, **facts, shape=None)


def _structural_problem(expected: Leaf | None, got: Leaf | None) -> str | None:
    if expected is None or got is None or expected[0] != got[0]:
        places = ["the end" if leaf is None else leaf[0] or "a tensor" for leaf in (expected, got)]
        return f"has {places[1]}, expected {places[0]}"
    if _is_text((expected, got)) and expected[1].shape == got[1].shape:
        return None
    problem = _incomparable(expected[1], got[1])
    return problem and f"{expected[0]}: {problem}"


def _is_text(leaves: tuple[Leaf, Leaf]) -> bool:
    return {array.dtype.kind for _, array in leaves} <= set(_TEXT)


def _cosine(first: Float64Array, second: Float64Array) -> float:
    """Return the cosine between two outputs taken as vectors; NaN where one of them is zero and the other is not."""
    lengths = [float(np.abs(each).max(initial=0.0)) for each in (first, second)]
    if not all(lengths):
        return 1.0 if not any(lengths) else math.nan
    one, other = (each.ravel() / length for each, length in zip((first, second), lengths, strict=True))
    return float(one @ other / math.sqrt((one @ one) * (other @ other)))


def _element(expected: npt.NDArray[Any], got: npt.NDArray[Any], flat_index: int) -> Element:
    index = tuple(int(each) for each in np.unravel_index(flat_index, expected.shape))
    return Element(index, float(expected[index]), float(got[index]))
