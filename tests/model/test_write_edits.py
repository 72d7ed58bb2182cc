"""What passes edit is in the written model, all of it, and what they did not touch is byte for byte what was read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnx_graphsurgeon as gs
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.edits import CHAIN, HEADER, edited, node_of, ops, to_bytes
from trtconv.model import model_io
from trtconv.model.light_copy import light_copy
from trtconv.model.model_io import Model
from trtconv.model.walking import walk_graphs
from trtconv.passes.base import walk
from trtconv.passes.graph_edit import NewNode, replace


def test_two_nodes_become_one() -> None:
    def join(graph: gs.Graph) -> None:
        first, second, _ = graph.nodes
        replace(graph, [first, second], NewNode("Joined", first.inputs, second.outputs, {"depth": 2}, "test"))

    graph = edited(CHAIN, join)
    assert ops(graph) == [("Joined", ["x"], ["b"]), ("Neg", ["b"], ["z"])]
    assert graph.node[0].name == "second"
    assert [value.name for value in graph.value_info] == ["b"]


def test_a_node_is_inserted() -> None:
    def insert(graph: gs.Graph) -> None:
        node, new = graph.nodes[1], gs.Variable("new", np.float32, [2])
        same = NewNode(node.op, [new], node.outputs, node.attrs)
        replace(graph, [node], [NewNode("Abs", node.inputs, [new]), same])

    graph = edited(CHAIN, insert)
    assert [op for op, _, _ in ops(graph)] == ["Relu", "Abs", "LeakyRelu", "Neg"]
    assert [node.name for node in graph.node] == ["first", "", "second", "third"]
    assert [value.name for value in graph.value_info] == ["a", "b", "new"]


def test_a_node_that_is_appended_comes_before_the_branches_that_read_it() -> None:
    text = """g (float[2] x, bool c) => (float[2] z) {
        z = If (c) <then_branch = t () => (float[2] p) { p = Relu (x) },
            else_branch = e () => (float[2] q) { q = Neg (x) }>
    }"""

    def append(graph: gs.Graph) -> None:
        new = gs.Variable("new")
        node_of(graph, "Neg").inputs[0] = new
        graph.nodes.append(gs.Node("Abs", inputs=[graph.inputs[0]], outputs=[new]))

    assert [op for op, _, _ in ops(edited(text, append))] == ["Abs", "If"]


def test_a_node_that_is_appended_finds_its_place() -> None:
    def append(graph: gs.Graph) -> None:
        new = gs.Variable("new")
        graph.nodes.append(gs.Node("Abs", "first", inputs=[graph.nodes[0].outputs[0]], outputs=[new]))
        graph.nodes[1].inputs[0] = new

    graph = edited(CHAIN, append)
    assert ops(graph)[:3] == [("Relu", ["x"], ["a"]), ("Abs", ["a"], ["new"]), ("LeakyRelu", ["new"], ["b"])]
    assert graph.node[1].name == "first_1", "the name of a new node is its own"


def test_a_tensor_is_renamed() -> None:
    def rename(graph: gs.Graph) -> None:
        graph.nodes[0].outputs[0].name = "renamed"

    graph = edited(CHAIN, rename)
    assert ops(graph)[:2] == [("Relu", ["x"], ["renamed"]), ("LeakyRelu", ["renamed"], ["b"])]
    assert [value.name for value in graph.value_info] == ["renamed", "b"]


def test_an_attribute_of_an_ordinary_op_is_changed() -> None:
    def change(graph: gs.Graph) -> None:
        graph.nodes[1].attrs["alpha"] = 0.5

    assert edited(CHAIN, change).node[1].attribute[0].f == 0.5


def test_a_list_is_changed_in_place() -> None:
    def change(graph: gs.Graph) -> None:
        graph.nodes[0].attrs["perm"].reverse()

    text = "g (float[2,3] x) => (float[2,3] y) { y = Transpose <perm = [0, 1]> (x) }"
    assert list(edited(text, change).node[0].attribute[0].ints) == [1, 0]


def test_a_node_is_removed() -> None:
    def remove(graph: gs.Graph) -> None:
        node = graph.nodes[1]
        replace(graph, [node], [], instead=[(node.outputs[0], node.inputs[0])])

    graph = edited(CHAIN, remove)
    assert ops(graph) == [("Relu", ["x"], ["a"]), ("Neg", ["a"], ["z"])]
    assert [value.name for value in graph.value_info] == ["a"]


def test_the_last_node_is_removed() -> None:
    def remove(graph: gs.Graph) -> None:
        node = graph.nodes[2]
        replace(graph, [node], [], instead=[(node.outputs[0], node.inputs[0])])

    assert ops(edited(CHAIN, remove)) == [("Relu", ["x"], ["a"]), ("LeakyRelu", ["a"], ["z"])]


def test_what_cannot_be_renamed_is_given_out_through_an_identity() -> None:
    def remove_all(graph: gs.Graph) -> None:
        replace(graph, list(graph.nodes), [], instead=[(graph.outputs[0], graph.inputs[0])])

    assert ops(edited(CHAIN, remove_all)) == [("Identity", ["x"], ["z"])]


def test_the_old_tensor_makes_room_for_what_is_given_out_instead() -> None:
    def extend(graph: gs.Graph) -> None:
        last, new = graph.nodes[2], gs.Variable("new", np.float32, [2])
        same = NewNode(last.op, last.inputs, last.outputs, last.attrs)
        replace(graph, [last], [same, NewNode("Abs", last.outputs, [new])], instead=[(last.outputs[0], new)])

    assert ops(edited(CHAIN, extend))[2:] == [("Neg", ["b"], ["z_1"]), ("Abs", ["z_1"], ["z"])]


def test_new_constants_are_initializers_where_they_are_read() -> None:
    def add(graph: gs.Graph) -> None:
        constant = gs.Constant("x", np.ones(2, dtype=np.float32))
        for site in walk(graph):
            if site.node.op == "Relu":
                site.node.op = "Add"
                site.node.inputs.append(constant)

    text = """g (float[2] x, bool c) => (float[2] y, float[2] z) {
        y = Relu (x)
        z = If (c) <then_branch = t () => (float[2] p) { p = Relu (x) },
            else_branch = e () => (float[2] q) { q = Neg (x) }>
    }"""
    graph = edited(text, add)
    assert [tensor.name for tensor in graph.initializer] == ["x_1"]
    assert [ops(each) for each in walk_graphs(graph)][1] == [("Add", ["x", "x_1"], ["p"])]
    assert not graph.node[1].attribute[0].g.initializer


def test_values_of_an_initializer_are_changed() -> None:
    text = "g (float[2] x) => (float[2] y) <float[2] w = {1, 2}, float[2] v = {1, 2}> { t = Add (x, w) y = Add (t, v) }"

    def change(graph: gs.Graph) -> None:
        for node in graph.nodes:
            assert node.inputs[1].values.tolist() == [1, 2]  # reading values is not an edit
        graph.nodes[0].inputs[1].values = np.array([3, 4], dtype=np.float32)

    graph = edited(text, change)
    assert {each.name: numpy_helper.to_array(each).tolist() for each in graph.initializer} == {"w": [3, 4], "v": [1, 2]}
    untouched = onnx.parser.parse_model(HEADER + text).graph.initializer[1]
    assert graph.initializer[1] == untouched


def test_a_computed_tensor_becomes_a_constant() -> None:
    text = "g (float[2] x) => (float[2] y) { w = Constant <value = float[2] {1, 2}> () v = Neg (w) y = Add (x, v) }"

    def fold(graph: gs.Graph) -> None:
        graph.fold_constants().cleanup()

    graph = edited(text, fold)
    assert ops(graph) == [("Add", ["x", "v"], ["y"])]
    assert [numpy_helper.to_array(each).tolist() for each in graph.initializer] == [[-1, -2]]


def test_a_branch_moves_into_the_outer_graph() -> None:
    text = """g (float[2] x) => (float[2] z) {
        c = Constant <value = bool {1}> ()
        z = If (c) <then_branch = t () => (float[2] p) { o = Relu (x) p = Neg (o) },
            else_branch = e () => (float[2] q) { q = Neg (x) }>
    }"""

    def inline(graph: gs.Graph) -> None:
        node = node_of(graph, "If")
        branch = node.attrs["then_branch"]
        graph.nodes[1:] = branch.nodes
        graph.outputs[0] = branch.outputs[0]

    assert ops(edited(text, inline))[1:] == [("Relu", ["x"], ["o"]), ("Neg", ["o"], ["z"])]


def test_branches_follow_a_renamed_outer_tensor() -> None:
    text = """g (float[2] x, bool c) => (float[2] z) {
        o = Relu (x)
        z = If (c) <then_branch = t () => (float[2] o) {},
            else_branch = e () => (float[2] q) { q = Neg (o) }>
    }"""

    def rename(graph: gs.Graph) -> None:
        graph.nodes[0].outputs[0].name = "renamed"

    graph = edited(text, rename)
    then_branch, else_branch = (attribute.g for attribute in graph.node[1].attribute)
    assert [value.name for value in then_branch.output] == ["renamed"]
    assert ops(else_branch) == [("Neg", ["renamed"], ["q"])]


def test_a_new_branch_is_written() -> None:
    def branch(graph: gs.Graph) -> None:
        x, node = graph.inputs[0], graph.nodes[2]
        out = gs.Variable("x", np.float32, [2])
        inner = gs.Graph([gs.Node("Add", inputs=[x, node.inputs[0]], outputs=[out])], [], [out], name="body")
        replace(graph, [node], NewNode("Region", [x], node.outputs, {"body": inner}, "test"))

    graph = edited(CHAIN, branch)
    body = graph.node[2].attribute[0].g
    assert ops(body) == [("Add", ["x", "b"], ["x_1"])]
    assert [value.name for value in body.output] == ["x_1"]


def test_names_that_two_read_nodes_share_stay() -> None:
    text = "g (float[2] x) => (float[2] y) { [n] t = Relu (x) [n] y = Neg (t) }"

    def change(graph: gs.Graph) -> None:
        graph.nodes[1].op = "Abs"

    assert [node.name for node in edited(text, change).node] == ["n", "n"]


def test_a_changed_type_is_declared() -> None:
    def widen(graph: gs.Graph) -> None:
        graph.nodes[0].outputs[0].shape = [3]

    values = {value.name: value for value in edited(CHAIN, widen).value_info}
    assert [dim.dim_value for dim in values["a"].type.tensor_type.shape.dim] == [3]
    assert [dim.dim_value for dim in values["b"].type.tensor_type.shape.dim] == [2]


@pytest.mark.parametrize("dims", [[1, 2], ["M", 2]])
def test_other_sizes_of_an_input_are_declared(dims: list[int | str]) -> None:
    def resize(graph: gs.Graph) -> None:
        graph.inputs[0].shape = dims

    graph = edited("g (float[N,2] x) => (float[K,2] y) { y = Relu (x) }", resize)
    assert [dim.dim_value or dim.dim_param for dim in graph.input[0].type.tensor_type.shape.dim] == dims
    assert graph.output[0].type.tensor_type.shape.dim[0].dim_param == "K"


def test_the_texts_of_a_graph_are_changed() -> None:
    def describe(graph: gs.Graph) -> None:
        graph.name, graph.doc_string = "other", "what it is for"

    graph = edited(CHAIN, describe)
    assert (graph.name, graph.doc_string) == ("other", "what it is for")
    assert edited(CHAIN, lambda graph: None).name == "g"


def test_a_new_tensor_without_a_name_gets_one() -> None:
    def insert(graph: gs.Graph) -> None:
        new = gs.Variable("")
        graph.nodes.insert(0, gs.Node("Abs", inputs=[graph.inputs[0]], outputs=[new]))
        graph.nodes[1].inputs[0] = new

    assert ops(edited(CHAIN, insert))[:2] == [("Abs", ["x"], ["tensor"]), ("Relu", ["tensor"], ["a"])]


def test_nodes_out_of_order_stay_so_until_one_is_edited() -> None:
    text = "g (float[2] x) => (float[2] y) { y = Neg (t) t = Relu (x) }"
    assert ops(edited(text, lambda graph: None))[0][0] == "Neg"

    def change(graph: gs.Graph) -> None:
        graph.nodes[0].op = "Abs"

    assert [op for op, _, _ in ops(edited(text, change))] == ["Relu", "Abs"]


def test_data_that_shape_inference_did_without_is_written(tmp_path: Path) -> None:
    values = np.arange(1 << 17, dtype=np.float32)
    nodes = [
        helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(values)),
        helper.make_node("Add", ["x", "w"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, values.shape) for name in "xy"]
    model = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:]))
    assert not light_copy(model).graph.node[0].attribute[0].t.raw_data

    def make_initializer(graph: gs.Graph) -> None:
        node = graph.nodes[0]
        constant = gs.Constant("w", node.attrs["value"]._values)
        replace(graph, [node], [], instead=[(node.outputs[0], constant)])

    graph = edited(model, make_initializer)
    assert np.array_equal(numpy_helper.to_array(graph.initializer[0]), values)


def test_values_that_shape_inference_did_without_are_read_and_changed() -> None:
    values = np.arange(1 << 17, dtype=np.float32)
    nodes = [
        helper.make_node("Constant", [], ["v"], value=numpy_helper.from_array(values)),
        helper.make_node("Sum", ["x", "v", "w", "kept"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, values.shape) for name in "xy"]
    weights = [numpy_helper.from_array(values, name) for name in ("w", "kept")]
    model = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], weights))
    before = to_bytes(model)

    def double(graph: gs.Graph) -> None:
        (constant, total) = graph.nodes
        assert np.array_equal(constant.attrs["value"].values, values)
        assert np.array_equal(total.inputs[3].values, values)  # reading values is not an edit
        total.inputs[2].values = total.inputs[2].values * 2
        total.inputs[2].name = "doubled"

    graph = edited(model, double)
    assert {each.name: numpy_helper.to_array(each)[-1] for each in graph.initializer} == {
        "doubled": 2 * values[-1],
        "kept": values[-1],
    }
    assert (graph.node[0], graph.initializer[1]) == (model.graph.node[0], model.graph.initializer[1])
    assert to_bytes(model) == before


def test_the_domain_of_a_new_op_is_imported(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(HEADER + CHAIN), tmp_path / "model.onnx")
    model: Model = model_io.load(tmp_path / "model.onnx")
    model.graph.nodes[0].op, model.graph.nodes[0].domain = "Gelu", "com.microsoft"
    opsets = {entry.domain: entry.version for entry in model_io.to_proto(model).opset_import}
    assert opsets == {"": 17, "test": 1, "com.microsoft": 1}


# Edits that no model can hold ---------------------------------------------------------------------------------------
