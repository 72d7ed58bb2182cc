"""What the graph passes did, as text for people and as one JSON document for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtconv import records
from trtconv.decisions import REWRITTEN, Decision, group_decisions
from trtconv.ops import describe_replaced
from trtconv.reports.facts import render_facts
from trtconv.reports.grouping import by_kind, reason_of
from trtconv.reports.outcomes import describe_outcome
from trtconv.reports.tables import Fact, next_fact
from trtconv.reports.text import format_size


@dataclass(frozen=True)
class RewriteReport:
    """The result of the graph passes. `output` is None when nothing was written to disk.

    `page` is the HTML page, where one was written. `decisions_read` and `decisions_written` are the decision file, by
    what was done with it. `kept_fp32` are the nodes that a change to `precision` left alone, and why. `others` are
    those that no pass looks at and that a user may look for: norms in another form, and plugins of a model that was
    rewritten before. `next_step` is a command line.
    """

    model: Path
    opset: int
    num_nodes: int
    decisions: Sequence[Decision]
    warnings: Sequence[str] = ()
    output: Path | None = None
    precision: str | None = None
    kept_fp32: Sequence[Decision] = ()
    others: Sequence[Decision] = ()
    page: Path | None = None
    decisions_read: Path | None = None
    decisions_written: Path | None = None
    next_step: str = ""

    @property
    def num_rewritten(self) -> int:
        """How many nodes became custom ops."""
        return sum(decision.is_plugin for decision in self.decisions)

    def to_json(self) -> dict[str, Any]:
        """Return the report in the types of JSON."""
        return records.as_object(self) | {"num_rewritten": self.num_rewritten}

    def render(self, verbose: bool = False, width: int | None = None, color: bool = False) -> str:
        """Return the report as text; `verbose` names every node.

        Without a `width` each fact is one line, however long; else no line is wider than that.
        """
        return render_facts([*self.facts(verbose), *next_fact(self.next_step)], width, color)

    def facts(self, verbose: bool) -> list[Fact]:
        """Return what the report says, each with a label."""
        achieved = describe_outcome([*self.decisions, *self.others])
        lines = [("model", f"{self.model} (opset {self.opset}, {self.num_nodes} nodes){achieved and f': {achieved}'}")]
        lines += decision_facts(self.decisions, verbose, self.others)
        lines += _growth_facts(self.decisions)
        if self.precision:
            lines.append(("precision", describe_precision(self.precision, len(self.kept_fp32))))
            lines += _kept_facts(self.kept_fp32, verbose)
        lines += [("warning", warning) for warning in self.warnings]
        if self.output:
            lines.append(("output", f"{self.output} ({format_size(self.output.stat().st_size)})"))
        if self.decisions_read:
            lines.append(("decisions", f"followed {self.decisions_read}"))
        if self.decisions_written:
            count = len(self.decisions)
            told = f"{count} decision{'' if count == 1 else 's'}"
            lines.append(("decisions", f"wrote {told} to {self.decisions_written}; a later build follows them"))
        if self.page:
            lines.append(("page", str(self.page)))
        return lines


def decision_facts(decisions: Iterable[Decision], verbose: bool, others: Sequence[Decision] = ()) -> list[Fact]:
    """Group decisions of one outcome and kind of reason into one line each; `verbose` names every node and reason.

    `others` follow them; where there are no decisions, they say why.
    """

    def group(given: Iterable[Decision]) -> list[list[Decision]]:
        return group_decisions(given, "op", "became", "reason") if verbose else by_kind(given)

    facts = [_group_fact(_label(each[0]), each, verbose) for each in group(decisions)]
    if not facts:
        none = "" if others else f": no {describe_replaced('and no')} in this model"
        facts = [("rewritten", f"nothing{none}")]
    return facts + [_group_fact("plugin" if each[0].became else "native", each, verbose) for each in group(others)]


def _label(decision: Decision) -> str:
    if decision.is_computed:
        return "computed"
    return "rewritten" if decision.became else "native"


def _group_fact(label: str, group: Sequence[Decision], verbose: bool) -> Fact:
    first, nodes = group[0], [decision.node for decision in group]
    into = f" -> {first.became}" if first.became not in (None, first.op, REWRITTEN) else ""
    return (label, f"{len(nodes)} {first.op}{into}: {reason_of(group)} [{_shorten(nodes, verbose)}]")


def _growth_facts(decisions: Iterable[Decision]) -> list[Fact]:
    """Say how much larger the weights of rewritten convolutions are, in the type of the model."""
    figures = [each.figures for each in decisions if each.became == REWRITTEN and "weight_bytes_after" in each.figures]
    if not figures:
        return []
    before, after = (sum(each[f"weight_bytes_{when}"] for each in figures) for when in ("before", "after"))
    plural = "convolutions" if len(figures) > 1 else "convolution"
    return [("weights", f"{format_size(before)} -> {format_size(after)} in {len(figures)} rewritten {plural}")]


def describe_precision(precision: str, num_kept: int) -> str:
    """Say what a network computes in, and how many of its nodes stay fp32."""
    if num_kept == 0:
        return precision
    return f"{precision}, but for {num_kept} node{'s that stay' if num_kept > 1 else ' that stays'} fp32"


def _kept_facts(kept: Sequence[Decision], verbose: bool) -> list[Fact]:
    """Group the nodes that stay fp32 by their reason."""
    lines: list[Fact] = []
    for group in group_decisions(kept, "reason"):
        nodes = [f"{decision.node} ({decision.op})" if verbose else decision.node for decision in group]
        lines.append(("fp32", f"{len(nodes)}: {group[0].reason} [{_shorten(nodes, verbose)}]"))
    return lines


def _shorten(nodes: Sequence[str], verbose: bool) -> str:
    more = "" if verbose or len(nodes) <= 2 else f", and {len(nodes) - 2} more"
    return ", ".join(nodes if verbose else nodes[:2]) + more
