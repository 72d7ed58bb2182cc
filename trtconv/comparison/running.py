"""Run two files on the same inputs and compare every output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trtconv.comparison.measuring import OutputComparison, compare_output, worst_of
from trtconv.comparison.report import ComparisonReport
from trtconv.comparison.runners import opened, same_inputs, title_of
from trtconv.comparison.tolerance import Tolerance, Tolerances
from trtconv.errors import ConfigError
from trtconv.inputs.made_inputs import Arrays
from trtconv.progress import NoProgress, Progress, announce, phase
from trtconv.watching import watched

OnOutputs = Callable[[int, Mapping[str, Any], Mapping[str, Any]], None]


def run_both(
    reference: Any,
    candidate: Any,
    feeds: Arrays | Sequence[Arrays],
    tolerance: float | Tolerances,
    *,
    labels: Sequence[str] | None = None,
    keep_arrays: bool = False,
    on_outputs: OnOutputs | None = None,
    progress: Progress | None = None,
    option: str = "--inputs",
) -> ComparisonReport:
    """Run both on every input set of `feeds`, which may be a single one, and compare all outputs.

    Each is the path of an ONNX model (run by ONNX Runtime on the CPU) or of an engine, a loaded engine (TensorRT's, or
    a LoadedEngine), or a callable that returns an ONNX Runtime session. A `tolerance` that is a number bounds
    max|error| as a part of max|reference| of each output. `keep_arrays` keeps both sides of each output, of the input
    set in which it is furthest out. `on_outputs` gets the index of each input set and all outputs of both, which are
    valid during the call. `option` is what errors call the place where users give inputs. Raises ConfigError
    without input sets, and another TrtconvError where one of the two does not run.
    """
    feeds = [feeds] if isinstance(feeds, Mapping) else feeds
    if not feeds:
        raise ConfigError("nothing to compare: no input sets", where=title_of(reference))
    tolerances = tolerance if isinstance(tolerance, Tolerances) else Tolerances(Tolerance(of_max=tolerance))
    names = labels or [f"input set {number}" for number in range(1, len(feeds) + 1)]
    collected = _Collected(tolerances, keep_arrays)
    progress = progress or NoProgress()

    def work() -> None:
        with opened(reference, "reference", option) as first, opened(candidate, "candidate", option) as second:
            collected.notes += same_inputs(first, second, feeds[0])
            announce(f"comparing {title_of(candidate)} with {title_of(reference)}")
            with phase(progress, "Running input sets", len(feeds)) as advance:
                for index, (label, feed) in enumerate(zip(names, feeds, strict=True)):
                    expected, got = first.run(feed), second.run(feed)
                    if on_outputs is not None:
                        on_outputs(index, expected, got)
                    collected.add(label, expected, got)
                    advance()

    watched(work, progress, name="trtconv-compare")
    return collected.report(title_of(reference), title_of(candidate), names)


class _Collected:
    """The comparisons so far. Of the arrays, only those of the worst input set are held."""

    def __init__(self, tolerances: Tolerances, keep_arrays: bool) -> None:
        self.notes: list[str] = []
        self._tolerances = tolerances
        self._keeps_arrays = keep_arrays
        self._comparisons: dict[str, list[OutputComparison]] = {}
        self._arrays: dict[str, tuple[Any, Any]] = {}

    def add(self, label: str, expected: dict[str, Any], got: dict[str, Any]) -> None:
        names = dict.fromkeys((*expected, *got))
        if not self._comparisons:
            self._tolerances.require_known(names)
        for name in names:
            compared = compare_output(name, expected, got, self._tolerances.of(name), label)
            found = self._comparisons.setdefault(name, [])
            found.append(compared)
            is_drawn = compared.shape is not None and not compared.by_equality
            if self._keeps_arrays and is_drawn and worst_of(found) == len(found) - 1:
                self._arrays[name] = (np.array(expected[name]), np.array(got[name]))  # an engine reuses its memory

    def report(self, reference: str, candidate: str, labels: Sequence[str]) -> ComparisonReport:
        outputs = [found[worst_of(found)] for found in self._comparisons.values()]
        notes, warnings = list(self.notes), []
        for output in outputs:
            if output.dtype != output.candidate_dtype and output.candidate_dtype is not None:
                notes.append(f"output {output.name}: {output.candidate_dtype}, {output.dtype} in the reference")
            if not any(each.is_telling for each in self._comparisons[output.name]):
                is_empty = 0 in (output.shape or ()) or output.by_equality
                what = "is empty" if is_empty else "holds only zeros and values that are not finite"
                warnings.append(f"output {output.name} {what} in every input set: its comparison proves nothing")
        return ComparisonReport(
            reference, candidate, outputs, list(labels), notes=notes, warnings=warnings, arrays=self._arrays
        )
