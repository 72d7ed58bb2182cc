"""What a dry run says: what a build would make of a model, and with which backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trtconv.reports.rewrite_report import RewriteReport
from trtconv.reports.tables import Fact


@dataclass(frozen=True)
class DryRunReport(RewriteReport):
    """The result of a dry run: what a build would decide for each node.

    `backend` is the one that the decisions are for, with its version and GPU architecture where it is installed.
    `parser_check` says that its parser accepts the model, or why it was not asked. `notes` say how the backend was
    chosen. `missing_shapes` are the shapes that a build still needs, as --shape takes them.
    """

    backend: str = ""
    parser_check: str = ""
    notes: Sequence[str] = ()
    missing_shapes: Sequence[str] = ()

    @property
    def told_backend(self) -> str:
        """The backend and what its parser says, for people."""
        return f"{self.backend}: {self.parser_check}"

    def facts(self, verbose: bool) -> list[Fact]:
        """Return what the report says, each with a label."""
        return [
            *super().facts(verbose),
            ("backend", self.told_backend),
            *(("note", note) for note in self.notes),
            ("dry run", "nothing was built"),
        ]
