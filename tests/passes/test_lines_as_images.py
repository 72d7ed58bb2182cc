"""1-D custom ops and the convolutions around them as images of one row: the same numbers, and nothing between them."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from models.make_models import make
from tests.support.equivalence import assert_close, rewrite, run_onnxruntime, seeded_inputs
from tests.support.extent import num_examples
from trtconv.config import Ops
from trtconv.model.addresses import address_of
from trtconv.model.walking import walk_nodes
from trtconv.ops.custom_op import DOMAIN
from trtconv.passes.lines_as_images import REASON

SHORT = settings(max_examples=num_examples(80), deadline=None, derandomize=True)
CHANNELS = 4
RNG = np.random.default_rng(5)
WEIGHTS = {
    "w": RNG.standard_normal((4, 4, 3)).astype(np.float32),
    "half": RNG.standard_normal((4, 2, 3)).astype(np.float32),
    "b": np.array([1, 2, -3, 0.5], np.float32),
    "p": np.array([0, 0, 1, 0, 0, 1], np.int64),
}
BEFORE, PAD, AFTER = (
    "[before] a = Conv <pads: ints = [1, 1]> (x, w, b)",
    '[pad] q = Pad <mode: string = "reflect"> (a, p)',
    "[after] c = Conv (q, w)",
)
SUM = "[sum] y = Add (c, a)"


def block(
    *nodes: str, opset: int = 17, x: str = "float[2,4,9] x", outputs: Sequence[str] = ("y",), **more: Any
) -> onnx.ModelProto:
    """Return a model of nodes as text, by default a pad between convolutions; constants are WEIGHTS and `more`."""
    text = " ".join(nodes or (BEFORE, PAD, AFTER, SUM))
    given_out = ", ".join(f"float[A_{name},B_{name},C_{name}] {name}" for name in outputs)
    head = f'<ir_version: 8, opset_import: ["" : {opset}]> g ({x}) => ({given_out})'
    model = onnx.parser.parse_model(f"{head} {{ {text} }}")
    constants = {**WEIGHTS, **{name: np.array(value) for name, value in more.items()}}
    read = {name for node in walk_nodes(model.graph) for name in node.input}
    floats = {name: each.astype(np.float32) if each.dtype == np.float64 else each for name, each in constants.items()}
    model.graph.initializer.extend(numpy_helper.from_array(floats[name], name) for name in floats if name in read)
    return onnx.shape_inference.infer_shapes(model)


def converted(model: onnx.ModelProto, ops: Ops = "fused", keep_native: Sequence[str] = ()) -> onnx.ModelProto:
    """Return the model as a build gets it, after it was held against the original; another rewrite changes nothing."""
    with tempfile.TemporaryDirectory() as folder:
        first = rewrite(model, Path(folder), keep_native, ops)
        again = rewrite(first.proto, Path(folder), keep_native, ops)
    onnx.checker.check_model(first.proto, full_check=True)
    feeds = seeded_inputs(model)
    expected = run_onnxruntime(model, feeds, optimise=False)
    assert_close(run_onnxruntime(first.proto, feeds), expected)
    assert again.num_edits == 0
    assert again.proto.SerializeToString(deterministic=True) == first.proto.SerializeToString(deterministic=True)
    return first.proto


def ops_of(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def ranks(model: onnx.ModelProto) -> dict[str, int]:
    """Return the rank of each tensor whose shape is known."""
    inferred = onnx.shape_inference.infer_shapes(model)
    values = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
    return {value.name: len(value.type.tensor_type.shape.dim) for value in values}


def test_a_network_of_lines_is_one_of_images() -> None:
    model = converted(make("melgan", frames=8, channels=4))
    assert ops_of(model)["ReflectPad"] == 14
    assert (ops_of(model)["Unsqueeze"], ops_of(model)["Squeeze"]) == (1, 1)
    nodes, known = model.graph.node, ranks(model)
    assert (nodes[0].op_type, nodes[-1].op_type) == ("Unsqueeze", "Squeeze")
    assert {known[name] for node in nodes[:-1] for name in node.output} == {4}
    assert [out.name for out in model.graph.output] == ["waveform"]


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_what_is_given_out_and_what_others_read_stays_a_line(opset: int) -> None:
    view = "[view] z = Transpose <perm: ints = [0, 2, 1]> (c)"
    model = converted(block(BEFORE, PAD, AFTER, view, SUM, opset=opset, outputs=("y", "q", "z")))
    ours = {"Unsqueeze": 1, "Conv": 2, "ReflectPad": 1, "Add": 1, "Squeeze": 3, "Transpose": 1}
    assert ops_of(model) == Counter(ours)
    (unsqueeze,) = (node for node in model.graph.node if node.op_type == "Unsqueeze")
    assert len(unsqueeze.input) == (1 if opset < 13 else 2)


def test_a_branch_reads_lines() -> None:
    branches = (
        "then_branch = t () => (float[D,E,F] u) { u = Neg (a) }, else_branch = e () => (float[D,E,F] v) { v = Abs (q) }"
    )
    model = block(BEFORE, PAD, AFTER, f"z = If (k) <{branches}>", SUM, x="float[2,4,9] x, bool k", outputs=("y", "z"))
    feeds = {**seeded_inputs(model), "k": np.array(True)}
    with tempfile.TemporaryDirectory() as folder:
        fused = rewrite(model, Path(folder), ops="fused").proto
    assert ops_of(fused)["Squeeze"] == 3
    assert_close(run_onnxruntime(fused, feeds), run_onnxruntime(model, feeds, optimise=False))


def test_weights_that_are_computed_stay_where_they_are() -> None:
    model = converted(
        block("h = Transpose <perm: ints = [1, 0, 2]> (w)", BEFORE.replace("w, b", "h, b"), PAD, AFTER, SUM)
    )
    assert ops_of(model)["Unsqueeze"] == 2
    assert (ops_of(model)["Transpose"], ops_of(model)["Conv"]) == (1, 2)


def test_weights_of_two_convolutions_are_written_once() -> None:
    model = converted(block())
    assert [list(each.dims) for each in model.graph.initializer if len(each.dims) > 1] == [[4, 4, 1, 3]]


def test_weights_in_another_file_are_read(tmp_path: Path) -> None:
    model = block()
    tensors = {tensor.name: tensor.raw_data for tensor in model.graph.initializer}
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0, location="m.data")
    bare = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    fused = rewrite(bare, tmp_path, ops="fused").proto
    (image,) = (each for each in fused.graph.initializer if list(each.dims) == [4, 4, 1, 3])
    assert image.raw_data == tensors["w"]


@pytest.mark.parametrize(
    ("nodes", "more"),
    [
        ((BEFORE.replace("[1, 1]", "[1, 1], group: int = 2").replace("w", "half"), PAD, AFTER, SUM), {}),
        ((BEFORE, PAD, "y = Conv <dilations: ints = [2], strides: ints = [2], kernel_shape: ints = [3]> (q, w)"), {}),
        ((BEFORE, PAD, "y = ConvTranspose <strides: ints = [3], output_padding: ints = [2]> (q, w, b)"), {}),
        ((BEFORE, PAD, "y = ConvTranspose <strides: ints = [3], output_shape: ints = [30]> (q, w, b)"), {}),
        ((BEFORE.replace("pads: ints = [1, 1]", 'auto_pad: string = "SAME_LOWER"'), PAD, AFTER, SUM), {}),
        ((BEFORE, PAD, AFTER, "y = Concat <axis: int = 1> (c, a)"), {}),
        ((BEFORE, PAD, AFTER, "y = Concat <axis: int = -1> (c, x)"), {}),
        ((BEFORE, PAD, AFTER, "y = PRelu (c, s)"), {"s": [[0.1], [0.2], [0.3], [0.4]]}),
        ((BEFORE, PAD, AFTER, "y = Mul (s, c)"), {"s": np.arange(9.0)}),
        ((BEFORE, PAD, AFTER, "y = Mul (s, c)"), {"s": np.arange(8.0).reshape(2, 4, 1)}),
        ((BEFORE, PAD, AFTER, "y = Clip (c, s)"), {"s": 0.5}),
        ((BEFORE, PAD, AFTER, "y = BatchNormalization (c, b, b, b, v)"), {"v": [1.0, 2.0, 3.0, 4.0]}),
        ((BEFORE, PAD, AFTER, "y = Pad (c, z, v)"), {"z": [0, 0, 2, 0, 1, -1], "v": 3.0}),
        ((BEFORE, PAD, AFTER, "y = InstanceNormalization (c, b, b)"), {}),
        ((BEFORE, PAD, AFTER, "y = Pad (c, z, v, k)"), {"z": [2, -1], "v": 3.0, "k": [-1], "opset": 18}),
        ((BEFORE, PAD, AFTER, "g = Greater (c, s)", "y = Where (g, c, l)"), {"s": [[0.5]] * 4, "l": np.arange(9.0)}),
        ((BEFORE, PAD, AFTER, "h = Cast <to: int = 6> (c)", "y = Cast <to: int = 1> (h)"), {}),
        ((BEFORE, PAD, AFTER, 'y = Clip (c, "", m)'), {"m": 0.5}),
    ],
    ids=[
        *("groups", "dilations and strides", "transposed", "output shape", "auto_pad", "Concat of channels"),
        *(
            "Concat of lines",
            "PRelu",
            "a line",
            "a factor a channel",
            "a scalar",
            "batch norm",
            "a pad that crops",
            "norm",
        ),
        *("pads of one axis", "a condition", "another type", "no lower bound"),
    ],
)
def test_each_node_does_the_same_of_images(nodes: Sequence[str], more: Mapping[str, Any]) -> None:
    model = converted(block(*nodes, **more))
    counts = ops_of(model)
    assert (counts["Unsqueeze"], counts["Squeeze"]) == (1, 1)
    assert ranks(model)["a_as_image"] == 4


def test_a_scale_of_each_image_stays_as_it_is() -> None:
    nodes = ("[norm] n = InstanceNormalization (a, b, b)", "m = Mul (n, s)", "q = Add (m, s)")
    model = converted(block(BEFORE, *nodes, "y = Conv (q, w)", x="float[2,4,9] x, float[2,4,1] s"))
    (norm,) = (node for node in model.graph.node if node.op_type == "InstanceNorm")
    assert [ranks(model)[name] for name in (norm.input[0], norm.input[1])] == [4, 2]


def test_open_sizes_stay_open() -> None:
    model = converted(block(x="float[N,4,L] x"))
    (image,) = (value for value in model.graph.value_info if value.name == "x_as_image")
    dims = image.type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["N", 4, 1, "L"]


@pytest.mark.parametrize(
    ("nodes", "ops"),
    [
        ((BEFORE, PAD, AFTER, SUM), "plugin"),
        ((BEFORE, PAD.replace("reflect", "edge"), AFTER, SUM), "fused"),
        (("a = Relu (x)", PAD, "y = Neg (q)"), "fused"),
    ],
    ids=["each node by itself", "no custom op", "no convolution"],
)
def test_others_stay_lines(nodes: Sequence[str], ops: Ops) -> None:
    counts = ops_of(converted(block(*nodes), ops))
    assert counts["Unsqueeze"] + counts["Squeeze"] == 0


@pytest.mark.parametrize(
    ("opset", "end"),
    [
        (6, "y = Mul <broadcast: int = 1, axis: int = 2> (c, line)"),
        (6, "y = Add <broadcast: int = 1, axis: int = 0> (c, images)"),
        (17, "y = Concat <axis: int = 4> (c, c)"),
    ],
    ids=["an axis of an operand", "the first axes of an operand", "no axis of lines"],
)
def test_axes_that_an_image_has_elsewhere_stay(tmp_path: Path, opset: int, end: str) -> None:
    pad = '[pad] q = Pad <mode: string = "reflect", pads: ints = [0, 0, 1, 0, 0, 1]> (a)' if opset < 11 else PAD
    model = block(BEFORE, pad, AFTER, end, opset=opset, line=np.arange(9.0), images=np.ones((2, 4)))
    fused = rewrite(model, tmp_path, ops="fused").proto
    (last,) = (node for node in fused.graph.node if "y" in node.output)
    assert ops_of(fused)["Squeeze"] == 1, "the convolutions are of images"
    assert last == model.graph.node[-1]


def test_a_concat_without_an_axis_is_one_of_channels(tmp_path: Path) -> None:
    pad = '[pad] q = Pad <mode: string = "reflect", pads: ints = [0, 0, 1, 0, 0, 1]> (a)'
    model = block(BEFORE, pad, AFTER, "y = Concat (c, a)", opset=3)
    fused = rewrite(model, tmp_path, ops="fused").proto
    (concat,) = (node for node in fused.graph.node if node.op_type == "Concat")
    assert [onnx.helper.get_attribute_value(each) for each in concat.attribute] == [1]


def test_images_stay_as_they_are() -> None:
    nodes = (BEFORE.replace("[1, 1]", "[1, 0, 1, 0]"), PAD, AFTER, SUM)
    image = {"w": WEIGHTS["w"][..., np.newaxis], "p": [0, 0, 1, 0, 0, 0, 1, 0]}
    model = block(*nodes, x="float[2,4,9,3] x", **image)
    model.graph.output[0].type.tensor_type.shape.dim.add().dim_param = "D"
    counts = ops_of(converted(model))
    assert counts["ReflectPad"] == 1
    assert counts["Unsqueeze"] + counts["Squeeze"] == 0


def test_what_stays_native_leaves_nothing_to_do() -> None:
    assert ops_of(converted(block(), keep_native=["pad"])) == ops_of(block())


def test_the_decision_on_a_plugin_says_so(tmp_path: Path) -> None:
    decisions = {each.node: each for each in rewrite(block(), tmp_path, ops="fused").decisions}
    assert decisions["pad"].reason.endswith(REASON)
    assert list(decisions) == ["pad"], "a convolution is none of the nodes that are decided on"


def test_nodes_without_a_name_keep_their_addresses() -> None:
    model = converted(block(BEFORE.removeprefix("[before] "), PAD.removeprefix("[pad] "), AFTER, SUM))
    ours = [address_of(node) for node in model.graph.node if node.op_type not in ("Unsqueeze", "Squeeze")]
    assert ours == ["Conv(a)", "ReflectPad(q)", "after", "sum"]


UNARY: Mapping[str, Mapping[str, Any]] = {"Relu": {}, "LeakyRelu": {"alpha": 0.2}, "Elu": {}, "Tanh": {}, "Neg": {}}


@st.composite
def networks(draw: st.DrawFn) -> onnx.ModelProto:
    """Convolutions, norms, pads and what stands between them, in any order, each read or given out now and then."""
    opset = draw(st.sampled_from([11, 13, 17, 18]))
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, np.ndarray] = {"s": np.array([1, 2, -3, 0.5], np.float32)}
    rng, last, before, given_out = np.random.default_rng(draw(st.integers(0, 9))), "x", "x", []
    kinds = ["conv", "conv", "transposed", "reflect", "reflect", "zero", "norm", "unary", "add", "factor", "concat"]
    for number in range(draw(st.integers(2, 8))):
        kind, name = draw(st.sampled_from(kinds)), f"t{number}"
        if kind in ("conv", "transposed"):
            size, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
            constants[f"w{number}"] = rng.standard_normal((CHANNELS, CHANNELS, size)).astype(np.float32) / 3
            pad = dilation * (size - 1)
            attributes: dict[str, Any] = {"dilations": [dilation], "pads": [pad, draw(st.integers(0, pad))]}
            if kind == "transposed":
                attributes |= {"strides": [2], "output_padding": [draw(st.integers(0, 1))], "pads": [0, 0]}
            op = "Conv" if kind == "conv" else "ConvTranspose"
            nodes.append(helper.make_node(op, [last, f"w{number}"], [name], **attributes))
        elif kind in ("reflect", "zero"):
            pads = [0, 0, draw(st.integers(0, 2)), 0, 0, draw(st.integers(0, 2))]
            constants[f"p{number}"] = np.array(pads, np.int64)
            mode = kind if kind == "reflect" else "constant"
            nodes.append(helper.make_node("Pad", [last, f"p{number}"], [name], mode=mode))
        elif kind == "norm":
            nodes.append(helper.make_node("InstanceNormalization", [last, "s", "s"], [name]))
        elif kind == "unary":
            op = draw(st.sampled_from(sorted(UNARY)))
            nodes.append(helper.make_node(op, [last], [name], **UNARY[op]))
        elif kind == "add":
            nodes.append(helper.make_node("Tanh", [last], [f"o{number}"]))
            nodes.append(helper.make_node("Add", draw(st.permutations([last, f"o{number}"])), [name]))
        elif kind == "factor":
            shape = draw(st.sampled_from([(), (1,), (CHANNELS, 1), (1, CHANNELS, 1)]))
            constants[f"f{number}"] = np.full(shape, 0.7, np.float32)
            nodes.append(helper.make_node("Mul", draw(st.permutations([last, f"f{number}"])), [name]))
        else:
            nodes.append(helper.make_node("Concat", [last, before], [name], axis=draw(st.sampled_from([2, -1]))))
        before, last = last, name
        if draw(st.integers(0, 4)) == 0:
            given_out.append(name)
    values = [helper.make_tensor_value_info(each, TensorProto.FLOAT, [None] * 3) for each in {*given_out, last}]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, CHANNELS, draw(st.sampled_from([8, 13]))])
    read = {name for node in nodes for name in node.input}
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items() if name in read]
    graph = helper.make_graph(nodes, "g", [x], values, initializers)
    made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])
    return onnx.shape_inference.infer_shapes(made)


@SHORT
@given(networks(), st.sampled_from(["fused", "rewritten"]))
def test_any_network_keeps_its_numbers(model: onnx.ModelProto, ops: Ops) -> None:
    made = converted(model, ops)
    plugins = [node for node in made.graph.node if node.domain == DOMAIN]
    convolutions = {name for node in made.graph.node if node.op_type.startswith("Conv") for name in node.output}
    known = ranks(made)
    for plugin in plugins:
        if plugin.input[0] in convolutions:
            assert known[plugin.input[0]] == 4, "nothing lies between a convolution and a custom op"
