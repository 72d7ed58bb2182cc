"""What a page holds: summary, graphs, decisions, layers. Who gathers it needs no HTML; who renders it, no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trtconv.decisions import KEPT_FP32, REWRITTEN, Decision
from trtconv.progress import StepTime
from trtconv.reports.tables import Table

Role = Literal["", "input", "output", "weight"]
# What became of a node: the name of its colour, and what the page says of it.
Outcome = Literal["plugin", "fused", "rewritten", "computed", "native", "fp32", "replaced", "new", "same"]
OUTCOME_TEXTS: dict[Outcome, str] = {
    "plugin": "runs as a plugin",
    "fused": "became part of a plugin",
    "rewritten": "computes the same in a form that runs faster",
    "computed": "computed before the build, it or an input of it",
    "native": "could have become a plugin or part of one, but stays native",
    "fp32": "stays in fp32",
    "replaced": "is part of what a plugin does now, or nothing reads it any more",
    "new": "was added for TensorRT",
    "same": "unchanged",
}


@dataclass(frozen=True)
class Tensor:
    """A tensor of a graph: its type and shape as far as they are known, and whether it is an input or a weight."""

    name: str
    type: str = ""
    role: Role = ""


@dataclass(frozen=True)
class Node:
    """A node of a graph.

    `inputs` and `outputs` are numbers of tensors of the graph, with `num_more` left out; `decisions` are numbers of
    decisions of the page, `block` is the number of its block. `match` is the number of the node before the rewrite
    that this one stands for, None for a node before the rewrite and for a new one.
    """

    address: str
    op: str
    outcome: Outcome
    block: int
    inputs: Sequence[int] = ()
    outputs: Sequence[int] = ()
    num_more: int = 0
    decisions: Sequence[int] = ()
    match: int | None = None
    attributes: str = ""


@dataclass(frozen=True)
class Graph:
    """Nodes in their order, branches after the node that holds them; Constant nodes are counted, as weights.

    `num_left_out` nodes at the end are not here.
    """

    nodes: Sequence[Node]
    tensors: Sequence[Tensor]
    num_constants: int = 0
    num_left_out: int = 0


@dataclass(frozen=True)
class Graphs:
    """A graph before and after the rewrite, and the blocks of both, each named after its first node."""

    before: Graph
    after: Graph | None
    blocks: Sequence[str]


@dataclass(frozen=True)
class LayerRow:
    """A layer of an engine; empty text for what TensorRT does not tell."""

    name: str
    type: str
    writes: str
    formats: str
    tactic: str
    nodes: Sequence[str] = ()


@dataclass(frozen=True)
class Highlight:
    """One of the few figures at the top of a page, in the colour of an outcome or in none."""

    value: str
    label: str
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Page:
    """Everything that a page shows.

    `facts` are labelled lines, `tables` are small. `layers` is None where they are unknown, which `no_layers` explains.
    """

    title: str
    subtitle: str
    facts: Sequence[tuple[str, str]]
    highlights: Sequence[Highlight] = ()
    steps: Sequence[StepTime] = ()
    tables: Sequence[Table] = ()
    accuracy: Sequence[Table] = ()
    graphs: Graphs | None = None
    decisions: Sequence[Decision] = ()
    layers: Sequence[LayerRow] | None = None
    no_layers: str = ""


def outcome_of(decision: Decision) -> Outcome:
    """Return the outcome that a decision gives its node."""
    if decision.became == KEPT_FP32:
        return "fp32"
    if decision.became == REWRITTEN:
        return "rewritten"
    if decision.is_computed:
        return "computed"
    if not decision.is_plugin:
        return "native"
    return "fused" if decision.is_fused else "plugin"
