"""What goes into a norm or a pad: roundings of a Resize, decisions, random chains."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.support import command_line
from tests.support.equivalence import assert_same_numbers, rewrite, run_onnxruntime, seeded_inputs
from tests.support.extent import num_examples
from trtconv.decisions import DecisionFile
from trtconv.model import model_io
from trtconv.passes import run_passes
from trtconv.passes.base import PassContext, Wish
from trtconv.passes.fuse_upsample import repeats_elements
from trtconv.passes.fusing_passes import FUSED_PASSES

SHORT = settings(max_examples=num_examples(80), deadline=None, derandomize=True)

POSITIONS = ("asymmetric", "half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "half_pixel_symmetric")
ROUNDINGS = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5, 8])
def test_roundings_that_repeat_elements_are_those_of_onnx_runtime(positions: str, rounding: str, factor: int) -> None:
    opset = {"tf_half_pixel_for_nn": 11, "half_pixel_symmetric": 19}.get(positions, 13)
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> g (float[1,1,7] x) => (float[1,1,W] y) '
        f'<float[3] f = {{1, 1, {factor}}}, float[0] r = {{}}> {{ y = Resize <mode = "nearest", '
        f'coordinate_transformation_mode = "{positions}", nearest_mode = "{rounding}"> (x, r, f) }}'
    )
    x = np.arange(7, dtype=np.float32).reshape(1, 1, 7)
    (resized,) = run_onnxruntime(model, {"x": x})
    assert np.array_equal(resized, x.repeat(factor, axis=2)) == repeats_elements(factor, positions, rounding)


NORM_AND_RELU = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[2,3,4,5] x) => (float[2,3,6,7] y)
  <float[3] s = {1, 2, 3}, float[3] b = {0, 1, -1}, int64[8] p = {0,0,1,1,0,0,1,1}> {
  [norm] n = InstanceNormalization (x, s, b)
  [act] a = Relu (n)
  [pad] y = Pad <mode = "reflect"> (a, p)
}
"""


def run_fused(folder: Path, text: str) -> tuple[int, PassContext]:
    onnx.save(onnx.parser.parse_model(text), folder / "model.onnx")
    model = model_io.load(folder / "model.onnx")
    context = PassContext(model.opset, folder)
    return run_passes(model.graph, context, FUSED_PASSES), context


def test_a_pad_that_a_norm_takes_is_decided_on_once(tmp_path: Path) -> None:
    num_edits, context = run_fused(tmp_path, NORM_AND_RELU)
    assert num_edits == 3
    found = [(each.node, each.op, each.became) for each in context.decisions]
    into = "trtconv::InstanceNorm"
    assert found == [("norm", "InstanceNormalization", into), ("pad", "Pad(reflect)", into), ("act", "Relu", into)]
    assert [each.reason for each in context.decisions][1:] == [
        "reflect pads [0,0,1,1,0,0,1,1], fused into norm",
        "activation relu, fused into norm",
    ]


def test_the_commands_name_what_was_fused(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(NORM_AND_RELU), tmp_path / "model.onnx")
    output = tmp_path / "fused.onnx"
    done = command_line.run("rewrite", tmp_path / "model.onnx", "-o", output, "--ops", "fused")
    assert "1 Relu -> trtconv::InstanceNorm: activation relu, fused into norm [act]" in done.stdout
    assert onnx.load(output).graph.node[0].op_type == "InstanceNorm"
    shown = command_line.run("inspect", tmp_path / "model.onnx", "--ops", "fused").stdout
    assert "Neighbours of plugins, and whether they become part of them" in shown
    kept = command_line.run(
        "rewrite", tmp_path / "model.onnx", "-o", output, "--ops", "fused", "--keep-native", "act", "--json"
    )
    decisions = {each["node"]: each["became"] for each in json.loads(kept.stdout)["decisions"]}
    assert decisions["act"] is None
    assert decisions["norm"] == "trtconv::InstanceNorm"


def test_chosen_native_keeps_a_neighbour_out(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(NORM_AND_RELU), tmp_path / "model.onnx")
    model = model_io.load(tmp_path / "model.onnx")
    context = PassContext(model.opset, tmp_path)
    object.__setattr__(context.choices, "chosen", {"act": Wish("native", "slower on this GPU")})
    run_passes(model.graph, context, FUSED_PASSES)
    told = {each.node: (each.became, each.reason) for each in context.decisions}
    assert told["act"] == (None, "not fused: slower on this GPU")
    assert told["pad"][0] == "trtconv::ReflectPad"
    assert isinstance(DecisionFile(1, list(context.decisions)).to_json(), dict)


UNARY = {
    "Relu": {},
    "LeakyRelu": {"alpha": 0.2},
    "Elu": {"alpha": 0.7},
    "Tanh": {},
    "Neg": {},
}


@st.composite
def chains(draw: st.DrawFn) -> tuple[onnx.ModelProto, int]:
    """A norm or a group norm, or none, then up to six neighbours in any order, each read by others now and then."""
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, Any] = {"s": np.array([1, 2, -3, 0.5], np.float32), "b": np.array([0, 1, 2, -1], np.float32)}
    outputs: list[str] = []
    shape, last = [2, 4, 3, 4], "x"
    if draw(st.booleans()):
        nodes.append(helper.make_node("InstanceNormalization", ["x", "s", "b"], ["n"]))
        last = "n"
    for number in range(draw(st.integers(1, 6))):
        name = f"t{number}"
        kind = draw(
            st.sampled_from(["unary", "unary", "add", "silu", "prelu", "resize", "reflect", "edge", "constant"])
        )
        if kind == "unary":
            op = draw(st.sampled_from(sorted(UNARY)))
            nodes.append(helper.make_node(op, [last], [name], **UNARY[op]))
        elif kind == "add":
            constants[f"r{number}"] = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
            nodes.append(helper.make_node("Add", draw(st.permutations([last, f"r{number}"])), [name]))
        elif kind == "silu":
            nodes.append(helper.make_node("Sigmoid", [last], [f"g{number}"]))
            nodes.append(helper.make_node("Mul", draw(st.permutations([last, f"g{number}"])), [name]))
        elif kind == "prelu":
            constants[f"p{number}"] = draw(
                st.sampled_from([np.full(1, 0.3, np.float32), np.array([[[0.1]], [[0.2]], [[0]], [[1]]], np.float32)])
            )
            nodes.append(helper.make_node("PRelu", [last, f"p{number}"], [name]))
        elif kind == "resize":
            factors = [1, 1, draw(st.integers(1, 2)), draw(st.integers(1, 3))]
            constants[f"f{number}"] = np.array(factors, np.float32)
            nodes.append(helper.make_node("Resize", [last, "", f"f{number}"], [name], mode="nearest"))
            shape = [size * factor for size, factor in zip(shape, factors, strict=True)]
        else:
            pads = [0, 0, *draw(st.lists(st.integers(0, 1), min_size=2, max_size=2))] * 2
            constants[f"q{number}"] = np.array(pads, np.int64)
            nodes.append(helper.make_node("Pad", [last, f"q{number}"], [name], mode=kind))
            shape = [size + pads[axis] + pads[axis + 4] for axis, size in enumerate(shape)]
        last = name
        if draw(st.integers(0, 5)) == 0:
            nodes.append(helper.make_node("Neg", [last], [f"o{number}"]))
            outputs.append(f"o{number}")
    if draw(st.booleans()):
        nodes.append(helper.make_node("Cast", [last], ["half"], to=int(TensorProto.FLOAT16)))
        last = "half"
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in outputs]
    kind_of_last = TensorProto.FLOAT16 if last == "half" else TensorProto.FLOAT
    values.append(helper.make_tensor_value_info(last, kind_of_last, shape))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4, 3, 4])
    read = {name for node in nodes for name in node.input}
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items() if name in read]
    graph = helper.make_graph(nodes, "g", [x], values, initializers)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), len(nodes)


@SHORT
@given(chains())
def test_any_chain_of_neighbours_keeps_its_numbers(chain: tuple[onnx.ModelProto, int]) -> None:
    model, num_nodes = chain
    with tempfile.TemporaryDirectory() as folder:
        fused = rewrite(model, Path(folder), ops="fused")
        again = rewrite(fused.proto, Path(folder), ops="fused")
    assert again.num_edits == 0
    onnx.checker.check_model(fused.proto, full_check=False)
    plugins = [node for node in fused.proto.graph.node if node.domain == "trtconv"]
    assert num_nodes - len(fused.proto.graph.node) == fused.num_edits - len(plugins)
    assert_same_numbers(model, fused.proto, seeded_inputs(model))


@pytest.mark.parametrize("spoil", ["activation", "residual", "pads", "upsample"])
def test_wrong_fusions_are_found(spoil: str, tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[2,3,4,5] x, float[2,3,4,5] r) => (float[2,3,9,11] y) '
        "<float[3] s = {1, 2, 3}, float[3] b = {0, 1, -1}, int64[8] p = {0,0,1,0,0,0,0,1}, float[4] f = {1,1,2,2}> "
        '{ n = InstanceNormalization (x, s, b) a = Add (n, r) c = Relu (a) u = Resize <mode = "nearest"> (c, , f) '
        'y = Pad <mode = "reflect"> (u, p) }'
    )
    fused = rewrite(model, tmp_path, ops="fused").proto
    feeds = seeded_inputs(model)
    assert_same_numbers(model, fused, feeds)
    (node,) = fused.graph.node
    attributes = {each.name: each for each in node.attribute}
    if spoil == "residual":
        node.input[3] = "x"
    elif spoil == "activation":
        attributes["activation"].s = b"tanh"
    elif spoil == "pads":
        attributes["pads"].ints[:] = [0, 1, 1, 0]
    else:
        attributes["upsample"].ints[:] = [1, 2]
    with pytest.raises(AssertionError):
        assert_same_numbers(model, fused, feeds)


UNNAMED = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,6,6] x, float[3] s, float[3,3,3,3] w) => (float[1,3,6,6] y) <int64[8] p = {0,0,1,1,0,0,1,1}> {
  n = InstanceNormalization (x, s, s)
  z = Relu (n)
  q = Pad <mode = "reflect"> (z, p)
  c = Conv (q, w)
  m = InstanceNormalization (c, s, s)
  y = Add (m, z)
}
"""


def test_nodes_without_names_keep_the_addresses_that_they_had(tmp_path: Path) -> None:
    """By its operator and its output: a plugin in its place is another operator."""
    _, context = run_fused(tmp_path, UNNAMED)
    told = {each.node: each.reason for each in context.decisions}
    assert told.keys() == {"InstanceNormalization(n)", "Relu(z)", "Pad(q)", "InstanceNormalization(m)", "Add(y)"}
    assert told["Relu(z)"].endswith("fused into InstanceNormalization(n)")
    assert told["Pad(q)"].endswith("fused into Relu(z); its inner part is a residual of Add(y)")
