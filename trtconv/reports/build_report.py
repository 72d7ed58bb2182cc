"""What a build did, as text for people and as one JSON document for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trtconv.manifest import Manifest, Verified
from trtconv.progress import StepTime
from trtconv.reports.facts import render_facts
from trtconv.reports.rewrite_report import RewriteReport
from trtconv.reports.tables import next_fact
from trtconv.reports.text import format_size
from trtconv.reports.tuning_report import TuningReport

_VERIFYING = ("loading", "running", "comparing")  # how the steps of a comparison begin
_SHORTEST_TOLD_SECONDS = 0.05


@dataclass(frozen=True)
class BuildReport:
    """The result of `trtconv build`: the manifest's content and how the engine was made.

    `steps` are those of the whole call, one after the other. `next_step` is a command line.
    """

    rewrite: RewriteReport
    engine: Path
    manifest_path: Path
    manifest: Manifest = field(repr=False)
    backend: str
    notes: Sequence[str]
    steps: Sequence[StepTime]
    tuning: TuningReport | None = None
    next_step: str = ""

    @property
    def seconds(self) -> float:
        """How long the whole call took."""
        return sum(step.seconds for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """Return the report in the types of JSON."""
        return {
            "engine": str(self.engine),
            "manifest": str(self.manifest_path),
            "seconds": round(self.seconds, 3),
            "steps": [{"name": step.name, "seconds": round(step.seconds, 3)} for step in self.steps],
            "notes": list(self.notes),
            "rewrite": self.rewrite.to_json(),
            "build": self.manifest.to_json(),
            "tuning": None if self.tuning is None else self.tuning.to_json(),
            "next_step": self.next_step,
        }

    def render(self, verbose: bool = False, width: int | None = None, color: bool = False) -> str:
        """Return the report as text, as RewriteReport does."""
        lines = [*self.rewrite.facts(verbose), ("backend", self.backend)]
        lines += [("note", note) for note in self.notes]
        lines += [("tuned", line) for line in (self.tuning.lines() if self.tuning else ())]
        size = format_size(self.engine.stat().st_size)
        lines.append(("engine", f"{self.engine} ({size})"))
        lines.append(("manifest", str(self.manifest_path)))
        if self.manifest.verified is not None:
            lines.append(("verified", _describe_verified(self.manifest.verified)))
        lines += [("time", describe_time(self.steps)), *next_fact(self.next_step)]
        return render_facts(lines, width, color)


def describe_time(steps: Sequence[StepTime]) -> str:
    """Return how long work took, and how much of that each kind of step, by the first word of its name."""
    kinds: dict[str, float] = {}
    for step in steps:
        verb = step.name.partition(" ")[0]
        kind = "verifying" if verb in _VERIFYING else verb
        kinds[kind] = kinds.get(kind, 0.0) + step.seconds
    told = (f"{kind} {seconds:.1f}" for kind, seconds in kinds.items() if seconds >= _SHORTEST_TOLD_SECONDS)
    return f"{sum(kinds.values()):.1f} s: {', '.join(told)}".removesuffix(": ")


def _describe_verified(verified: Verified) -> str:
    error = f"max|error| {verified.relative_error:.2g} of max|y| ({verified.tolerance} allowed)"
    return f"{len(verified.input_sets)} input sets, worst output {verified.worst_output}: {error}"
