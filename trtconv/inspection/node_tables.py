"""The tables of `trtconv inspect` on the nodes of a model: equal nodes in one row, or every node in one of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from trtconv.decisions import CONSTANT, CONSTANT_INPUT, NOT_FUSED, REWRITTEN
from trtconv.inspection.inspected_nodes import NodeInspection, describe_shape
from trtconv.inspection.parameter_sources import SOURCE_TEXTS
from trtconv.model.native_norms import NativeNorm
from trtconv.ops import BY_ONNX_OP, other_form
from trtconv.ops.custom_op import DOMAIN
from trtconv.reports.grouping import kind_of, reason_of
from trtconv.reports.outcomes import is_norm_or_pad
from trtconv.reports.tables import Column, Table

_MAX_NAMED_NODES = 4
MAX_GROUPED_NAMES = 2
_CONVOLUTIONS = ("Conv", "ConvTranspose")
_GROUPED = (Column("nodes"), Column("become"), Column("why", "text"), Column("names", "text"))
_EACH = (
    Column("node", "name"),
    Column("op"),
    Column("input X"),
    Column("becomes"),
    Column("why", "text"),
    Column("parameters", "text"),
)


def node_tables(nodes: Sequence[NodeInspection], norms: Sequence[NativeNorm], show_all: bool) -> list[Table]:
    """Return what becomes of the nodes, by their kind; with `show_all` a row for each of them."""
    table = _each if show_all else _grouped
    left = [node for node in nodes if not _is_neighbour(node) and not _is_convolution(node)]
    forms = [op.form for op in BY_ONNX_OP.values() if op.form.others]
    return [
        table("What becomes of norms and reflect pads, and why", filter(is_candidate, nodes)),
        table("Neighbours of plugins, and whether they become part of them", filter(_is_neighbour, nodes)),
        table(
            "Convolutions that could be rewritten for speed, and what goes into them", filter(_is_convolution, nodes)
        ),
        table("Other nodes that TensorRT does not accept as they are", filter(_is_prepared, left)),
        _native_norms(norms, show_all),
        *(
            _other_nodes(
                f"{form.others} stay native: {form.why_not_others}",
                [node for node in left if other_form(node.op) is form],
                show_all,
            )
            for form in forms
        ),
    ]


def outcome(became: str | None) -> str:
    """Say what became of a node."""
    if became in (CONSTANT, CONSTANT_INPUT, REWRITTEN):
        return became
    return "native" if became is None else f"plugin {became.rpartition('::')[2]}"


def is_candidate(node: NodeInspection) -> bool:
    """Say whether a plugin could stand for a node, or does."""
    return not _is_prepared(node) and other_form(node.op) is None


def list_nodes(nodes: Sequence[str], show_all: bool = False, limit: int = _MAX_NAMED_NODES) -> str:
    """Name the first `limit` nodes, or with `show_all` every one."""
    hidden = 0 if show_all else len(nodes) - limit
    shown = ", ".join(nodes[:limit] if hidden > 0 else nodes)
    return f"{shown} and {hidden} more" if hidden > 0 else shown


def _each(heading: str, nodes: Iterable[NodeInspection]) -> Table:
    rows = [(node.node, node.op, _x(node), _outcome_of(node), node.reason, _parameters(node)) for node in nodes]
    return Table(heading, _EACH, rows)


def _grouped(heading: str, nodes: Iterable[NodeInspection]) -> Table:
    """Return a row for the nodes of one op, outcome, kind of reason and parameters; the reason tells their type."""
    rows = []
    for group in _by(nodes, lambda node: (node.op, _outcome_of(node), kind_of(node.reason), _parameters(node))):
        why = "; ".join(filter(None, (reason_of(group), _parameters(group[0]))))
        rows.append((_count(group), _outcome_of(group[0]), why, _names(group)))
    return Table(heading, _GROUPED, rows)


def _other_nodes(heading: str, nodes: Sequence[NodeInspection], show_all: bool) -> Table:
    """Return the nodes of an operator that no pass looks at."""
    if show_all:
        columns = [Column("node", "name"), Column("op"), Column("input X"), Column("parameters", "text")]
        return Table(heading, columns, [(node.node, node.op, _x(node), _parameters(node)) for node in nodes])
    rows = [(_count(group), _names(group)) for group in _by(nodes, lambda node: node.op)]
    return Table(heading, [Column("nodes"), Column("names", "text")], rows)


def _native_norms(norms: Sequence[NativeNorm], show_all: bool) -> Table:
    """Return the norms that no pass looks at, those of one kind in one row."""
    groups: dict[tuple[str, str], list[str]] = {}
    for norm in norms:
        groups.setdefault((norm.op, norm.reason), []).append(norm.node)
    rows = []
    for (op, reason), names in groups.items():
        rows.append((f"{len(names)} {op}", reason, list_nodes(names, show_all, MAX_GROUPED_NAMES)))
    return Table("Norms that no plugin takes", [Column("nodes"), Column("why", "text"), Column("names", "text")], rows)


def _by(nodes: Iterable[NodeInspection], key: Callable[[NodeInspection], object]) -> list[list[NodeInspection]]:
    groups: dict[object, list[NodeInspection]] = {}
    for node in nodes:
        groups.setdefault(key(node), []).append(node)
    return list(groups.values())


def _count(group: Sequence[NodeInspection]) -> str:
    return f"{len(group)} {group[0].op}"


def _names(group: Sequence[NodeInspection]) -> str:
    return list_nodes([node.node for node in group], limit=MAX_GROUPED_NAMES)


def _outcome_of(node: NodeInspection) -> str:
    return outcome(node.became) if node.is_decided else "not decided"


def _is_neighbour(node: NodeInspection) -> bool:
    """Say whether it was decided if a node becomes part of the custom op beside it; a pad may be one of its own."""
    is_fused = node.became is not None and node.became.startswith(f"{DOMAIN}::")
    return not is_candidate(node) and (is_fused or node.reason.startswith(NOT_FUSED))


def _is_convolution(node: NodeInspection) -> bool:
    """Say whether it was decided if a convolution computes its phases, or takes what comes before it."""
    return node.op in _CONVOLUTIONS or node.became == REWRITTEN


def _is_prepared(node: NodeInspection) -> bool:
    """Say whether a node is none that a plugin stands for."""
    return not is_norm_or_pad(node.op) and not node.op.startswith(f"{DOMAIN}::")


def _x(node: NodeInspection) -> str:
    return f"{node.dtype or ''} {describe_shape(node.shape)}".strip()


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
