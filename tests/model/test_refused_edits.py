"""An edit that cannot be written is refused, by the name of the node."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_graphsurgeon as gs
import pytest

from tests.support.edits import CHAIN, HEADER, Edit, edited, node_of
from trtconv.errors import GraphEditError
from trtconv.model.walking import captured_names


def lose_a_writer(graph: gs.Graph) -> None:
    del graph.nodes[0]


def write_twice(graph: gs.Graph) -> None:
    graph.nodes.append(gs.Node("Abs", inputs=[graph.inputs[0]], outputs=[graph.nodes[0].outputs[0]]))


def share_a_name(graph: gs.Graph) -> None:
    graph.nodes[0].outputs[0].name = "b"


def read_what_is_behind(graph: gs.Graph) -> None:
    graph.nodes[0].inputs[0] = graph.nodes[1].outputs[0]


def read_nothing(graph: gs.Graph) -> None:
    graph.nodes[0].inputs[0] = gs.Variable("nobody")


def drop_an_output(graph: gs.Graph) -> None:
    graph.outputs.clear()


def add_an_input(graph: gs.Graph) -> None:
    graph.inputs.append(gs.Variable("more", np.float32, [2]))


def read_values_of_no_type(graph: gs.Graph) -> None:
    graph.nodes[0].inputs.append(gs.Constant("odd", np.array([object()])))


def set_an_attribute_of_no_type(graph: gs.Graph) -> None:
    graph.nodes[1].attrs["alpha"] = object()


def set_a_number_beyond_float32(graph: gs.Graph) -> None:
    graph.nodes[1].attrs["alpha"] = 1e300


def rename_an_input(graph: gs.Graph) -> None:
    graph.inputs[0].name = "other"


def rename_an_output(graph: gs.Graph) -> None:
    graph.outputs[0].name = "other"


def take_a_name_away(graph: gs.Graph) -> None:
    graph.nodes[0].outputs[0].name = ""


def name_what_is_no_text(graph: gs.Graph) -> None:
    graph.nodes[0].outputs[0].name = "\udc80"


def make_an_input_constant(graph: gs.Graph) -> None:
    graph.inputs[0].to_constant(np.ones(2, dtype=np.float32))


def make_an_output_constant(graph: gs.Graph) -> None:
    graph.nodes[0].outputs[0].to_constant(np.ones(2, dtype=np.float32))


def change_the_opset(graph: gs.Graph) -> None:
    graph.opset = 18


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (set_a_number_beyond_float32, "second: cannot be written: alpha is beyond the range of float32"),
        (rename_an_input, "x: its name is promised"),
        (rename_an_output, "z: its name is promised"),
        (take_a_name_away, "a: it has no name any more"),
        (name_what_is_no_text, "must be UTF-8 text"),
        (make_an_input_constant, "x: an input cannot become a constant"),
        (make_an_output_constant, "a: it is a constant now"),
        (change_the_opset, "g: the opset of a graph cannot become 18"),
        (lose_a_writer, "second: it reads a, which no node writes"),
        (write_twice, "more than one node writes a"),
        (share_a_name, "two tensors are called b"),
        (read_what_is_behind, "depends on its own output"),
        (read_nothing, "first: it reads nobody, which no node writes"),
        (drop_an_output, "cannot change"),
        (add_an_input, "cannot change"),
        (read_values_of_no_type, "odd: cannot be written"),
        (set_an_attribute_of_no_type, "second: cannot be written"),
    ],
)
def test_an_edit_that_cannot_be_written_raises(edit: Edit, message: str) -> None:
    with pytest.raises(GraphEditError, match=message):
        edited(CHAIN, edit)


def test_an_initializer_without_values_cannot_be_read() -> None:
    def forget(graph: gs.Graph) -> None:
        graph.nodes[0].inputs[1].to_variable()

    with pytest.raises(GraphEditError, match=r"Add\(y\): it reads w, which no node writes"):
        edited("g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Add (x, w) }", forget)


def test_the_name_of_an_initializer_that_is_an_input_stays() -> None:
    def rename(graph: gs.Graph) -> None:
        graph.nodes[0].inputs[1].name = "other"

    with pytest.raises(GraphEditError, match="w: its name is promised"):
        edited("g (float[2] x, float[2] w) => (float[2] y) <float[2] w = {1, 2}> { y = Add (x, w) }", rename)


@pytest.mark.parametrize("promised", ["inputs", "outputs"])
def test_names_that_a_body_promises_stay(promised: str) -> None:
    text = """g (float[3,2] x) => (float[3,2] z) {
        z = Scan <num_scan_inputs = 1, body = b (float[2] s) => (float[2] o) { o = Relu (s) }> (x)
    }"""

    def rename(graph: gs.Graph) -> None:
        getattr(graph.nodes[0].attrs["body"], promised)[0].name = "other"

    with pytest.raises(GraphEditError, match="its name is promised"):
        edited(text, rename)


def test_a_tensor_of_a_branch_cannot_be_read_outside() -> None:
    text = """g (float[2] x, bool c) => (float[2] y, float[2] z) {
        y = Relu (x)
        z = If (c) <then_branch = t () => (float[2] p) { o = Abs (x) p = Neg (o) },
            else_branch = e () => (float[2] q) { q = Neg (x) }>
    }"""

    def leak(graph: gs.Graph) -> None:
        graph.nodes[0].inputs[0] = node_of(graph, "Abs").outputs[0]

    with pytest.raises(GraphEditError, match="reads o, which no node writes that it can see"):
        edited(text, leak)


def test_a_branch_that_graph_surgeon_cannot_carry_is_looked_into() -> None:
    inner = onnx.parser.parse_graph("i () => (float[2] p) { p = Neg (a) }")
    assert list(captured_names(inner)) == ["a"]
    model = onnx.parser.parse_model(HEADER + CHAIN)
    model.graph.node[2].attribute.add(name="bodies", type=onnx.AttributeProto.GRAPHS).graphs.add().CopyFrom(inner)

    def rename(graph: gs.Graph) -> None:
        graph.nodes[0].outputs[0].name = "renamed"

    with pytest.raises(GraphEditError, match="third: a branch of it reads a"):
        edited(model, rename)
