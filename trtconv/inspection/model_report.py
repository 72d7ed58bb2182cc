"""What `trtconv inspect` says of a model: the record, its JSON and its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from trtconv import records
from trtconv.decisions import CONSTANT, CONSTANT_INPUT, NOT_FUSED, REWRITTEN
from trtconv.inspection.inspected_file import FileIdentity
from trtconv.inspection.op_support import BackendCheck, Problem
from trtconv.inspection.parameter_sources import SOURCE_TEXTS, Parameter
from trtconv.model.native_norms import NativeNorm
from trtconv.ops import BY_ONNX_OP, list_titles, other_form
from trtconv.ops.custom_op import DOMAIN, Dim, OnnxForm
from trtconv.reports.tables import DEFAULT_WIDTH, NO_BREAK, Column, Facts, Table, render
from trtconv.reports.text import format_size
from trtconv.shapes import format_dims


@dataclass(frozen=True)
class Tensor:
    """An input or output; `shape` is None when not even the rank is known, a dimension None when it has no name."""

    name: str
    dtype: str | None
    shape: Sequence[Dim] | None


@dataclass(frozen=True)
class NodeInspection:
    """One custom op or node that might become one: its data input X, its parameters, what it would become and why.

    `became` is None for a node that stays native, and where nothing was decided since the pass met an error. `figures`
    are those of the decision, which the reason names.
    """

    node: str
    op: str
    dtype: str | None
    shape: Sequence[Dim] | None
    parameters: Sequence[Parameter]
    is_decided: bool
    became: str | None
    reason: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rank(self) -> int | None:
        """The number of dimensions of X, as far as the model tells."""
        return None if self.shape is None else len(self.shape)


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

    def to_json(self) -> dict[str, Any]:
        """Return the inspection in the types of JSON, as docs/inspect.md describes it."""
        document = {"kind": "model", **asdict(self)}
        document["num_nodes"] = sum(self.ops.values())
        document["nodes"] = [asdict(node) | {"rank": node.rank} for node in self.nodes]
        for node in document["nodes"]:
            del node["figures"]  # the reason names them
        del document["backend"]["problems"]  # they are among the others
        return records.to_json(document)  # type: ignore[no-any-return]

    def render(self, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
        """Return the inspection as text for a terminal of this width."""
        return render_model(self, width, color)


_MAX_NAMED_NODES = 4
_CONVOLUTIONS = ("Conv", "ConvTranspose")


_SHA_DIGITS = 12


def render_model(model: ModelInspection, width: int, color: bool) -> str:
    """Return the inspection as text."""
    return render([model_facts(model), *_tables(model)], width, color)


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
    items.append(("rewrite", _summary(model.nodes, model.native_norms)))
    check = model.backend
    items.append(("checked by" if check.checked else "unchecked", f"{check.backend or 'no TensorRT'}: {check.detail}"))
    return Facts(items)


def problem_table(model: ModelInspection) -> Table:
    """Return a row for each thing that stands in the way of a build."""
    rows = [(problem.found_by, problem.what, _node_list(problem)) for problem in model.problems]
    columns = [Column("found by"), Column("what", "text"), Column("nodes", "text")]
    return Table("What stands in the way of a build", columns, rows)


def _tables(model: ModelInspection) -> list[Table]:
    directions = [("input", tensor) for tensor in model.inputs] + [("output", tensor) for tensor in model.outputs]
    tensors = [(direction, tensor.name, tensor.dtype or "?", _shape(tensor)) for direction, tensor in directions]
    decided = [
        (
            node.node,
            node.op,
            _x(node),
            outcome(node.became) if node.is_decided else "not decided",
            node.reason,
            _parameters(node),
        )
        for node in model.nodes
        if _is_candidate(node)
    ]
    undecided = [node for node in model.nodes if _is_prepared(node) and not _is_neighbour(node)]
    prepared = [_outcome_row(node) for node in undecided if not _is_convolution(node)]
    convolutions = [_outcome_row(node) for node in model.nodes if _is_convolution(node)]
    neighbours = [_outcome_row(node) for node in model.nodes if _is_neighbour(node)]
    return [
        Table(
            "Inputs and outputs",
            [Column(""), Column("name", "name"), Column("type"), Column("shape", "text")],
            tensors,
        ),
        Table(
            f"What becomes of each {list_titles()}, and why",
            [
                Column("node", "name"),
                Column("op"),
                Column("input X"),
                Column("becomes"),
                Column("why", "text"),
                Column("parameters", "text"),
            ],
            decided,
        ),
        Table("What lies around a plugin, and whether it becomes part of it", _outcome_columns(), neighbours),
        Table(
            "Convolutions that could be written for speed, and what goes into them", _outcome_columns(), convolutions
        ),
        Table("Other nodes that TensorRT does not take as they are", _outcome_columns(), prepared),
        _native_norms(model.native_norms),
        *(_other_nodes(op.form, model.nodes) for op in BY_ONNX_OP.values() if op.form.others),
        problem_table(model),
    ]


def _outcome_columns() -> list[Column]:
    return [Column("node", "name"), Column("op"), Column("becomes"), Column("why", "text")]


def _outcome_row(node: NodeInspection) -> tuple[str, str, str, str]:
    return node.node, node.op, outcome(node.became), node.reason


def _native_norms(norms: Sequence[NativeNorm]) -> Table:
    """Return the norms that no pass looks at, those of one kind in one row."""
    groups: dict[tuple[str, str], list[str]] = {}
    for norm in norms:
        groups.setdefault((norm.op, norm.reason), []).append(norm.node)
    rows = [(str(len(nodes)), op, reason, _shown(nodes)) for (op, reason), nodes in groups.items()]
    return Table(
        "Other norms stay native", [Column(""), Column("op"), Column("why", "text"), Column("nodes", "text")], rows
    )


def _other_nodes(form: OnnxForm, nodes: Sequence[NodeInspection]) -> Table:
    """Return the nodes of an operator that no pass looks at."""
    others = [
        (node.node, node.op, _x(node), _parameters(node))
        for node in nodes
        if other_form(node.op) is form and not _is_neighbour(node) and not _is_convolution(node)
    ]
    columns = [Column("node", "name"), Column("op"), Column("input X"), Column("parameters", "text")]
    return Table(f"{form.others} stay native: {form.why_not_others}", columns, others)


def _is_candidate(node: NodeInspection) -> bool:
    """Say whether a plugin could stand for a node, or does."""
    return not _is_prepared(node) and other_form(node.op) is None


def _is_neighbour(node: NodeInspection) -> bool:
    """Say whether it was decided if a node becomes part of the custom op beside it; a pad may be one of its own."""
    is_fused = node.became is not None and node.became.startswith(f"{DOMAIN}::")
    return not _is_candidate(node) and (is_fused or node.reason.startswith(NOT_FUSED))


def _is_convolution(node: NodeInspection) -> bool:
    """Say whether it was decided if a convolution computes its phases, or takes what comes before it."""
    return node.op in _CONVOLUTIONS or node.became == REWRITTEN


def _is_prepared(node: NodeInspection) -> bool:
    """Say whether a node is none that a plugin stands for."""
    return node.op.partition("(")[0] not in BY_ONNX_OP and not node.op.startswith(f"{DOMAIN}::")


def _histogram(ops: Mapping[str, int]) -> str:
    return ", ".join(f"{count}{NO_BREAK}{op}" for op, count in ops.items())


def _summary(nodes: Sequence[NodeInspection], native_norms: Sequence[NativeNorm]) -> str:
    outcomes = [node.became is not None for node in nodes if _is_candidate(node)]
    if not outcomes and native_norms:
        plural = "norms of this model stay" if len(native_norms) > 1 else "norm of this model stays"
        return f"nothing: the {len(native_norms)} {plural} native, see below"
    if not outcomes:
        return f"nothing: no {list_titles('and no')} in this model"
    plugins = f"{sum(outcomes)} of {len(outcomes)} {list_titles()} nodes become plugins"
    return f"{plugins} with TensorRT; TensorRT-RTX has no plugins, there all stay native"


def _x(node: NodeInspection) -> str:
    return f"{node.dtype or 'type unknown,'} {_shape(node)}"


def _parameters(node: NodeInspection) -> str:
    """Name each parameter's source and value, but for those that the reason states already."""
    untold = [
        parameter
        for parameter in node.parameters
        if parameter.value is None or node.figures.get(parameter.name) != parameter.value
    ]
    return ", ".join(
        f"{parameter.name} {SOURCE_TEXTS[parameter.source]}"
        + ("" if parameter.value is None else f" {parameter.value_text}")
        for parameter in untold
    )


def outcome(became: str | None) -> str:
    """Say what became of a node."""
    if became in (CONSTANT, CONSTANT_INPUT, REWRITTEN):
        return became
    return "native" if became is None else f"plugin {became.rpartition('::')[2]}"


def _shape(tensor: Tensor | NodeInspection) -> str:
    return "rank unknown" if tensor.shape is None else format_dims(tensor.shape)


def _node_list(problem: Problem) -> str:
    return _shown(problem.nodes)


def _shown(nodes: Sequence[str]) -> str:
    shown = ", ".join(nodes[:_MAX_NAMED_NODES])
    hidden = len(nodes) - _MAX_NAMED_NODES
    return f"{shown} and {hidden} more" if hidden > 0 else shown
