"""Put a graph before and after a rewrite beside each other: what became of each node, and blocks that both share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import onnx

from trtconv.decisions import KEPT_FP32, REWRITTEN, Decision
from trtconv.pages.graph_reading import ReadGraph, ReadNode, read_graph
from trtconv.passes.phased_convolution import phases_of
from trtconv.reports.html.page import Graph, Graphs, Node, Outcome, outcome_of

# What a network is made of to those who know it: each of these begins a block.
_BLOCK_OPS = frozenset(
    {
        *("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv", "Gemm", "MatMul", "MatMulInteger"),
        *("QLinearMatMul", "Einsum", "LSTM", "GRU", "RNN", "Attention"),
    }
)
_MAX_BLOCK = 40  # nodes
_MAX_DECISIONS = 4  # of one address, which several nodes may have
# The first that a node has is its colour.
_STRENGTH: Sequence[Outcome] = ("plugin", "fused", "rewritten", "computed", "native")


def put_together(
    before: onnx.GraphProto,
    after: onnx.GraphProto | None,
    decisions: Sequence[Decision],
    types: Mapping[str, str],
    types_after: Mapping[str, str] | None = None,
) -> Graphs:
    """Return both graphs of a rewrite; `decisions` are those of the page, `types` what `tensor_types` returns.

    `types_after` are those of the graph after the rewrite, where they differ.
    """
    old = read_graph(before, types)
    new = None if after is None else read_graph(after, types if types_after is None else types_after)
    numbers = _numbers_by_address(decisions)
    block_of, blocks = _split(old.nodes)
    matches = [] if new is None else _match(old.nodes, new.nodes)
    kept = None if new is None or new.num_left_out else {match for match in matches if match is not None}
    old_nodes = [
        _node(node, block_of[number], numbers, _outcome_before(number, node, kept, numbers, decisions))
        for number, node in enumerate(old.nodes)
    ]
    graph_before = Graph(old_nodes, old.tensors, old.num_constants, old.num_left_out)
    if new is None:
        return Graphs(graph_before, None, blocks)
    return Graphs(graph_before, _after(old, new, matches, block_of, numbers, decisions), blocks)


def _after(
    old: ReadGraph,
    new: ReadGraph,
    matches: Sequence[int | None],
    block_of: Sequence[int],
    numbers: Mapping[str, Sequence[int]],
    decisions: Sequence[Decision],
) -> Graph:
    """Return the graph after the rewrite; a node without a match goes into the block of the node before it."""
    nodes, block = [], 0
    for node, match in zip(new.nodes, matches, strict=True):
        block = block if match is None else block_of[match]
        outcome = _outcome_after(node, None if match is None else old.nodes[match], numbers, decisions)
        nodes.append(_node(node, block, numbers, outcome, match))
    return Graph(nodes, new.tensors, new.num_constants, new.num_left_out)


def _node(
    node: ReadNode, block: int, numbers: Mapping[str, Sequence[int]], outcome: Outcome, match: int | None = None
) -> Node:
    return Node(
        node.address,
        node.op,
        outcome,
        block,
        node.inputs,
        node.outputs,
        node.num_more,
        numbers.get(node.address, ()),
        match,
        node.attributes,
    )


def _numbers_by_address(decisions: Sequence[Decision]) -> Mapping[str, Sequence[int]]:
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, decision in enumerate(decisions):
        if len(numbers[decision.node]) < _MAX_DECISIONS:
            numbers[decision.node].append(number)
    return numbers


def _split(nodes: Sequence[ReadNode]) -> tuple[list[int], list[str]]:
    """Return the number of each node's block, and what each block is called."""
    block_of: list[int] = []
    blocks: list[str] = []
    size = 0
    for node in nodes:
        if not blocks or node.op in _BLOCK_OPS or size == _MAX_BLOCK:
            blocks.append(node.address)
            size = 0
        block_of.append(len(blocks) - 1)
        size += 1
    return block_of, blocks or [""]


def _match(old: Sequence[ReadNode], new: Sequence[ReadNode]) -> list[int | None]:
    """Return, for each new node, the old one of the same address, else of the same output or its phases; each once."""
    by_address = {node.address: number for number, node in reversed(list(enumerate(old)))}
    by_key = {node.key: number for number, node in reversed(list(enumerate(old)))}
    found = [by_address.get(node.address) for node in new]
    taken: set[int] = set()
    for index, number in enumerate(found):
        if number in taken:
            found[index] = None
        elif number is not None:
            taken.add(number)
    by_key |= {phases_of(key): number for key, number in by_key.items()}
    for index, node in enumerate(new):
        number = by_key.get(node.key)
        if found[index] is None and number is not None and number not in taken:
            found[index] = number
            taken.add(number)
    return found


def _outcome_before(
    number: int,
    node: ReadNode,
    kept: set[int] | None,
    numbers: Mapping[str, Sequence[int]],
    decisions: Sequence[Decision],
) -> Outcome:
    """Return what became of a node; `kept` are those that a node after the rewrite stands for, None if unknown."""
    made = {outcome_of(decisions[each]) for each in numbers.get(node.address, ())}
    for outcome in _STRENGTH:
        if outcome in made:
            return outcome
    if node.is_custom:
        return "plugin"
    return "same" if kept is None or number in kept else "replaced"


def _outcome_after(
    node: ReadNode, old: ReadNode | None, numbers: Mapping[str, Sequence[int]], decisions: Sequence[Decision]
) -> Outcome:
    if node.is_custom:
        return "plugin"
    became = {decisions[each].became for each in numbers.get(node.address, ())}
    if KEPT_FP32 in became:
        return "fp32"
    if REWRITTEN in became or (old is not None and node.key == phases_of(old.key)):
        return "rewritten"
    if old is None or old.op != node.op:
        return "new"
    return "native" if None in became else "same"
