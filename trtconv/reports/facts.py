"""Labelled values as text. Those that are a line each need no layout, nor the library that does it."""

from __future__ import annotations

from collections.abc import Sequence

from trtconv.display import printable
from trtconv.reports.tables import LABEL_WIDTH, Fact, Facts


def render_facts(facts: Sequence[Fact], width: int | None, color: bool) -> str:
    """Return labelled values as text; without a `width` each is one line."""
    if width is None:
        return "\n".join(f"{label:<{LABEL_WIDTH - 1}} {printable(value)}" for label, value in facts)
    from trtconv.reports.layout import render

    return render([Facts(facts)], width, color)
