"""What `trtconv inspect` says of a model: the record, its JSON and its text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trtconv import records
from trtconv.decisions import Decision
from trtconv.inspection.inspected_file import FileIdentity
from trtconv.inspection.inspected_nodes import NodeInspection, Tensor, describe_shape
from trtconv.inspection.node_tables import list_nodes, node_tables
from trtconv.inspection.op_support import BackendCheck, Problem
from trtconv.model.native_norms import NativeNorm
from trtconv.ops import list_titles, other_form
from trtconv.ops.custom_op import DOMAIN
from trtconv.reports import next_steps
from trtconv.reports.layout import render_with_next
from trtconv.reports.outcomes import describe_outcome
from trtconv.reports.tables import DEFAULT_WIDTH, NO_BREAK, Block, Column, Facts, Table
from trtconv.reports.text import format_size
from trtconv.shapes import missing_shapes


@dataclass(frozen=True)
class ModelInspection:
    """The result of `inspect_model`. `functions` maps a local function, before it was inlined, to its node count."""

    file: FileIdentity
    producer: str
    ir_version: int
    opsets: dict[str, int]
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    num_weights: int
    weight_bytes: int
    external_files: dict[str, int]
    functions: dict[str, int]
    ops: dict[str, int]
    nodes: Sequence[NodeInspection]
    native_norms: Sequence[NativeNorm]
    problems: Sequence[Problem]
    backend: BackendCheck

    @property
    def decisions(self) -> list[Decision]:
        """What would become of each node, and why, of norms that no pass takes, too."""
        nodes = (Decision(node.node, node.op, node.became, node.reason, node.figures) for node in self.nodes)
        return [*nodes, *(Decision(norm.node, norm.op, None, norm.reason) for norm in self.native_norms)]

    def to_json(self) -> dict[str, Any]:
        """Return the inspection in the types of JSON, as docs/inspect.md describes it."""
        document = {"kind": "model", **asdict(self)}
        document["num_nodes"] = sum(self.ops.values())
        document["nodes"] = [asdict(node) | {"rank": node.rank} for node in self.nodes]
        for node in document["nodes"]:
            del node["figures"]  # the reason names them
        del document["backend"]["problems"]  # they are among the others
        return records.to_json(document)  # type: ignore[no-any-return]

    def render(self, width: int = DEFAULT_WIDTH, color: bool = False, show_all: bool = False) -> str:
        """Return the inspection as text for a terminal of this width; `show_all` lists equal nodes one by one."""
        tables = node_tables(self.nodes, self.native_norms, show_all)
        blocks: list[Block] = [model_facts(self), problem_table(self), tensor_table(self), *tables]
        return render_with_next(blocks, "" if self.problems else self._build_line(), width, color)

    def _build_line(self) -> str:
        inputs = {tensor.name: tensor.shape for tensor in self.inputs}
        return next_steps.after_inspection_of_model(self.file.path, missing_shapes(inputs, ()))


_SHA_DIGITS = 12
_PAD = "Pad("  # how the title of a Pad begins, before its mode


def model_facts(model: ModelInspection) -> Facts:
    """Return labelled lines: the file, its weights and its ops, and what would become of it."""
    opsets = ", ".join(f"{domain} {version}" for domain, version in model.opsets.items())
    items = [
        ("model", f"{model.file.path} ({format_size(model.file.bytes)}, sha256 {model.file.sha256[:_SHA_DIGITS]})"),
        ("made by", model.producer or "unknown"),
        ("opset", f"{opsets or 'none named'}, IR version {model.ir_version}"),
        ("weights", f"{model.num_weights} tensors, {format_size(model.weight_bytes)}"),
    ]
    external = ", ".join(f"{name} ({format_size(num_bytes)})" for name, num_bytes in model.external_files.items())
    if external:
        items.append(("data files", external))
    if model.functions:
        functions = ", ".join(f"{name} ({count} nodes)" for name, count in model.functions.items())
        items.append(("functions", functions))
    items.append(("nodes", f"{sum(model.ops.values())}: {_histogram(model.ops)}"))
    items.append(("rewrite", _summary(model)))
    if any(map(_is_pad, model.nodes)):
        items.append(("pads", _describe_pads(list(filter(_is_pad, model.nodes)))))
    check = model.backend
    items.append(("checked by" if check.checked else "unchecked", f"{check.backend or 'no TensorRT'}: {check.detail}"))
    return Facts(items)


def problem_table(model: ModelInspection) -> Table:
    """Return a row for each thing that prevents a build."""
    rows = [(problem.found_by, problem.what, list_nodes(problem.nodes)) for problem in model.problems]
    columns = [Column("found by"), Column("what", "text"), Column("nodes", "text")]
    return Table("Blockers", columns, rows)


def tensor_table(model: ModelInspection, times: str = "x") -> Table:
    """Return a row for each input and output; `times` stands between sizes."""
    directions = [("input", tensor) for tensor in model.inputs] + [("output", tensor) for tensor in model.outputs]
    rows = [
        (direction, each.name, each.dtype or "?", describe_shape(each.shape, times)) for direction, each in directions
    ]
    columns = [Column(""), Column("name", "name"), Column("type"), Column("shape", "text")]
    return Table("Inputs and outputs", columns, rows)


def _histogram(ops: Mapping[str, int]) -> str:
    return ", ".join(f"{count}{NO_BREAK}{op}" for op, count in ops.items())


def _summary(model: ModelInspection) -> str:
    if not all(node.is_decided for node in model.nodes):
        return "not decided, see the blockers"
    told = describe_outcome(decision for decision in model.decisions if not _is_other_form(decision))
    if not told:
        return f"nothing: no {list_titles('and no')} in this model"
    stays_native = not any(node.became for node in model.nodes)
    return told if stays_native else f"{told}; with TensorRT-RTX all stay native"


def _is_other_form(decision: Decision) -> bool:
    """Say whether a node is one that no pass looks at: a constant Pad."""
    form = other_form(decision.op)
    return form is not None and decision.reason == form.why_not_others


def _is_pad(node: NodeInspection) -> bool:
    return node.op.startswith(_PAD)


def _describe_pads(pads: Sequence[NodeInspection]) -> str:
    """Count all Pad nodes by mode, and what becomes of those of each mode."""
    told = []
    for op, count in Counter(pad.op for pad in pads).most_common():
        outcomes = Counter(_pad_outcome(pad) for pad in pads if pad.op == op)
        become = [f"{number} {became}" for became, number in outcomes.items()] if len(outcomes) > 1 else outcomes
        told.append(f"{count}{NO_BREAK}{op.removeprefix(_PAD).removesuffix(')')} ({', '.join(become)})")
    return f"{len(pads)}: {', '.join(told)}"


def _pad_outcome(pad: NodeInspection) -> str:
    if not pad.is_decided:
        return "not decided"
    return "native" if pad.became is None else "plugin" if pad.became.startswith(f"{DOMAIN}::") else pad.became
