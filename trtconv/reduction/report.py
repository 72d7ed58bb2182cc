"""What `trtconv reduce` says."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trtconv import records
from trtconv.comparison.measuring import OutputComparison
from trtconv.comparison.report import ComparisonReport, describe
from trtconv.comparison.tolerance import Tolerance
from trtconv.reduction.candidates import PartFiles
from trtconv.reports.layout import render
from trtconv.reports.tables import DEFAULT_WIDTH, Facts

_MAX_NODES = 8  # that a report names


@dataclass(frozen=True)
class Reduced:
    """The smallest model that still differs: its files, its nodes, and the tensor that it gives."""

    files: PartFiles
    tensor: str
    nodes: Sequence[str]
    comparison: OutputComparison
    tolerance: Tolerance

    @property
    def command(self) -> str:
        """The line that compares the two again."""
        terms = {"--tolerance": self.tolerance.of_max, "--atol": self.tolerance.atol, "--rtol": self.tolerance.rtol}
        given = [word for option, value in terms.items() if value for word in (option, str(value))]
        given = given or ["--tolerance", "0"]
        words = ["trtconv", "compare", self.files.model, self.files.candidate, "--inputs", self.files.inputs, *given]
        return shlex.join(map(str, words))

    def to_json(self) -> dict[str, Any]:
        """Return what the JSON document says of it."""
        return {
            "model": str(self.files.model),
            "candidate": str(self.files.candidate),
            "inputs": str(self.files.inputs),
            "tensor": self.tensor,
            "nodes": list(self.nodes),
            "comparison": asdict(self.comparison),
            "command": self.command,
        }


@dataclass(frozen=True)
class ReduceReport:
    """How a model compares with what trtconv makes of it, and the smallest part of it that differs.

    `reduced` is None where nothing differs, or where no part does by itself; `failures` then say why parts did not run.
    """

    model: str
    candidate: str
    num_nodes: int
    comparison: ComparisonReport
    reduced: Reduced | None = None
    failures: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        """Whether every output of the model is within the tolerance."""
        return self.comparison.passed

    def to_json(self) -> dict[str, Any]:
        """Return the report in the types of JSON."""
        reduced = self.reduced
        document: dict[str, Any] = records.to_json(
            {
                "kind": "reduction",
                "passed": self.passed,
                "model": self.model,
                "candidate": self.candidate,
                "num_nodes": self.num_nodes,
                "worst": asdict(self.comparison.worst),
                "reduced": None if reduced is None else reduced.to_json(),
                "failures": list(self.failures),
            }
        )
        return document

    def render(self, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
        """Return the report as text."""
        facts = [("model", f"{self.model}, {_nodes(self.num_nodes)}"), ("candidate", self.candidate)]
        if self.passed:
            facts.append(("same", "every output is within the tolerance: there is nothing to reduce"))
        else:
            facts.append(("DIFFERS", f"{self.comparison.worst.name}: {describe(self.comparison.worst)}"))
            facts += self._parts() if self.reduced is None else _of_reduced(self.reduced)
        return render([Facts(facts)], width, color)

    def _parts(self) -> list[tuple[str, str]]:
        lines = [("reduced", "no part of the model differs by itself: nothing was written")]
        if self.failures:
            lines.append(("", f"{len(self.failures)} parts did not run, the first: {self.failures[0]}"))
        return lines


def _of_reduced(reduced: Reduced) -> list[tuple[str, str]]:
    shown = [*reduced.nodes[:_MAX_NODES], *(["..."] if len(reduced.nodes) > _MAX_NODES else [])]
    return [
        ("reduced", f"to {_nodes(len(reduced.nodes))}: {', '.join(shown)}"),
        ("", f"{reduced.tensor}: {describe(reduced.comparison)}"),
        ("written", ", ".join(map(str, reduced.files.all))),
        ("next", reduced.command),
    ]


def _nodes(number: int) -> str:
    return f"{number:,} node{'' if number == 1 else 's'}"
