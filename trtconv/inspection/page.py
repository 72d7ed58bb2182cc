"""The page of `trtconv inspect --html`: of a model with its graph before and after the passes, or of an engine."""

from __future__ import annotations

from trtconv.decisions import Decision
from trtconv.errors import TrtconvError
from trtconv.inspection.engine_report import EngineInspection, engine_facts
from trtconv.inspection.model_inspection import Examined
from trtconv.inspection.model_report import model_facts, problem_table, tensor_table
from trtconv.model import model_io
from trtconv.pages import engine_parts
from trtconv.pages.build_page import count_outcomes
from trtconv.pages.graph_reading import tensor_types
from trtconv.pages.graphs import put_together
from trtconv.reports.html.page import Graphs, Highlight, Page
from trtconv.reports.html.rendering import render_page
from trtconv.reports.tables import NO_BREAK, Facts
from trtconv.reports.text import format_size


def page_file(inspected: Examined | EngineInspection) -> bytes:
    """Return the file of the page of a model or of an engine."""
    return render_page(model_page(inspected) if isinstance(inspected, Examined) else engine_page(inspected))


def model_page(examined: Examined) -> Page:
    """Return the page of a model: what `trtconv build` would make of it."""
    inspection = examined.inspection
    decisions = inspection.decisions
    num_nodes = sum(inspection.ops.values())
    return Page(
        title=_name(inspection.file.path),
        subtitle="What is in the model, and what trtconv would make of it with TensorRT",
        facts=_facts(model_facts(inspection)),
        highlights=[
            *count_outcomes(decisions),
            Highlight(f"{num_nodes:,}", "nodes"),
            Highlight(format_size(inspection.weight_bytes), "weights"),
        ],
        tables=[problem_table(inspection), tensor_table(inspection, "×")],
        graphs=_graphs(examined, decisions),
        decisions=decisions,
    )


def engine_page(inspection: EngineInspection) -> Page:
    """Return the page of an engine: what it needs, what became of each node, and its layers where it was loaded."""
    manifest = inspection.manifest
    decisions = [*inspection.decisions, *(() if manifest is None else manifest.kept_fp32)]
    facts = _facts(engine_facts(inspection))
    if manifest is not None and manifest.verified is not None:
        verified = manifest.verified
        error = f"max|error| {verified.relative_error:.2g} of max|y| ({verified.tolerance} allowed)"
        facts.append(
            ("verified", f"{len(verified.input_sets)} input sets, worst output {verified.worst_output}: {error}")
        )
    layers = None if inspection.layers is None else engine_parts.layer_rows(inspection.layers)
    counts = [] if layers is None else [Highlight(f"{len(layers):,}", "layers")]
    return Page(
        title=_name(inspection.file.path),
        subtitle="What is in the engine, and what became of each node of its model",
        facts=facts,
        highlights=[*count_outcomes(decisions), *counts, Highlight(format_size(inspection.file.bytes), "engine")],
        tables=[engine_parts.tensor_table(inspection.tensors)],
        decisions=decisions,
        layers=layers,
        no_layers=f"the engine was not loaded, {inspection.not_loaded_because}",
    )


def _facts(facts: Facts) -> list[tuple[str, str]]:
    return [(label, text.replace(NO_BREAK, " ")) for label, text in facts.items]


def _graphs(examined: Examined, decisions: list[Decision]) -> Graphs:
    """Return the graphs; the second is missing where the passes met an error."""
    model = examined.model
    try:
        after = model_io.to_proto(model).graph if examined.is_rewritten else None
    except TrtconvError:
        after = None
    types = examined.types if after is None else {**examined.types, **tensor_types(model.graph)}
    return put_together(model.proto.graph, after, decisions, examined.types, types)


def _name(path: str) -> str:
    return path.rpartition("/")[2]
