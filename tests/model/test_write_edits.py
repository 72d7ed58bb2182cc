"""What passes edit is in the written model, all of it, and what they did not touch is byte for byte what was read."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnx_graphsurgeon as gs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.support import golden
from tests.support.random_graphs import RandomModel, TwinEdits
from trtconv.errors import GraphEditError
from trtconv.model import model_io
from trtconv.model.as_read import AsRead, import_graph
from trtconv.model.graph_bridge import write_edits
from trtconv.model.light_copy import light_copy
from trtconv.model.model_io import Model
from trtconv.model.shape_inference import with_shapes
from trtconv.model.walking import captured_names, walk_graphs
from trtconv.passes.base import walk
from trtconv.passes.graph_edit import NewNode, replace

PROPERTY = settings(max_examples=300, deadline=None, derandomize=True)
MODELS = os.environ.get("TRTCONV_TEST_MODELS")
REAL_MODELS = sorted(Path(MODELS).rglob("*.onnx")) if MODELS else []
Edit = Callable[[gs.Graph], None]


def read(proto: onnx.ModelProto) -> tuple[gs.Graph, AsRead]:
    return import_graph(with_shapes(proto, Path()), proto.graph)


def written(proto: onnx.ModelProto, graph: gs.Graph, as_read: AsRead) -> onnx.ModelProto:
    target = onnx.ModelProto()
    target.CopyFrom(proto)
    write_edits(target.graph, graph, as_read)
    return target


def edited(text: str | onnx.ModelProto, edit: Edit) -> onnx.GraphProto:
    """Return the graph of a model after an edit."""
    proto = onnx.parser.parse_model(HEADER + text) if isinstance(text, str) else text
    graph, as_read = read(proto)
    edit(graph)
    return written(proto, graph, as_read).graph


def to_bytes(proto: onnx.NodeProto | onnx.GraphProto | onnx.TensorProto | onnx.ModelProto) -> bytes:
    return proto.SerializeToString(deterministic=True)


def ops(graph: onnx.GraphProto) -> list[tuple[str, list[str], list[str]]]:
    return [(node.op_type, list(node.input), list(node.output)) for node in graph.node]


def node_of(graph: gs.Graph, op: str) -> gs.Node:
    return next(site.node for site in walk(graph) if site.node.op == op)


# Any edits ----------------------------------------------------------------------------------------------------------


@PROPERTY
@given(st.randoms(use_true_random=False))
def test_without_edits_nothing_changes(rng: random.Random) -> None:
    proto = RandomModel(rng).proto
    assert to_bytes(written(proto, *read(proto))) == to_bytes(proto)


@pytest.mark.parametrize(
    "path", [*golden.case_paths(), *REAL_MODELS], ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_test_models_come_back_identical(path: Path) -> None:
    proto = onnx.load(path, load_external_data=False) if path.suffix == ".onnx" else golden.read_case(path).model
    proto.ClearField("functions")
    assert to_bytes(written(proto, *read(proto))) == to_bytes(proto)


@PROPERTY
@given(st.randoms(use_true_random=False), st.integers(1, 6))
def test_edits_come_out_as_they_were_made(rng: random.Random, num_edits: int) -> None:
    proto = RandomModel(rng).proto
    graph, as_read = read(proto)
    expected = onnx.ModelProto()
    expected.CopyFrom(proto)
    TwinEdits(rng, graph, expected).make(num_edits)
    before = to_bytes(proto)
    result = written(proto, graph, as_read)
    assert to_bytes(proto) == before
    assert_same(result.graph, expected.graph)
    assert_ordered(result.graph, set())
    order = [node.output[-1] for node in proto.graph.node]
    order_now = [node.output[-1] for node in result.graph.node if node.output[-1] in order]
    assert order_now == [name for name in order if name in order_now]


def assert_same(graph: onnx.GraphProto, expected: onnx.GraphProto) -> None:
    """Compare two graphs: each node, whatever their order, inputs, outputs, initializers, declared types."""
    for field in ("name", "doc_string"):
        assert getattr(graph, field) == getattr(expected, field)
    for field in ("input", "output"):
        assert list(getattr(graph, field)) == list(getattr(expected, field))
    assert sorted(map(to_bytes, graph.initializer)) == sorted(map(to_bytes, expected.initializer))
    nodes, expected_nodes = ({tuple(node.output): node for node in each.node} for each in (graph, expected))
    assert len(nodes) == len(graph.node)
    assert nodes.keys() == expected_nodes.keys()
    for outputs, node in nodes.items():
        other = expected_nodes[outputs]
        assert to_bytes(without_branches(node)) == to_bytes(without_branches(other))
        for attribute, expected_attribute in zip(node.attribute, other.attribute, strict=True):
            assert_same(attribute.g, expected_attribute.g)
    declared = {value.name: value for value in graph.value_info}
    for value in expected.value_info:
        assert declared[value.name] == value
    assert declared.keys() <= {name for node in graph.node for name in node.output}


def without_branches(node: onnx.NodeProto) -> onnx.NodeProto:
    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    for attribute in alone.attribute:
        attribute.ClearField("g")
    return alone


def assert_ordered(graph: onnx.GraphProto, outer: set[str]) -> None:
    """Each tensor is written once, and before it is read, by branches too."""
    seen = outer | {""} | {each.name for each in (*graph.input, *graph.initializer)}
    for node in graph.node:
        assert seen.issuperset(node.input)
        for attribute in node.attribute:
            assert_ordered(attribute.g, seen)
        assert seen.isdisjoint(node.output)
        seen = seen | set(node.output)
    assert seen.issuperset(value.name for value in graph.output)


# Each kind of edit --------------------------------------------------------------------------------------------------

HEADER = '<ir_version: 10, opset_import: ["": 17, "test": 1]> '
CHAIN = """g (float[2] x) => (float[2] z) <float[2] a, float[2] b> {
    [first] a = Relu (x)
    [second] b = LeakyRelu <alpha = 0.1> (a)
    [third] z = Neg (b)
}"""


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
