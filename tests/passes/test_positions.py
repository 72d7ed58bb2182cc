"""Positions of nodes stay true through every change of a list, and are not made anew for each."""

from __future__ import annotations

import random

import onnx_graphsurgeon as gs
import pytest

from trtconv.passes.positions import Positions


def graph_of(num: int) -> gs.Graph:
    return gs.Graph(nodes=[gs.Node("Relu") for _ in range(num)])


def places(graph: gs.Graph) -> dict[int, int]:
    return {id(node): index for index, node in enumerate(graph.nodes)}


@pytest.mark.parametrize("seed", range(5))
def test_positions_follow_random_edits(seed: int) -> None:
    rng, graph = random.Random(seed), graph_of(20)
    kept = []
    for _ in range(200):
        node = rng.choice(graph.nodes)
        position = Positions.of(graph).find(node)
        assert graph.nodes[position] is node
        others = [gs.Node("Relu") for _ in range(rng.choice((0, 0, 1, 3)))]
        kept.append(node)  # or its id would be another's
        Positions.of(graph).put(position, [*others, node] if rng.random() < 0.6 else others or [gs.Node("Neg")])
        if rng.random() < 0.1:  # a change that Positions does not see
            rng.shuffle(graph.nodes)
    assert {id(node): Positions.of(graph).find(node) for node in graph.nodes} == places(graph)


def test_many_nodes_find_room_at_one_place() -> None:
    graph = graph_of(3)
    last = graph.nodes[2]
    for _ in range(100):
        Positions.of(graph).put(Positions.of(graph).find(last), [gs.Node("Relu"), last])
    assert {id(node): Positions.of(graph).find(node) for node in graph.nodes} == places(graph)


def test_labels_are_made_once_for_many_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    times = []
    label_anew = Positions._label_anew
    monkeypatch.setattr(Positions, "_label_anew", lambda self: (times.append(1), label_anew(self)))
    graph = graph_of(3000)
    for first, second, last in zip(*[iter(list(graph.nodes))] * 3, strict=True):
        for node in (last, second):
            Positions.of(graph).put(Positions.of(graph).find(node), [])
        Positions.of(graph).put(Positions.of(graph).find(first), [first])
    assert len(graph.nodes) == 1000
    assert len(times) == 1


def test_a_node_of_another_graph_has_no_position() -> None:
    graph = graph_of(3)
    with pytest.raises(KeyError):
        Positions.of(graph).find(gs.Node("Relu"))
    graph.nodes = [gs.Node("Relu")]
    assert Positions.of(graph).find(graph.nodes[0]) == 0
