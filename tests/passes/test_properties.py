"""Any rank, pads, type and opset: the rewrite keeps the numbers. And the comparison finds rewrites that are wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.support.equivalence import (
    assert_close,
    assert_same_numbers,
    rewrite,
    run_onnxruntime,
    run_with_references,
    seeded_inputs,
)
from tests.support.extent import num_examples

SHORT = settings(max_examples=num_examples(150), deadline=None, derandomize=True)

OPSETS = st.integers(2, 28)
# The types that Pad takes from an opset on.
PAD_DTYPES = {
    2: [TensorProto.FLOAT, TensorProto.FLOAT16],
    11: [TensorProto.INT64, TensorProto.INT32, TensorProto.INT8],
    13: [TensorProto.BOOL],
}
NORM_DTYPES = (TensorProto.FLOAT, TensorProto.FLOAT16)
PAD_SOURCES = ("initializer", "constant", "chain", "axes")


@dataclass(frozen=True)
class PadCase:
    """One Pad(mode=reflect) of shape, pads and type, in an opset, with its pads given in one of PAD_SOURCES."""

    shape: Sequence[int]
    pads: Sequence[int]
    dtype: int
    opset: int
    source: str


@st.composite
def pad_cases(draw: st.DrawFn) -> PadCase:
    rank = draw(st.integers(1, 6))
    shape = [draw(st.integers(1, 4)) for _ in range(rank)]
    pads = [draw(st.integers(0, size - 1)) for size in shape * 2]
    opset = draw(OPSETS)
    dtypes = [dtype for since, types in PAD_DTYPES.items() if since <= opset for dtype in types]
    return PadCase(shape, pads, draw(st.sampled_from(dtypes)), opset, draw(st.sampled_from(PAD_SOURCES)))


def make_pad(case: PadCase) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", case.dtype, case.shape)
    y = helper.make_tensor_value_info("y", case.dtype, [None] * len(case.shape))
    rank, given_pads = len(case.shape), np.array(case.pads, dtype=np.int64)
    nodes, inputs, constants = [], ["x", "pads"], {"pads": given_pads}
    if case.opset < 11:
        return make_model([helper.make_node("Pad", ["x"], ["y"], mode="reflect", pads=case.pads)], x, y, case.opset, {})
    if case.source == "constant":
        constants = {}
        nodes.append(helper.make_node("Constant", [], ["pads"], value=numpy_helper.from_array(given_pads)))
    elif case.source == "chain":
        constants = {"ends": given_pads[rank:], "begins": given_pads[:rank]}
        nodes.append(helper.make_node("Concat", ["begins", "ends"], ["pads"], axis=0))
    elif case.source == "axes" and case.opset >= 18:
        axes = [axis for axis in range(rank) if case.pads[axis] or case.pads[axis + rank]][::-1]
        constants = {
            "pads": given_pads[[*axes, *(axis + rank for axis in axes)]],
            "axes": np.array([axis - rank if axis % 2 else axis for axis in axes], dtype=np.int64),
        }
        inputs += ["", "axes"]
    nodes.append(helper.make_node("Pad", inputs, ["y"], mode="reflect"))
    return make_model(nodes, x, y, case.opset, constants)


def make_model(
    nodes: list[onnx.NodeProto],
    x: onnx.ValueInfoProto,
    y: onnx.ValueInfoProto,
    opset: int,
    constants: dict[str, np.ndarray],
) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], initializers)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])


@SHORT
@given(pad_cases())
def test_reflect_pad(case: PadCase) -> None:
    model = make_pad(case)
    with tempfile.TemporaryDirectory() as folder:
        rewritten = rewrite(model, Path(folder))
    assert rewritten.num_edits == any(case.pads)
    onnx.checker.check_model(rewritten.proto, full_check=True)
    assert_same_numbers(model, rewritten.proto, seeded_inputs(model))


@st.composite
def image_shapes(draw: st.DrawFn) -> list[int]:
    """Ranks 3 to 6; the last axis is long enough for a variance, without which ONNX Runtime's formula loses digits."""
    middle = draw(st.lists(st.integers(1, 4), max_size=3))
    return [draw(st.integers(1, 2)), draw(st.integers(1, 3)), *middle, draw(st.integers(4, 6))]


@SHORT
@given(
    shape=image_shapes(),
    epsilon=st.sampled_from([None, 1e-7, 1e-5, 1e-3, 0.5, 3.0]),
    dtype=st.sampled_from(NORM_DTYPES),
    opset=st.integers(1, 28),
    seed=st.integers(0, 99),
)
def test_instance_norm(shape: list[int], epsilon: float | None, dtype: int, opset: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    numpy_dtype = helper.tensor_dtype_to_np_dtype(dtype)
    constants = {name: rng.standard_normal(shape[1]).astype(numpy_dtype) for name in ("scale", "bias")}
    attributes = {} if epsilon is None else {"epsilon": epsilon}
    node = helper.make_node("InstanceNormalization", ["x", *constants], ["y"], **attributes)
    x, y = (helper.make_tensor_value_info(name, dtype, shape) for name in ("x", "y"))
    model = make_model([node], x, y, opset, constants)
    with tempfile.TemporaryDirectory() as folder:
        rewritten = rewrite(model, Path(folder))
    assert rewritten.num_edits == 1
    onnx.checker.check_model(rewritten.proto, full_check=True)
    assert_same_numbers(model, rewritten.proto, seeded_inputs(model, seed=seed))


# Wrong rewrites: the comparison must find each of them. ----------------------------------------------------------


def swap_begins_and_ends(node: onnx.NodeProto) -> None:
    pads = list(node.attribute[0].ints)
    node.attribute[0].ints[:] = pads[len(pads) // 2 :] + pads[: len(pads) // 2]


def swap_axes(node: onnx.NodeProto) -> None:
    pads = list(node.attribute[0].ints)
    node.attribute[0].ints[:] = [pads[index] for index in (0, 1, 3, 2, 4, 5, 7, 6)]


def interleave(node: onnx.NodeProto) -> None:
    pads = list(node.attribute[0].ints)
    node.attribute[0].ints[:] = [pad for pair in zip(pads[:4], pads[4:], strict=True) for pad in pair]


def drop_epsilon(node: onnx.NodeProto) -> None:
    node.attribute[0].f = 1e-5


def swap_scale_and_bias(node: onnx.NodeProto) -> None:
    node.input[1], node.input[2] = node.input[2], node.input[1]


PAD = """<ir_version: 8, opset_import: ["" : 17]>
g (float[4,4,6,6] x) => (float[4,4,A,B] y) <int64[8] pads = {0,0,1,2,0,0,3,4}> {
  y = Pad <mode = "reflect"> (x, pads) }"""
NORM = """<ir_version: 8, opset_import: ["" : 17]>
g (float[2,2,4,4] x) => (float[2,2,4,4] y) <float[2] s = {1, 2}, float[2] b = {3, 4}> {
  y = InstanceNormalization <epsilon = 0.01> (x, s, b) }"""


@pytest.mark.parametrize(
    ("text", "spoil"),
    [
        (PAD, swap_begins_and_ends),
        (PAD, swap_axes),
        (PAD, interleave),
        (NORM, drop_epsilon),
        (NORM, swap_scale_and_bias),
    ],
)
def test_wrong_rewrites_are_found(text: str, spoil: Callable[[onnx.NodeProto], None], tmp_path: Path) -> None:
    model = onnx.parser.parse_model(text)
    rewritten = rewrite(model, tmp_path).proto
    feeds = seeded_inputs(model)
    assert_same_numbers(model, rewritten, feeds)
    spoil(rewritten.graph.node[0])
    with pytest.raises(AssertionError):
        assert_same_numbers(model, rewritten, feeds)
    # The references alone find it too, should a function be wrong in the same way.
    with pytest.raises(AssertionError):
        assert_close(run_with_references(rewritten, feeds), run_onnxruntime(model, feeds))
