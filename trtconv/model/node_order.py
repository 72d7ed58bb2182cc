"""The order of a graph's nodes in a file: each behind those whose tensors it reads, else as they stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

import onnx_graphsurgeon as gs

from trtconv.errors import GraphEditError
from trtconv.model.addresses import address_of
from trtconv.model.as_read import AsRead


def in_order(nodes: Sequence[gs.Node], as_read: AsRead, touched: Set[int]) -> list[int]:
    """Return the places of `nodes` in an order in which each tensor is written before it is read.

    A node moves forward only where one before it reads what it writes. Nodes that read each other in a circle keep
    their places if they were read so; raises GraphEditError where one of them is in `touched`, the ids of edited nodes.
    """
    writers: dict[int, int] = {}
    for position, node in enumerate(nodes):
        for tensor in node.outputs:
            writers.setdefault(id(tensor), position)
    needed = [[writers[id(tensor)] for tensor in _reads(node, as_read) if id(tensor) in writers] for node in nodes]
    if all(writer < position for position, before in enumerate(needed) for writer in before):
        return list(range(len(nodes)))
    order: list[int] = []
    is_open: dict[int, bool] = {}  # no entry: not met yet
    for start in range(len(nodes)):
        path = [] if start in is_open else [(start, iter(needed[start]))]
        while path:
            position, before = path[-1]
            is_open[position] = True
            following = next((writer for writer in before if is_open.get(writer, True)), None)
            if following is None:
                path.pop()
                is_open[position] = False
                order.append(position)
            elif following not in is_open:
                path.append((following, iter(needed[following])))
            elif any(id(nodes[each]) in touched for each in _circle(path, following)):
                raise GraphEditError("it reads what depends on its own output", where=address_of(nodes[position]))
    return order


def _circle(path: Sequence[tuple[int, Iterator[int]]], first: int) -> list[int]:
    positions = [position for position, _ in path]
    return positions[positions.index(first) :]


def _reads(node: gs.Node, as_read: AsRead) -> Iterator[gs.Tensor]:
    """Yield what a node and the branches inside it read."""
    yield from node.inputs
    if id(node) in as_read.nodes:
        yield from (tensor for tensor, _ in as_read.nodes[id(node)].raw_reads)
    for value in node.attrs.values():
        if isinstance(value, gs.Graph):
            yield from value.outputs
            for inner in value.nodes:
                yield from _reads(inner, as_read)
