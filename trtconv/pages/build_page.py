"""The page of a build, and of a dry run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from trtconv.comparison.report import ComparisonReport
from trtconv.decisions import Decision
from trtconv.engine.live_engine import tensors_of
from trtconv.manifest import Manifest
from trtconv.model.model_io import Model
from trtconv.pages.engine_parts import tensor_table
from trtconv.pages.graph_reading import tensor_types
from trtconv.pages.graphs import put_together
from trtconv.progress import StepTime
from trtconv.reports.html.page import Graphs, Highlight, LayerRow, Outcome, Page, outcome_of
from trtconv.reports.rewrite_report import RewriteReport, describe_precision
from trtconv.reports.text import format_size

_COUNTED: Mapping[Outcome, str] = {
    "plugin": "plugins",
    "fused": "fused into plugins",
    "rewritten": "convolutions rewritten",
    "native": "kept native",
    "computed": "computed before the build",
    "fp32": "kept in fp32",
}


@dataclass(frozen=True)
class Rewrite:
    """A model as the passes left it, the `types` of its tensors before them, what TensorRT gets, and the report."""

    model: Model
    types: Mapping[str, str]
    proto: onnx.ModelProto
    report: RewriteReport


def dry_run_page(rewrite: Rewrite, backend: str, notes: Sequence[str]) -> Page:
    """Return the page of a dry run; `backend` says for which backend it decided, and what its parser says."""
    report = rewrite.report
    decisions = decisions_of(report)
    return Page(
        title=report.model.name,
        subtitle="What trtconv build would make of it: nothing was built",
        facts=[*_model_facts(report), ("backend", backend), *_remarks(report, notes)],
        highlights=count_outcomes(decisions),
        graphs=_graphs(rewrite, decisions),
        decisions=decisions,
    )


def build_page(
    rewrite: Rewrite,
    manifest: Manifest,
    *,
    engine: Path,
    backend: str,
    notes: Sequence[str],
    steps: Sequence[StepTime],
    comparison: ComparisonReport | None,
    layers: tuple[Sequence[LayerRow] | None, str],
) -> Page:
    """Return the page of a build; `layers` are those of the engine, or None and why they are unknown."""
    report = rewrite.report
    decisions = decisions_of(report)
    size = format_size(manifest.engine.bytes or 0)
    seconds = sum(step.seconds for step in steps)
    highlights = [*count_outcomes(decisions), Highlight(size, "engine"), Highlight(f"{seconds:.1f} s", "whole build")]
    if comparison is not None:
        highlights.append(Highlight(f"{comparison.worst.relative_error:.2g}", "largest max|error| / max|y|"))
    return Page(
        title=report.model.name,
        subtitle=f"built with {backend} by trtconv {manifest.trtconv} on {manifest.created}",
        facts=[*_model_facts(report), *_engine_facts(manifest, engine, size, backend), *_remarks(report, notes)],
        highlights=highlights,
        steps=steps,
        tables=[tensor_table(tensors_of(manifest))],
        accuracy=[] if comparison is None else comparison.tables(),
        graphs=_graphs(rewrite, decisions),
        decisions=decisions,
        layers=layers[0],
        no_layers=layers[1],
    )


def decisions_of(report: RewriteReport) -> list[Decision]:
    """Return all decisions of a rewrite, those on precision last."""
    return [*report.decisions, *report.others, *report.kept_fp32]


def count_outcomes(decisions: Sequence[Decision]) -> list[Highlight]:
    """Return how many nodes have each outcome, the best first; plugins always, others where there are any."""
    counts = Counter(map(outcome_of, decisions))
    shown = (outcome for outcome in _COUNTED if counts[outcome] or outcome == "plugin")
    return [Highlight(f"{counts[outcome]:,}", _COUNTED[outcome], outcome) for outcome in shown]


def _graphs(rewrite: Rewrite, decisions: Sequence[Decision]) -> Graphs:
    after = {**rewrite.types, **tensor_types(rewrite.model.graph)}
    if rewrite.report.precision is not None:  # whose conversion comes after the passes: the shapes stay
        after = tensor_types(rewrite.model.graph, shapes_alone=True)
    return put_together(rewrite.model.proto.graph, rewrite.proto.graph, decisions, rewrite.types, after)


def _model_facts(report: RewriteReport) -> list[tuple[str, str]]:
    facts = [("model", f"{report.model} (opset {report.opset}, {report.num_nodes} nodes)")]
    if report.precision is not None:
        facts.append(("precision", describe_precision(report.precision, len(report.kept_fp32))))
    return facts


def _engine_facts(manifest: Manifest, engine: Path, size: str, backend: str) -> list[tuple[str, str]]:
    facts = [("engine", f"{engine} ({size}, sha256 {(manifest.engine.sha256 or '')[:12]})"), ("backend", backend)]
    options = vars(manifest.options).items()
    told = [f"{name} {_option_text(value)}" for name, value in options if value and name != "precision"]
    facts.append(("options", ", ".join(told) or "none"))
    library = manifest.plugin_library
    if library is not None:
        facts.append(("plugins", f"{', '.join(manifest.plugins)}, from {library.file} (sha256 {library.sha256[:12]})"))
    else:
        facts.append(("plugins", "the engine needs none"))
    return facts


def _option_text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={each}" for key, each in value.items())
    return "yes" if value is True else str(value)


def _remarks(report: RewriteReport, notes: Sequence[str]) -> list[tuple[str, str]]:
    return [*(("warning", each) for each in report.warnings), *(("note", each) for each in notes)]
