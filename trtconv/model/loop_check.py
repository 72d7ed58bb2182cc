"""Find nodes that read what follows from their own results: no order runs them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import onnx

from trtconv.errors import ModelError
from trtconv.model.addresses import address_of
from trtconv.model.walking import branches

_MAX_NAMED = 4


def require_no_loop(graph: onnx.GraphProto, path: Path) -> None:
    """Raise ModelError where nodes of a (sub)graph read each other's results in a circle."""
    _require(graph, path)


def _require(graph: onnx.GraphProto, path: Path) -> list[str]:
    """Check one (sub)graph and those inside it; return the outer tensors that they read.

    A node whose inputs all come before it stands in no circle. Of the others, those are taken away again and again that
    read from none that is left.
    """
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    own.update(tensor.values.name for tensor in graph.sparse_initializer)
    reads = [
        [*node.input, *(name for branch in branches(node) for name in _require(branch, path))] for node in graph.node
    ]
    written = {name for node in graph.node for name in node.output if name}
    before = set(own)
    late: list[int] = []
    for index, node in enumerate(graph.node):
        if any(name in written and name not in before for name in reads[index]):
            late.append(index)
        else:
            before.update(node.output)
    stuck = _stuck([graph.node[index] for index in late], [reads[index] for index in late])
    if stuck:
        named = " -> ".join(address_of(node) for node in stuck[:_MAX_NAMED])
        more = f" -> ... ({len(stuck)} nodes)" if len(stuck) > _MAX_NAMED else ""
        what = f"nodes read each other's results in a circle: {named}{more} -> {address_of(stuck[0])}"
        raise ModelError(what, where=str(path), hint="export the model again: ONNX graphs have no loops")
    given = (*(name for names in reads for name in names), *(value.name for value in graph.output))
    return list(dict.fromkeys(name for name in given if name and name not in written and name not in own))


def _stuck(nodes: Sequence[onnx.NodeProto], reads: Sequence[Iterable[str]]) -> list[onnx.NodeProto]:
    """Return a circle among nodes, each reading from the one before it, or nothing where there is none."""
    writer = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    sources = [{writer[name] for name in names if name in writer} for names in reads]
    readers: list[list[int]] = [[] for _ in nodes]
    for index, found in enumerate(sources):
        for source in found:
            readers[source].append(index)
    num_open = [len(found) for found in sources]
    free = [index for index, count in enumerate(num_open) if count == 0]
    while free:
        for reader in readers[free.pop()]:
            num_open[reader] -= 1
            if num_open[reader] == 0:
                free.append(reader)
    left = next((index for index, count in enumerate(num_open) if count), None)
    if left is None:
        return []
    trail: dict[int, None] = {}
    while left not in trail:  # back from reader to source, until the trail meets itself
        trail[left] = None
        left = next(source for source in sources[left] if num_open[source])
    circle = list(trail)
    return [nodes[index] for index in reversed(circle[circle.index(left) :])]
