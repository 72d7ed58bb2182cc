"""The passes over thousands of nodes take a few times as long as graph-surgeon takes to read and write them, which is a
second on most machines, and its time grows with the number of nodes, not its square."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.equivalence import rewrite_file
from tests.support.extent import part, whole_sweep
from tests.support.processor_time import least_time
from trtconv.model import model_io
from trtconv.model.walking import walk_nodes
from trtconv.passes.graph_edit import NewNode, replace

MAX_TIMES = 20.0  # as long as graph-surgeon: 2 to 10
MAX_RATIO = 8.0  # for four times the nodes: 3 to 6; a square would give 16
# A square shows at 2,000 nodes; `make test-all` has as many as the largest networks.
SIZES = [2_000, pytest.param(4_000, marks=whole_sweep)]
NUM_TRIES = 3  # of a measurement that is over a limit, which other work on the machine can cause


def constant(name: str, values: list[int]) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(values, dtype=np.int64)))


def computed_pads(num_nodes: int) -> onnx.GraphProto:
    """Every pad has its own chain of five nodes, as PyTorch writes them."""
    nodes, last = [], "x"
    for index in range(num_nodes // 6):
        names = {part: f"{part}{index}" for part in ("ends", "none", "all", "pads", "clipped", "padded")}
        nodes += [
            constant(names["ends"], [1, 1]),
            constant(names["none"], [0, 0]),
            helper.make_node("Concat", [names["none"], names["ends"]] * 2, [names["all"]], axis=0),
            helper.make_node("Cast", [names["all"]], [names["pads"]], to=TensorProto.INT64),
            helper.make_node("Pad", [last, names["pads"]], [names["padded"]], mode="reflect"),
            helper.make_node("MaxPool", [names["padded"]], [names["clipped"]], kernel_shape=[3, 3]),
        ]
        last = names["clipped"]
    return make_graph(nodes, last, [])


def shared_pads(num_nodes: int) -> onnx.GraphProto:
    """All pads read one initializer, all norms the same scale and bias, between plain nodes."""
    nodes, last = [], "x"
    for index in range(num_nodes // 4):
        norm, relu, pad, pool = (f"{part}{index}" for part in ("norm", "relu", "pad", "pool"))
        nodes += [
            helper.make_node("InstanceNormalization", [last, "scale", "scale"], [norm]),
            helper.make_node("Relu", [norm], [relu]),
            helper.make_node("Pad", [relu, "pads"], [pad], mode="reflect"),
            helper.make_node("MaxPool", [pad], [pool], kernel_shape=[2, 2]),
        ]
        last = pool
    constants = {"pads": np.array([0, 0, 1, 0, 0, 0, 0, 1]), "scale": np.ones(2, dtype=np.float32)}
    return make_graph(nodes, last, [numpy_helper.from_array(values, name) for name, values in constants.items()])


def growing_chain(num_nodes: int) -> onnx.GraphProto:
    """Each pad's chain holds the chains of all pads before it."""
    nodes = [constant("amount0", [0, 0, 1, 1, 0, 0, 1, 1])]
    outputs = []
    for index in range(num_nodes // 2):
        nodes.append(helper.make_node("Identity", [f"amount{index}"], [f"amount{index + 1}"]))
        nodes.append(helper.make_node("Pad", ["x", f"amount{index + 1}"], [f"y{index}"], mode="reflect"))
        outputs.append(f"y{index}")
    return make_graph(nodes, outputs[-1], [])


def one_source(num_nodes: int) -> onnx.GraphProto:
    """All pads read one tensor, so that it has thousands of readers."""
    pads = numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "pads")
    nodes = [helper.make_node("Pad", ["x", "pads"], [f"y{i}"], mode="reflect") for i in range(num_nodes)]
    return make_graph(nodes, "y0", [pads])


def plain_nodes(num_nodes: int) -> onnx.GraphProto:
    """A hundredth of the nodes is ours."""
    nodes, last = [], "x"
    for index in range(num_nodes):
        inputs = [last, "scale", "scale"] if index % 100 == 0 else [last]
        nodes.append(helper.make_node("InstanceNormalization" if index % 100 == 0 else "Relu", inputs, [f"t{index}"]))
        last = f"t{index}"
    return make_graph(nodes, last, [numpy_helper.from_array(np.ones(2, dtype=np.float32), "scale")])


def branches(num_nodes: int) -> onnx.GraphProto:
    """Ifs in a row, each with a pad in one branch, its pads computed there."""
    nodes, last = (
        [constant("flag_value", [1]), helper.make_node("Cast", ["flag_value"], ["flags"], to=TensorProto.BOOL)],
        "x",
    )
    for index in range(num_nodes // 10):
        inner = [
            constant(f"none{index}", [0, 0]),
            constant(f"some{index}", [1, 1]),
            helper.make_node("Concat", [f"none{index}", f"some{index}"] * 2, [f"pads{index}"], axis=0),
            helper.make_node("Pad", [last, f"pads{index}"], [f"padded{index}"], mode="reflect"),
            helper.make_node("MaxPool", [f"padded{index}"], [f"then{index}"], kernel_shape=[3, 3]),
        ]
        other = [
            helper.make_node("Relu", [last], [f"r{index}"]),
            helper.make_node("Abs", [f"r{index}"], [f"else{index}"]),
        ]
        then_graph = helper.make_graph(inner, "then", [], [image(f"then{index}")])
        else_graph = helper.make_graph(other, "else", [], [image(f"else{index}")])
        nodes.append(helper.make_node("If", ["flags"], [f"if{index}"], then_branch=then_graph, else_branch=else_graph))
        nodes.append(helper.make_node("Relu", [f"if{index}"], [f"relu{index}"]))
        nodes.append(helper.make_node("Abs", [f"relu{index}"], [f"abs{index}"]))
        last = f"abs{index}"
    return make_graph(nodes, last, [])


def written_norms(num_nodes: int) -> onnx.GraphProto:
    """Every tenth node is a Relu after a norm that is written out."""
    nodes, last = [], "x"
    for index in range(num_nodes // 10):
        m, d, q, v, e, s, n, p, b, relu = (f"{part}{index}" for part in "mdqvesnpbr")
        nodes += [
            helper.make_node("ReduceMean", [last], [m], axes=[2, 3]),
            helper.make_node("Sub", [last, m], [d]),
            helper.make_node("Mul", [d, d], [q]),
            helper.make_node("ReduceMean", [q], [v], axes=[2, 3]),
            helper.make_node("Add", [v, "epsilon"], [e]),
            helper.make_node("Sqrt", [e], [s]),
            helper.make_node("Div", [d, s], [n]),
            helper.make_node("Mul", [n, "scale"], [p]),
            helper.make_node("Add", [p, "scale"], [b]),
            helper.make_node("Relu", [b], [relu]),
        ]
        last = relu
    constants = {"epsilon": np.float32(1e-5), "scale": np.ones((1, 2, 1, 1), dtype=np.float32)}
    return make_graph(
        nodes, last, [numpy_helper.from_array(np.asarray(each), name) for name, each in constants.items()]
    )


def norms_over_channels(num_nodes: int) -> onnx.GraphProto:
    """Norms over the channels, which stay: the reason has to be found for each."""
    nodes, last = [], "x"
    for index in range(num_nodes // 5):
        q, v, e, s, n = (f"{part}{index}" for part in "qvesn")
        nodes += [
            helper.make_node("Mul", [last, last], [q]),
            helper.make_node("ReduceMean", [q], [v], axes=[1]),
            helper.make_node("Add", [v, "epsilon"], [e]),
            helper.make_node("Sqrt", [e], [s]),
            helper.make_node("Div", [last, s], [n]),
        ]
        last = n
    return make_graph(nodes, last, [numpy_helper.from_array(np.asarray(np.float32(1e-5)), "epsilon")])


def pads_behind_pads(num_nodes: int) -> onnx.GraphProto:
    """Each pad is computed from the size of what the pad before it gives, as in EnCodec."""
    nodes, last = [constant("none", [0, 0]), constant("six", [6])], "x"
    for index in range(num_nodes // 9):
        nodes += [
            helper.make_node("Shape", [last], [f"shape{index}"], start=2),
            helper.make_node("Div", [f"shape{index}", "six"], [f"some{index}"]),
            helper.make_node("Concat", ["none", f"some{index}"] * 2, [f"pads{index}"], axis=0),
            helper.make_node("Identity", [f"pads{index}"], [f"same{index}"]),
            helper.make_node("Pad", [last, f"same{index}"], [f"padded{index}"], mode="reflect"),
            helper.make_node("Relu", [f"padded{index}"], [f"relu{index}"]),
            helper.make_node("MaxPool", [f"relu{index}"], [f"pool{index}"], kernel_shape=[3, 3]),
            helper.make_node("Abs", [f"pool{index}"], [f"abs{index}"]),
            helper.make_node("Neg", [f"abs{index}"], [f"neg{index}"]),
        ]
        last = f"neg{index}"
    return make_graph(nodes, last, [])


def lines(num_nodes: int) -> onnx.GraphProto:
    """Convolutions of lines and pads between them, one chain, which become images together."""
    nodes, last = [], "x"
    for index in range(num_nodes // 2):
        nodes.append(helper.make_node("Pad", [last, "pads"], [f"q{index}"], mode="reflect"))
        nodes.append(helper.make_node("Conv", [f"q{index}", "w"], [f"c{index}"]))
        last = f"c{index}"
    return make_graph_of_lines(nodes, last)


def separate_lines(num_nodes: int) -> onnx.GraphProto:
    """The same, each pair by itself: all read one line."""
    nodes = []
    for index in range(num_nodes // 3):
        nodes.append(helper.make_node("Pad", ["x", "pads"], [f"q{index}"], mode="reflect"))
        nodes.append(helper.make_node("Conv", [f"q{index}", "w"], [f"c{index}"]))
        nodes.append(helper.make_node("GlobalMaxPool", [f"c{index}"], [f"y{index}"]))
    return make_graph_of_lines(nodes, "y0")


def make_graph_of_lines(nodes: list[onnx.NodeProto], output: str) -> onnx.GraphProto:
    constants = {"pads": np.array([0, 0, 1, 0, 0, 1]), "w": np.ones((2, 2, 3), np.float32)}
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 8])
    y = helper.make_tensor_value_info(output, TensorProto.FLOAT, [None] * 3)
    initializers = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    return helper.make_graph(nodes, "g", [x], [y], initializers)


def image(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 8, 8])


def make_graph(nodes: list[onnx.NodeProto], output: str, initializers: list[TensorProto]) -> onnx.GraphProto:
    y = helper.make_tensor_value_info(output, TensorProto.FLOAT, [None] * 4)
    return helper.make_graph(nodes, "g", [image("x")], [y], initializers)


# How many edits --ops fused makes of a hundred nodes: a norm and the activation after it are two.
NUM_EDITS = {written_norms: 20, norms_over_channels: 0, lines: 0, separate_lines: 0}


def seconds(make: Callable[[int], onnx.GraphProto], num_nodes: int, folder: Path, runs: int) -> float:
    """Return the time of reading, rewriting, checking and writing."""
    model = helper.make_model(make(num_nodes), ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    ops = "fused" if make in NUM_EDITS else "plugin"

    def rewrite() -> int:
        rewritten = rewrite_file(path, ops=ops)
        rewritten.proto.SerializeToString()
        return rewritten.num_edits

    num_edits, elapsed = least_time(rewrite, runs)
    expected = {"Pad", "InstanceNormalization"}
    num_fused = NUM_EDITS.get(make, 0) * num_nodes // 100
    assert num_edits == sum(node.op_type in expected for node in walk_nodes(model.graph)) + num_fused
    return elapsed


def round_trip_seconds(path: Path) -> float:
    """Return the time that graph-surgeon takes to read and write a model."""
    _, elapsed = least_time(
        lambda: gs.export_onnx(gs.import_onnx(onnx.load(path)), do_type_check=False).SerializeToString(), runs=1
    )
    return elapsed


def require_linear(measure: Callable[[int, int], float], num_nodes: int, path: Path) -> None:
    """Hold the times of `measure(num_nodes, runs)`, which writes the model at `path`, to both limits."""
    for _ in range(NUM_TRIES):
        few, many = measure(num_nodes // 4, 2), measure(num_nodes, 1)
        plain = round_trip_seconds(path)
        told = f"{few:.2f} s, {many:.2f} s, ratio {many / few:.1f}; graph-surgeon alone {plain:.2f} s"
        print(told)
        if many < MAX_TIMES * plain and many / few < MAX_RATIO:
            return
    pytest.fail(told)


# Chains of computed pads, readers of one tensor, branches, norms that are written out: one kind each is in the part.
KINDS = [computed_pads, shared_pads, growing_chain, one_source, plain_nodes, branches, pads_behind_pads, *NUM_EDITS]
IN_PART = {growing_chain, one_source, branches, written_norms, separate_lines}


@pytest.mark.parametrize("num_nodes", SIZES)
@pytest.mark.parametrize("make", part(KINDS, IN_PART.__contains__))
def test_thousands_of_nodes(make: Callable[[int], onnx.GraphProto], num_nodes: int, tmp_path: Path) -> None:
    require_linear(lambda num, runs: seconds(make, num, tmp_path, runs), num_nodes, tmp_path / "model.onnx")


def join_pairs(num_nodes: int, path: Path, runs: int) -> float:
    """Return the time of reading a chain of nodes, making one of every two, and writing it."""
    nodes = [helper.make_node("Relu", [f"t{index}" if index else "x"], [f"t{index + 1}"]) for index in range(num_nodes)]
    graph = make_graph(nodes, f"t{num_nodes}", [])
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)

    def join() -> int:
        model = model_io.load(path)
        for first, second in zip(*[iter(list(model.graph.nodes))] * 2, strict=True):
            replace(model.graph, [first, second], NewNode("Elu", first.inputs, second.outputs))
        return len(model_io.to_proto(model).graph.node)

    num_joined, elapsed = least_time(join, runs)
    assert num_joined == num_nodes // 2
    return elapsed


@pytest.mark.parametrize("num_nodes", SIZES)
def test_thousands_of_nodes_are_joined(num_nodes: int, tmp_path: Path) -> None:
    path = tmp_path / "chain.onnx"
    require_linear(lambda num, runs: join_pairs(num, path, runs), num_nodes, path)
