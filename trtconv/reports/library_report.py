"""What `trtconv plugins` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trtconv.reports import next_steps
from trtconv.reports.facts import render_facts
from trtconv.reports.tables import next_fact


@dataclass(frozen=True)
class LibraryReport:
    """The plugin library: where it is, its fingerprint, and the plugins that it holds."""

    path: Path
    sha256: str
    plugins: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Return the report in the types of JSON."""
        return asdict(self) | {"path": str(self.path), "plugins": list(self.plugins)}

    def render(self, width: int | None = None, color: bool = False) -> str:
        """Return the report as text; without a `width` each fact is one line."""
        facts = [
            ("library", str(self.path)),
            ("sha256", self.sha256),
            *(("plugin", plugin) for plugin in self.plugins),
            *next_fact(next_steps.USE_OF_PLUGINS),
        ]
        return render_facts(facts, width, color)
