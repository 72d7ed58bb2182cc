"""Round off the set of nodes that stay fp32, so that few Casts are needed around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set

from trtconv.precision.float_graph import FloatGraph
from trtconv.precision.op_kinds import HEAVY, MOVES
from trtconv.precision.rules import Reason, Reasons

_JOINS = Reason("all its inputs are fp32 already: one Cast after it instead of several before it")
_SHARES = Reason("its input is cast to fp32 anyway, and only fp32 nodes read it")
_ENCLOSED = Reason("between nodes that stay fp32: 16 bits would only add Casts")


def close_islands(graph: FloatGraph, kept: Set[int], fixed: Set[int] = frozenset()) -> Reasons:
    """Return the nodes that stay fp32 to save Casts, besides those in `kept`. None of them costs much time in fp32.

    Those in `fixed` stay as they are.
    """
    reasons: Reasons = {}
    rules: tuple[tuple[Callable[[FloatGraph, Set[int]], set[int]], Reason], ...] = (
        (_joining, _JOINS),
        (_sharing, _SHARES),
        (_enclosed, _ENCLOSED),
    )
    num_before = -1
    while len(reasons) != num_before:
        num_before = len(reasons)
        for rule, reason in rules:
            reasons |= dict.fromkeys(rule(graph, kept | reasons.keys()) - fixed, reason)
    return reasons


def _candidates(graph: FloatGraph, kept: Set[int]) -> Iterator[int]:
    for index, node in enumerate(graph.nodes):
        if graph.slots[index] and index not in kept and node.op_type not in HEAVY:
            yield index


def _joining(graph: FloatGraph, kept: Set[int]) -> set[int]:
    """Nodes with two or more inputs, all from nodes that stay fp32."""
    joining: set[int] = set()
    for index in _candidates(graph, kept):
        names = set(graph.variable_inputs(index))
        if len(names) > 1 and all(graph.producer.get(name) in kept | joining for name in names):
            joining.add(index)
    return joining


def _sharing(graph: FloatGraph, kept: Set[int]) -> set[int]:
    """Nodes that move a tensor from where a fp32 node reads it too, to fp32 nodes alone."""
    return {
        index
        for index in _candidates(graph, kept)
        if graph.nodes[index].op_type in MOVES
        and not any(name in graph.outputs for name in graph.nodes[index].output)
        and (readers := set(graph.consumers_of(index)))
        and readers <= kept
        and all(any(each in kept for each in graph.consumers[name]) for name in graph.variable_inputs(index))
    }


def _enclosed(graph: FloatGraph, kept: Set[int]) -> set[int]:
    """Groups of connected nodes with fp32 nodes around them, or fp32 nodes and the ends of the graph."""
    light = set(_candidates(graph, kept))
    enclosed: set[int] = set()
    seen: set[int] = set()
    for start in sorted(light):
        if start in seen:
            continue
        group, around = {start}, set()
        stack = [start]
        while stack:
            index = stack.pop()
            for each in (*graph.producers_of(index), *graph.consumers_of(index)):
                if each not in light:
                    around.add(each)
                elif each not in group:
                    group.add(each)
                    stack.append(each)
        seen |= group
        neighbours = {each for each in around if graph.slots[each] or each in kept}
        if neighbours and neighbours <= kept:
            enclosed |= group
    return enclosed
