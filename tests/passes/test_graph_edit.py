"""`replace` puts nodes in the place of others, lets everyone read the right tensors, and refuses to lose one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnx_graphsurgeon as gs
import pytest

from trtconv.errors import GraphEditError
from trtconv.model.as_read import import_graph
from trtconv.model.shape_inference import with_shapes
from trtconv.passes.base import walk
from trtconv.passes.graph_edit import NewNode, replace

TEXT = """<ir_version: 10, opset_import: ["": 17, "test": 1]> g (float[2] x, bool c) => (float[2] y, float[2] z) {
    [source] a, b = test.Two (x)
    [relu] r = Relu (a)
    [sum] y = Add (r, b)
    [choice] z = If (c) <then_branch = t () => (float[2] p) { [inner] p = Neg (r) },
        else_branch = e () => (float[2] q) { q = Abs (x) }>
}"""


@pytest.fixture
def graph() -> gs.Graph:
    model = onnx.parser.parse_model(TEXT)
    return import_graph(with_shapes(model, Path()), model.graph)[0]


def node(graph: gs.Graph, name: str) -> gs.Node:
    return next(site.node for site in walk(graph) if site.node.name == name)


def names(tensors: list[gs.Tensor]) -> list[str]:
    return [tensor.name for tensor in tensors]


def listed(graph: gs.Graph) -> list[tuple[str, str]]:
    return [(each.op, each.name) for each in graph.nodes]


def test_the_new_node_takes_over_name_and_place(graph: gs.Graph) -> None:
    relu, total = node(graph, "relu"), node(graph, "sum")
    both = NewNode("Fused", [*relu.inputs, total.inputs[1]], [*total.outputs, *relu.outputs], {"depth": 2}, "test")
    replace(graph, [relu, total], both)
    assert listed(graph) == [("Two", "source"), ("Fused", "sum"), ("If", "choice")]
    fused = node(graph, "sum")
    assert (names(fused.inputs), names(fused.outputs), fused.attrs) == (["a", "b"], ["y", "r"], {"depth": 2})
    assert fused.outputs[1].inputs == [fused]
    assert node(graph, "inner").inputs[0].inputs == [fused], "a branch reads the second output"


def test_readers_inside_branches_are_rewired(graph: gs.Graph) -> None:
    relu, new = node(graph, "relu"), gs.Variable("new", np.float32, [2])
    replace(graph, [relu], NewNode("Celu", relu.inputs, [new]), instead=[(relu.outputs[0], new)])
    assert listed(graph) == [("Two", "source"), ("Celu", ""), ("Add", "sum"), ("If", "choice")]
    assert names(node(graph, "sum").inputs) == ["new", "b"]
    assert names(node(graph, "inner").inputs) == ["new"]


def test_one_node_becomes_several(graph: gs.Graph) -> None:
    relu, low, high = node(graph, "relu"), gs.Variable("low"), gs.Variable("high")
    first, second = NewNode("Cast", relu.inputs, [low]), NewNode("Relu", [low], [high])
    replace(graph, [relu], [first, second, NewNode("Cast", [high], relu.outputs)])
    assert listed(graph)[1:4] == [("Cast", ""), ("Relu", ""), ("Cast", "relu")]


def test_what_is_given_out_is_replaced_too(graph: gs.Graph) -> None:
    total = node(graph, "sum")
    replace(graph, [total], [], instead=[(total.outputs[0], total.inputs[0])])
    assert names(graph.outputs) == ["r", "z"]


def lose_an_output(graph: gs.Graph) -> None:
    source = node(graph, "source")
    replace(graph, [source], NewNode("Neg", source.inputs, source.outputs[:1]))


def lose_what_a_branch_reads(graph: gs.Graph) -> None:
    relu, total = node(graph, "relu"), node(graph, "sum")
    replace(graph, [relu, total], NewNode("Fused", relu.inputs, total.outputs))


def lose_what_the_graph_gives_out(graph: gs.Graph) -> None:
    replace(graph, [node(graph, "choice")], NewNode("Neg", [graph.inputs[0]], [gs.Variable("new")]))


def replace_in_another_graph(graph: gs.Graph) -> None:
    inner = node(graph, "inner")
    replace(graph, [inner], [], instead=[(inner.outputs[0], inner.inputs[0])])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lose_an_output, "source: its output b would be lost, and sum reads it"),
        (lose_what_a_branch_reads, "relu: its output r would be lost, and inner reads it"),
        (lose_what_the_graph_gives_out, "choice: its output z would be lost, and the graph gives it out"),
        (replace_in_another_graph, "inner: the node to be replaced is not in this graph"),
    ],
)
def test_nothing_that_is_read_is_lost(graph: gs.Graph, edit: Callable[[gs.Graph], None], message: str) -> None:
    def state() -> list[tuple[str, list[str], list[str]]]:
        return [(site.address, names(site.node.inputs), names(site.node.outputs)) for site in walk(graph)]

    before = state()
    with pytest.raises(GraphEditError, match=message):
        edit(graph)
    assert state() == before
