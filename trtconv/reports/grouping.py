"""Group what has one outcome and the same kind of reason: reasons that differ in the names of tensors alone are one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from trtconv.decisions import Decision

# What a reason names: a tensor it begins with, what it depends on, and whatever is written like a path or a number of
# a tensor. Types, pads and figures are no names: reasons that differ in them differ.
_NAMES = (
    re.compile(r"^\S+(?= (?:is only known|are only known|cannot be|could not be|depends on|has the shape)\b)"),
    re.compile(r"(?<=depends on )\S+(?: \(\w+\))?"),
    re.compile(r"(?<=depend on )\S+(?: \(\w+\))?"),
    re.compile(r"(?<=fused into )\S+|(?<=^residual )\S+(?=,)"),
    re.compile(r"(?<=not fused: )\S+(?= is not known)|(?<=the size of )\S+(?= is not known)"),
    re.compile(r"(?<=other nodes read )\S+(?=,)|(?<=the graph gives out )\S+"),
    re.compile(r"\b\w+\(\w+\)"),
)
_WORD = re.compile(r"\S+")
_IN_A_PATH = re.compile(r"[/:]\S")


def kind_of(reason: str) -> str:
    """Return a reason without the names in it."""
    for pattern in _NAMES:
        reason = pattern.sub("*", reason)
    return _WORD.sub(lambda word: "*" if _IN_A_PATH.search(word[0]) else word[0], reason)  # one search a word: linear


def by_kind(decisions: Iterable[Decision]) -> list[list[Decision]]:
    """Return the decisions of one op, outcome and kind of reason in a list each, in the order of the first of each."""
    groups: dict[tuple[str, str | None, str], list[Decision]] = {}
    for decision in decisions:
        groups.setdefault((decision.op, decision.became, kind_of(decision.reason)), []).append(decision)
    return list(groups.values())


class Reasoned(Protocol):
    """What was decided for a reason."""

    @property
    def reason(self) -> str:
        """The reason."""


def reason_of(group: Sequence[Reasoned]) -> str:
    """Return the reason of a group: that of its first node, with a word where the others have one of the same kind."""
    reasons = dict.fromkeys(decision.reason for decision in group)
    first = next(iter(reasons))
    return first if len(reasons) == 1 else f"{first}; likewise the others"
