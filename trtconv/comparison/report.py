"""What a comparison found, as a table for people and as one JSON document for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from trtconv import records
from trtconv.comparison.measuring import Element, OutputComparison
from trtconv.comparison.saving import OUTPUT_NAMES
from trtconv.manifest import Verified
from trtconv.reports.layout import render
from trtconv.reports.tables import DEFAULT_WIDTH, NOTHING, Block, Column, Facts, Table

_NAME = Column("output", "name")
_FIGURES = (Column(title, "number") for title in ("max|err|", "mean|err|", "of max|y|", "cosine"))
_ERRORS = (_NAME, Column("result"), *_FIGURES)
_PSNR = Column("PSNR", "number")
_ELEMENTS = (_NAME, Column("max rel", "number"), Column("mean rel", "number"), Column("worst: expected, got", "text"))
_TOLERANCES = (_NAME, Column("|error| at most", "text"))
_PROBLEMS = (_NAME, Column("why it differs", "text"), Column("input set", "text"))


@dataclass(frozen=True)
class Bisection:
    """The first tensor, in the order in which the reference computes them, that leaves the tolerance.

    `node` and `op` make it in the reference, `candidate_op` in the candidate; `before` is the last tensor that agreed.
    `comparison` is None where every tensor that both have agrees, which `detail` explains.
    """

    detail: str
    num_compared: int
    tensor: str | None = None
    node: str | None = None
    op: str | None = None
    candidate_op: str | None = None
    comparison: OutputComparison | None = None
    before: OutputComparison | None = None

    def facts(self) -> list[tuple[str, str]]:
        """Return labelled lines for a terminal."""
        compared = f"{self.num_compared} float tensor{'' if self.num_compared == 1 else 's'} compared"
        if self.comparison is None:
            return [("bisected", f"{compared}, none differs: {self.detail}")]
        became = f", {self.candidate_op} in the candidate" if self.candidate_op not in (None, self.op) else ""
        lines = [("not equal", f"first {self.tensor}, of the node {self.node} ({self.op}{became})")]
        lines.append(("", describe(self.comparison)))
        if self.before is not None:
            lines.append(("before", f"{self.before.name}: {describe(self.before)}"))
        return [*lines, ("bisected", f"{compared}: {self.detail}")]


@dataclass(frozen=True)
class ComparisonReport:
    """The comparison of two files: for each output the input set in which it is furthest out.

    `basis` says where the default tolerance comes from, `warnings` what makes the comparison prove less than it seems.
    """

    reference: str
    candidate: str
    outputs: Sequence[OutputComparison]
    input_sets: Sequence[str] = ()
    basis: str = ""
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    bisection: Bisection | None = None
    plot: str | None = None
    saved_inputs: Sequence[str] = ()
    saved_outputs: Sequence[str] = ()
    arrays: dict[str, tuple[Any, Any]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def passed(self) -> bool:
        """Whether every output is within the tolerance."""
        return all(output.passed for output in self.outputs)

    @property
    def worst(self) -> OutputComparison:
        """The output that is furthest out."""
        return max(self.outputs, key=lambda output: (not output.passed, output.relative_error))

    def summary(self) -> Verified:
        """Return what a manifest keeps of a comparison."""
        worst = self.worst
        return Verified(
            input_sets=tuple(self.input_sets),
            worst_output=worst.name,
            max_abs_error=worst.max_abs_error,
            relative_error=worst.relative_error,
            tolerance=str(worst.tolerance),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report in the types of JSON; NaN and infinities become text."""
        document: dict[str, Any] = records.to_json(
            {
                "kind": "comparison",
                "passed": self.passed,
                "reference": self.reference,
                "candidate": self.candidate,
                "basis": self.basis,
                "input_sets": list(self.input_sets),
                "outputs": [asdict(output) for output in self.outputs],
                "notes": list(self.notes),
                "warnings": list(self.warnings),
                "bisection": asdict(self.bisection) if self.bisection else None,
                "plot": self.plot,
                "saved_inputs": list(self.saved_inputs),
                "saved_outputs": list(self.saved_outputs),
            }
        )
        return document

    def render(self, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
        """Return the report as text."""
        plural = "" if len(self.input_sets) == 1 else "s"
        facts = [
            ("reference", self.reference),
            ("candidate", self.candidate),
            ("inputs", f"{len(self.input_sets)} set{plural}: {_shorten(self.input_sets)}"),
            *([("tolerance", self.basis)] if self.basis else []),
            *(("note", note) for note in self.notes),
            *(("warning", warning) for warning in self.warnings),
        ]
        blocks: list[Block] = [Facts(facts), *self.tables()]
        return render(blocks, width, color) + "\n\n" + render([Facts(self._conclusion())], width, color)

    def tables(self) -> list[Table]:
        """Return the errors of each output, the worst elements, and what is special about the comparison."""
        differing = [output for output in self.outputs if output.worst is not None]
        tolerances = [(output.name, str(output.tolerance)) for output in self.outputs]
        problems = [(output.name, output.problem, output.input_set) for output in self.outputs if output.problem]
        return [
            self._error_table(),
            Table("Elements", _ELEMENTS, [_elements(output) for output in differing]),
            Table("Tolerances", _TOLERANCES, [] if self._is_default else tolerances),
            Table("Not comparable", _PROBLEMS, problems),
        ]

    def _error_table(self) -> Table:
        rows = [_errors(output) for output in self.outputs]
        ratios = [output.psnr_db for output in self.outputs]
        if all(ratio is None for ratio in ratios):
            return Table("Outputs", _ERRORS, rows)
        cells = [NOTHING if ratio is None else f"{ratio:.1f} dB" for ratio in ratios]
        return Table("Outputs", (*_ERRORS, _PSNR), [[*row, cell] for row, cell in zip(rows, cells, strict=True)])

    @property
    def _is_default(self) -> bool:
        """Whether `basis` tells the tolerance of every output."""
        return all(self.basis.startswith(f"{output.tolerance} ") for output in self.outputs)

    def _conclusion(self) -> list[tuple[str, str]]:
        num_bad = sum(not output.passed for output in self.outputs)
        lines = [] if self.bisection is None else self.bisection.facts()
        if self.saved_inputs:
            lines.append(("saved", f"inputs in {_shorten(self.saved_inputs)}"))
        if self.saved_outputs:
            lines.append(("saved", f"outputs in {_shorten(self.saved_outputs)}: {OUTPUT_NAMES}"))
        if self.plot:
            lines.append(("plot", self.plot))
        if num_bad == 0:
            return [*lines, ("same", "every output is within the tolerance")]
        return [*lines, ("DIFFERS", f"{num_bad} of {len(self.outputs)} outputs not within the tolerance")]


def _errors(output: OutputComparison) -> list[str]:
    verdict = "same" if output.passed else "DIFFERS"
    if output.problem is not None:
        return [output.name, verdict, *[NOTHING] * 4]
    if output.by_equality:
        return [output.name, verdict, "equal" if output.passed else "not equal", *[NOTHING] * 3]
    errors = (output.max_abs_error, output.mean_abs_error, output.relative_error)
    return [output.name, verdict, *(f"{error:.2g}" for error in errors), f"{output.cosine:.7f}"]


def _elements(output: OutputComparison) -> list[str]:
    relative = (output.max_elementwise_error, output.mean_elementwise_error)
    figures = (
        [NOTHING] * 2 if output.problem is not None or output.by_equality else [f"{error:.2g}" for error in relative]
    )
    return [output.name, *figures, _describe_element(output.worst)]


def describe(output: OutputComparison) -> str:
    """Return how far an output is out, in one line."""
    if output.problem is not None:
        return output.problem
    if output.by_equality:
        return "compared by equality" + (f", first {_describe_element(output.worst)}" if output.worst else "")
    allowed = (
        f"max|error| {output.max_abs_error:.3g} = {output.relative_error:.2g} of max|y|, allowed {output.tolerance}"
    )
    return f"{allowed}, worst {_describe_element(output.worst)}" if output.worst else allowed


def _describe_element(element: Element | None) -> str:
    if element is None:
        return NOTHING
    sides = [each if isinstance(each, str) else f"{each:.6g}" for each in (element.expected, element.got)]
    return f"{list(element.index)}: {', '.join(sides)}"


def _shorten(labels: Sequence[str]) -> str:
    return ", ".join(labels if len(labels) <= 8 else [*labels[:7], f"and {len(labels) - 7} more"])
