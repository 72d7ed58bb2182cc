"""Compare two models, or two engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trtconv.decisions import Decision
from trtconv.engine.inspector_json import Layer
from trtconv.errors import ConfigError
from trtconv.inspection.engine_report import EngineInspection
from trtconv.inspection.inspected_nodes import describe_shape
from trtconv.inspection.model_report import ModelInspection
from trtconv.inspection.node_tables import MAX_GROUPED_NAMES, list_nodes, outcome
from trtconv.reports.grouping import kind_of
from trtconv.reports.layout import render
from trtconv.reports.tables import DEFAULT_WIDTH, NOTHING, Column, Facts, Table
from trtconv.shapes import format_dims

Inspection = ModelInspection | EngineInspection
# What is compared: {(section, item): value}, in the order in which it is told.
_Items = dict[tuple[str, str], str]
_OF_NODES = ("nodes", "layers")  # the sections of which many items are alike


@dataclass(frozen=True)
class Change:
    """One item that differs; None on the side that lacks it."""

    section: str
    item: str
    a: str | None
    b: str | None


@dataclass(frozen=True)
class Difference:
    """The result of `diff`. `num_compared` counts the items that either side has."""

    of: str
    a: str
    b: str
    num_compared: int
    changes: Sequence[Change]

    def to_json(self) -> dict[str, Any]:
        """Return the difference in the types of JSON, as docs/inspect.md describes it."""
        return {"kind": "diff", **asdict(self)}

    def render(self, width: int = DEFAULT_WIDTH, color: bool = False, show_all: bool = False) -> str:
        """Return the difference as text for a terminal of this width; `show_all` lists equal changes one by one."""
        same = f"{self.num_compared - len(self.changes)} of {self.num_compared} items are the same"
        facts = Facts([("A", self.a), ("B", self.b), ("compared", same)])
        sections = dict.fromkeys(change.section for change in self.changes)
        return render([facts, *(self._table(section, show_all) for section in sections)], width, color)

    def _table(self, section: str, show_all: bool) -> Table:
        """Return the changes of a section, those of nodes and layers that differ in names alone in one row."""
        groups: dict[tuple[str, ...], list[Change]] = {}
        for change in self.changes:
            if change.section == section:
                kind = (change.item,) if show_all else (kind_of(change.a or NOTHING), kind_of(change.b or NOTHING))
                groups.setdefault(kind if section in _OF_NODES else (change.item,), []).append(change)
        rows = [
            (_name(group), _text([each.a for each in group]), _text([each.b for each in group]))
            for group in groups.values()
        ]
        item = Column("item", "text" if any(len(group) > 1 for group in groups.values()) else "name")
        columns = [item, Column("A", "text"), Column("B", "text")]
        return Table(f"Different: {section}", columns, rows)


def _name(group: Sequence[Change]) -> str:
    names = list_nodes([each.item for each in group], limit=MAX_GROUPED_NAMES)
    return names if len(group) == 1 else f"{len(group)}: {names}"


def _text(sides: Sequence[str | None]) -> str:
    """Return the text of one side of changes that differ in names alone."""
    more = "; likewise the others" if len(set(sides)) > 1 else ""
    return f"{sides[0]}{more}" if sides[0] is not None else NOTHING


def diff(a: Inspection, b: Inspection) -> Difference:
    """Compare two inspections of one kind; raise ConfigError for a model and an engine."""
    if isinstance(a, ModelInspection) and isinstance(b, ModelInspection):
        kind, first, second = "models", _model_items(a), _model_items(b)
    elif isinstance(a, EngineInspection) and isinstance(b, EngineInspection):
        kind, first, second = "engines", _engine_items(a), _engine_items(b)
    else:
        what = "a model and an engine have nothing in common to compare"
        hint = "to compare what they compute: trtconv compare MODEL ENGINE"
        raise ConfigError(what, where="--diff", hint=hint)
    keys = list(dict.fromkeys([*first, *second]))
    changes = [Change(*key, first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key)]
    return Difference(kind, a.file.path, b.file.path, len(keys), changes)


def _model_items(model: ModelInspection) -> _Items:
    items: _Items = {("opsets", domain): str(version) for domain, version in model.opsets.items()}
    items["weights", "tensors"] = str(model.num_weights)
    items["weights", "bytes"] = str(model.weight_bytes)
    for direction, tensors in (("inputs", model.inputs), ("outputs", model.outputs)):
        for tensor in tensors:
            items[direction, tensor.name] = f"{tensor.dtype} {describe_shape(tensor.shape)}"
    items |= {("ops", op): str(count) for op, count in model.ops.items()}
    for node in model.nodes:
        items["nodes", _unused(items, "nodes", node.node)] = f"{node.op}: {outcome(node.became)}, {node.reason}"
    for problem in model.problems:
        items["problems", _unused(items, "problems", problem.what)] = ", ".join(problem.nodes) or "yes"
    return items


def _engine_items(engine: EngineInspection) -> _Items:
    items: _Items = {}
    for match in engine.matches:
        items["built with", match.what] = match.built_with or "unknown"
    for name, value in ({} if engine.manifest is None else vars(engine.manifest.options)).items():
        items["options", name] = "not set" if value is None else str(value)
    if engine.device_memory_bytes is not None:
        items["memory", "bytes on the GPU"] = str(engine.device_memory_bytes)
    for tensor in engine.tensors:
        shape = format_dims([None if dim < 0 else dim for dim in tensor.shape])
        items[f"{tensor.direction}s", tensor.name] = f"{tensor.dtype} {shape} {tensor.format or ''}".rstrip()
        for index, given in enumerate(tensor.profiles):
            items["profiles", f"{index + 1}: {tensor.name}"] = str(given)
    for decision in engine.decisions:
        items["nodes", _unused(items, "nodes", decision.node)] = _decision_text(decision)
    if engine.layers is not None:
        items["layers", "number"] = str(len(engine.layers))
    for layer in engine.layers or ():
        items["layers", _unused(items, "layers", layer.name)] = _layer_text(layer)
    return items


def _unused(items: Mapping[tuple[str, str], str], section: str, name: str) -> str:
    """Return `name`, with a number behind it where the section has one of that name."""
    candidate, number = name, 1
    while (section, candidate) in items:
        number += 1
        candidate = f"{name} ({number})"
    return candidate


def _decision_text(decision: Decision) -> str:
    return f"{decision.op}: {outcome(decision.became)}, {decision.reason}"


def _layer_text(layer: Layer) -> str:
    told = (layer.type, layer.precision, layer.formats, layer.tactic)
    return ", ".join(each for each in told if each) or "there"
