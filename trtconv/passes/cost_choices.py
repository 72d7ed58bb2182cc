"""What was chosen by time, and what came of it: the wishes that the passes then follow, and their figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trtconv.decisions import Choice, Decision
from trtconv.passes.base import Wish


@dataclass(frozen=True)
class CostChoices:
    """What was chosen: by address what to make of nodes, with the reason, and the figures of these nodes.

    `groups` are the choices that led to it.
    """

    wishes: Mapping[str, Wish] = field(default_factory=dict)
    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    groups: Sequence[ChosenGroup] = ()

    def with_figures(self, decisions: Sequence[Decision]) -> Sequence[Decision]:
        """Return the decisions of a conversion with the predicted times of each node."""
        return tuple(replace(each, figures={**each.figures, **self.figures.get(each.node, {})}) for each in decisions)


@dataclass(frozen=True)
class ChosenGroup:
    """A group of nodes: the option that was chosen, the predicted microseconds of each, and what each makes of them.

    `options` holds, by their names, what becomes of each node, by its address.
    """

    choice: str
    microseconds: Mapping[str, float]
    options: Mapping[str, Mapping[str, Choice]]

    @property
    def addresses(self) -> frozenset[str]:
        """The nodes that are chosen about."""
        return frozenset().union(*self.options.values())

    def wishes(self, choice: str, reason: str) -> dict[str, Wish]:
        """Return what an option asks of the passes, for that reason."""
        return {address: Wish(made, reason) for address, made in self.options[choice].items()}
