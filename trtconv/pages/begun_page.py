"""The page of a build or of a dry run, which begins before the passes change the graph that it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from trtconv.comparison.report import ComparisonReport
from trtconv.engine.backends import Backend
from trtconv.engine.building import Plan
from trtconv.manifest import Manifest
from trtconv.model.model_io import Model
from trtconv.pages.build_page import Rewrite, build_page, dry_run_page
from trtconv.pages.engine_parts import read_layers
from trtconv.pages.graph_reading import tensor_types
from trtconv.progress import StepTime
from trtconv.reports.dry_run_report import DryRunReport
from trtconv.reports.html.rendering import render_page
from trtconv.reports.rewrite_report import RewriteReport


@dataclass(frozen=True)
class BegunPage:
    """A model as it was read, whose graph the passes change, and the `types` of its tensors before them."""

    model: Model
    types: Mapping[str, str]

    @classmethod
    def of(cls, model: Model) -> BegunPage:
        """Begin the page of a model that was just read."""
        return cls(model, tensor_types(model.graph))

    def end_with_engine(
        self,
        proto: onnx.ModelProto,
        report: RewriteReport,
        manifest: Manifest,
        plan: Plan,
        backend: Backend,
        *,
        engine: Path,
        notes: Sequence[str],
        steps: Sequence[StepTime],
        comparison: ComparisonReport | None,
    ) -> bytes:
        """Return the file of the page of a build; `proto` is what TensorRT got, `plan` what it made."""
        return render_page(
            build_page(
                Rewrite(self.model, self.types, proto, report),
                manifest,
                engine=engine,
                backend=f"{backend.title} for {backend.target}",
                notes=notes,
                steps=steps,
                comparison=comparison,
                layers=read_layers(plan, backend),
            )
        )

    def end_with_decisions(self, proto: onnx.ModelProto, report: DryRunReport) -> bytes:
        """Return the file of the page of a dry run; `proto` is what TensorRT would get."""
        rewrite = Rewrite(self.model, self.types, proto, report)
        return render_page(dry_run_page(rewrite, report.told_backend, report.notes))
