"""What `trtconv inspect` says of an engine: the record, its JSON and its text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trtconv import records
from trtconv.decisions import Decision, group_decisions
from trtconv.engine.inspector_json import Layer
from trtconv.engine.live_engine import EngineTensor
from trtconv.inspection.inspected_file import FileIdentity
from trtconv.inspection.node_tables import list_nodes, outcome
from trtconv.manifest import Manifest
from trtconv.ops import list_titles
from trtconv.reports import next_steps
from trtconv.reports.grouping import by_kind, reason_of
from trtconv.reports.layout import render_with_next
from trtconv.reports.rewrite_report import describe_precision
from trtconv.reports.tables import DEFAULT_WIDTH, Column, Facts, Table
from trtconv.reports.text import format_size
from trtconv.shapes import ShapeRange, format_dims


@dataclass(frozen=True)
class Match:
    """Something that the engine was built with, and what is here; `matches` is None where one of them is unknown."""

    what: str
    built_with: str | None
    here: str | None
    matches: bool | None


@dataclass(frozen=True)
class PluginNeed:
    """One plugin library that the engine needs, and whether this one is here."""

    plugins: Sequence[str]
    file: str | None
    is_found: bool
    detail: str


@dataclass(frozen=True)
class EngineInspection:
    """The result of `inspect_engine`. `layers` and `device_memory_bytes` are None where the engine was not loaded."""

    file: FileIdentity
    backend: str
    version: str | None
    manifest: Manifest | None
    tensors: Sequence[EngineTensor]
    num_profiles: int | None
    layers: Sequence[Layer] | None
    device_memory_bytes: int | None
    matches: Sequence[Match]
    plugins: PluginNeed | None
    decisions: Sequence[Decision]
    warnings: Sequence[str]
    not_loaded_because: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the inspection in the types of JSON, as docs/inspect.md describes it."""
        document = {"kind": "engine", **asdict(self), "is_loaded": self.not_loaded_because is None}
        document |= {name: records.to_json(getattr(self, name)) for name in ("manifest", "decisions")}
        for tensor in document["tensors"]:
            for given in tensor["profiles"]:
                given["is_values"] = given.pop("kind") == "values"
        if self.layers is not None:
            document["layers"] = [
                asdict(layer) | {"precision": layer.precision, "formats": layer.formats} for layer in self.layers
            ]
        return document

    def render(self, width: int = DEFAULT_WIDTH, color: bool = False, show_all: bool = False) -> str:
        """Return the inspection as text for a terminal of this width; `show_all` names every node."""
        next_step = next_steps.run_line(self.file.path) if self.not_loaded_because is None else ""
        return render_with_next([engine_facts(self), *_tables(self, show_all)], next_step, width, color)


_SHA_DIGITS = 12


def engine_facts(inspection: EngineInspection) -> Facts:
    """Return labelled lines: the file, what it was built from, with and for, and what it needs."""
    file, manifest = inspection.file, inspection.manifest
    items = [("engine", f"{file.path} ({format_size(file.bytes)}, sha256 {file.sha256[:_SHA_DIGITS]})")]
    if manifest is not None:
        if manifest.model is not None:
            model = f"{manifest.model.file} (opset {manifest.model.opset})"
            items.append(("made from", f"{model} on {manifest.created or 'an unknown day'}"))
        if manifest.options.precision is not None:
            items.append(("precision", describe_precision(manifest.options.precision, len(manifest.kept_fp32))))
    items += [("built for" if match.what == "GPU" else "built with", _match(match)) for match in inspection.matches]
    if inspection.plugins is not None:
        found = f"found: {inspection.plugins.file}, " if inspection.plugins.is_found else ""
        items.append(("needs", f"{', '.join(inspection.plugins.plugins)}; {found}{inspection.plugins.detail}"))
    elif manifest is not None:
        items.append(("needs", "no plugins"))
    if inspection.device_memory_bytes is not None:
        items.append(("memory", f"{format_size(inspection.device_memory_bytes)} on the GPU for each context"))
    items += [("warning", warning) for warning in inspection.warnings]
    if inspection.not_loaded_because is not None:
        items.append(
            ("not loaded", f"{inspection.not_loaded_because}; layers, formats and memory need a loaded engine")
        )
    return Facts(items)


def _match(match: Match) -> str:
    built_with = f"{match.what} {match.built_with}" if match.built_with else f"{match.what} unknown"
    if match.matches:
        return f"{built_with} ({'runs on the GPU here' if match.what == 'GPU' else 'same version installed'})"
    if match.here is None:
        return f"{built_with}; no GPU here" if match.what == "GPU" else f"{built_with}; not installed here"
    here = f"{built_with}; {match.here} here"
    return here if match.matches is None else f"{here}: the engine does not load here"


def _tables(inspection: EngineInspection, show_all: bool) -> list[Table]:
    tensors = [
        (tensor.direction, tensor.name, tensor.dtype, format_dims(_dims(tensor)), tensor.format or "")
        for tensor in inspection.tensors
    ]
    profiles = [
        (str(index + 1), tensor.name, *(_range_end(given, end) for end in (given.min, given.opt, given.max)))
        for tensor in inspection.tensors
        for index, given in enumerate(tensor.profiles)
    ]
    return [
        Table(
            "Inputs and outputs",
            [Column(""), Column("name", "name"), Column("type"), Column("shape", "text"), Column("format")],
            tensors,
        ),
        Table(
            "Optimisation profiles",
            [Column("profile"), Column("input", "name"), Column("min"), Column("opt"), Column("max")],
            profiles,
        ),
        Table(
            f"What became of each {list_titles()}, and why",
            [Column("op"), Column("became"), Column("why", "text"), Column("nodes", "text")],
            _decisions(inspection.decisions, show_all),
        ),
        _layers(inspection),
    ]


def _decisions(decisions: Sequence[Decision], show_all: bool) -> list[tuple[str, str, str, str]]:
    """Return one row for each outcome and kind of reason: in an engine many nodes share them."""
    groups = group_decisions(decisions, "op", "became", "reason") if show_all else by_kind(decisions)
    return [
        (
            f"{len(group)} {group[0].op}",
            outcome(group[0].became),
            reason_of(group),
            list_nodes([decision.node for decision in group], show_all),
        )
        for group in groups
    ]


def _layers(inspection: EngineInspection) -> Table:
    layers = inspection.layers or []
    rows = [
        (layer.name, layer.type or "", layer.precision or "", layer.formats or "", _tactic(layer)) for layer in layers
    ]
    types = Counter(layer.type for layer in layers if layer.type)
    told = ", ".join(f"{count} {name}" for name, count in types.most_common()) or "the engine holds their names only"
    columns = [Column("layer", "name"), Column("type"), Column("writes"), Column("formats"), Column("tactic", "name")]
    return Table(f"{len(layers)} layers: {told}", columns, rows)


def _tactic(layer: Layer) -> str:
    return "" if layer.tactic is None or not layer.tactic.strip("0x") else layer.tactic


def _dims(tensor: EngineTensor) -> list[int | None]:
    return [None if dim < 0 else dim for dim in tensor.shape]


def _range_end(given: ShapeRange, sizes: Sequence[int]) -> str:
    """Return a shape, or the values of a shape tensor in brackets."""
    end = tuple(sizes)
    return str(ShapeRange(end, end, end, given.kind))
