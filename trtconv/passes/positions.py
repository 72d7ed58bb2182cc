"""Where nodes stand in the list of a graph: found by labels that grow along it, in place of a walk along the list."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import onnx_graphsurgeon as gs

_GAP = 1 << 32  # between the labels of neighbours: so many nodes can come between them, at best
_KEPT_AS = "_trtconv_positions"


class Positions:
    """The labels of one graph's nodes. Where the list was changed without them, they are made anew."""

    def __init__(self, graph: gs.Graph) -> None:
        self._nodes: list[gs.Node] = graph.nodes
        self._labels: dict[int, int] = {}  # by the ids of nodes: gs.Node compares all that it holds

    @classmethod
    def of(cls, graph: gs.Graph) -> Positions:
        """Return the positions in a graph, which keeps them."""
        found = vars(graph).get(_KEPT_AS)
        if not isinstance(found, cls) or found._nodes is not graph.nodes:
            found = cls(graph)
            setattr(graph, _KEPT_AS, found)
        return found

    def find(self, node: gs.Node) -> int:
        """Return where a node stands. Raises KeyError where it is not in the list."""
        position = self._bisect(node)
        if position is None:
            self._label_anew()
            position = self._bisect(node)
        if position is None:
            raise KeyError(id(node))
        return position

    def put(self, position: int, nodes: Sequence[gs.Node]) -> None:
        """Put nodes in the place of the one at a position."""
        self._labels.pop(id(self._nodes[position]), None)
        self._nodes[position : position + 1] = nodes
        end = position + len(nodes)
        before = self._label_at(position - 1) if position else 0
        behind = self._label_at(end) if end < len(self._nodes) else before + (len(nodes) + 1) * _GAP
        step = (behind - before) // (len(nodes) + 1)
        if step <= 0:
            self._label_anew()
        else:
            self._labels.update((id(node), before + step * index) for index, node in enumerate(nodes, 1))

    def _bisect(self, node: gs.Node) -> int | None:
        label = self._labels.get(id(node))
        if label is None:
            return None
        position = bisect_left(self._nodes, label, key=lambda each: self._labels.get(id(each), 0))
        is_there = position < len(self._nodes) and self._nodes[position] is node
        return position if is_there else None

    def _label_at(self, position: int) -> int:
        return self._labels.get(id(self._nodes[position]), 0)

    def _label_anew(self) -> None:
        self._labels = {id(node): index * _GAP for index, node in enumerate(self._nodes, 1)}
