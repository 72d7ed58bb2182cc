"""Shapes beyond ONNX's inference: found one node after the other, shown by inspect, written into the model."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.parser
import pytest

from tests.support.equivalence import rewrite
from trtconv.inspection.model_inspection import inspect_model
from trtconv.model import model_io
from trtconv.passes.base import PassContext
from trtconv.passes.complete_shapes import complete_shapes

CHAIN = """
  zeros = ConstantOfShape <value = int64[1] {0}> (four)
  whole = Concat <axis = 0> (zeros, ones)
  rows = Reshape (whole, rows_shape)
  columns = Transpose <perm = [1, 0]> (rows)
  pads = Reshape (columns, flat_shape)
  p = Pad <mode = "reflect"> (x, pads)
  r = Relu (p)
"""
CONSTANTS = (
    "int64[1] four = {4}, int64[4] ones = {1, 1, 2, 2}, int64[2] rows_shape = {-1, 2}, int64[1] flat_shape = {-1}"
)

ONES = "int64[1] a = {100}, int64[1] b = {1}"
SCALARS = "int64 a = {2}, int64 b = {1}"
HEADER = '<ir_version: 8, opset_import: ["" : 18, "other" : 1]>'


def model(body: str, constants: str = "", x: str = "float[1,4,6,8] x", chain: str = CHAIN) -> onnx.ModelProto:
    given = f"{CONSTANTS}, {constants}" if constants else CONSTANTS
    return onnx.parser.parse_model(f"{HEADER} g ({x}) => (float[P,Q,R,S] y) <{given}> {{{chain}{body}}}")


def shape_of(proto: onnx.ModelProto, name: str, folder: Path) -> list[object] | None:
    path = folder / "model.onnx"
    onnx.save(proto, path)
    read = model_io.load(path)
    complete_shapes(read.graph, PassContext(read.opset, folder))
    shape = read.graph.tensors()[name].shape
    return None if shape is None else list(shape)


@pytest.mark.parametrize(
    ("body", "constants", "expected"),
    [
        ("y = Relu (r)", "", [1, 4, 8, 12]),
        ("y = Conv <kernel_shape = [3, 3]> (r, w)", "float[5,4,3,3] w", [1, 5, 6, 10]),
        ("s = Shape (r) t = Reshape (s, flat_shape) y = Expand (w, t)", "float[1,1,1,1] w = {1}", [1, 4, 8, 12]),
        ('s = Shape <start = 2> (r) y = Resize <mode = "nearest", axes = [2, 3]> (x, , , s)', "", [1, 4, 8, 12]),
        ("s = Shape <start = 2> (r) y = Slice (r, a, s, b)", "int64[2] a = {1, 1}, int64[2] b = {2, 3}", [1, 4, 7, 11]),
        ("s = Shape (r) h = Div (s, a) m = Max (h, b) y = Tile (x, m)", ONES, [1, 4, 6, 8]),
        ("s = Shape (r) n = Size (s) d = Range (a, n, b) y = ReduceMean (r, d)", SCALARS, [1, 4, 1, 1]),
        ("z = Unsqueeze (r, a) k = Squeeze (z, a) y = Relu (k)", "int64[1] a = {0}", [1, 4, 8, 12]),
        ("s = Shape (r) y = ConstantOfShape (s)", "", [1, 4, 8, 12]),
    ],
)
def test_what_follows_a_chain_is_found(body: str, constants: str, expected: list[object], tmp_path: Path) -> None:
    assert shape_of(model(body, constants), "y", tmp_path) == expected


def test_a_dynamic_batch_stays_a_symbol(tmp_path: Path) -> None:
    proto = model("y = Relu (r)", x="float[N,4,6,8] x")
    assert shape_of(proto, "r", tmp_path) == ["N", 4, 8, 12]


def test_nothing_is_invented(tmp_path: Path) -> None:
    """After an op of a custom domain nothing is known."""
    shape = shape_of(model("o = other.Op (r) y = Relu (o)"), "y", tmp_path)
    assert shape in (None, ["P", "Q", "R", "S"])


def test_branches_see_what_was_found_outside(tmp_path: Path) -> None:
    body = """y = If (flag) <
        then_branch = t () => (float[P,Q,R,S] a) { a = Relu (r) },
        else_branch = e () => (float[P,Q,R,S] b) { b = Abs (r) }
    >"""
    path = tmp_path / "model.onnx"
    onnx.save(model(body, "", "float[1,4,6,8] x, bool flag"), path)
    read = model_io.load(path)
    complete_shapes(read.graph, PassContext(read.opset, tmp_path))
    branch = read.graph.nodes[-1].attrs["then_branch"]
    assert branch.nodes[0].outputs[0].shape == [1, 4, 8, 12]


@pytest.mark.parametrize("names", [("one", "one"), ("one", "two")])
@pytest.mark.parametrize("amounts", ["amounts", "amounts_{name}"])
def test_each_branch_has_its_own_chain(names: tuple[str, str], amounts: str, tmp_path: Path) -> None:
    """Also where both branches use the same names for different numbers."""
    branches = ", ".join(
        f"""{attribute} = {attribute}_graph () => (float[P,Q,R,S] out_{name})
        <int64[8] {amounts.format(name=name)} = {{0, 0, {rows}, 0, 0, 0, {rows}, 0}}>
        {{
            pads_{name} = Identity ({amounts.format(name=name)})
            out_{name} = Pad <mode = "reflect"> (x, pads_{name})
        }}"""
        for attribute, name, rows in zip(("then_branch", "else_branch"), names, (1, 3), strict=True)
    )
    path = tmp_path / "model.onnx"
    onnx.save(model(f"y = If (flag) < {branches} >", "", "float[1,4,6,8] x, bool flag", chain=""), path)
    read = model_io.load(path)
    complete_shapes(read.graph, PassContext(read.opset, tmp_path))
    graphs = [read.graph.nodes[-1].attrs[attribute] for attribute in ("then_branch", "else_branch")]
    assert [graph.nodes[-1].outputs[0].shape for graph in graphs] == [[1, 4, 8, 8], [1, 4, 12, 8]]


def test_inspect_shows_them_and_the_model_declares_them(tmp_path: Path) -> None:
    proto = model('y = Pad <mode = "reflect"> (r, again)', "int64[8] again = {0, 0, 1, 1, 0, 0, 1, 1}")
    path = tmp_path / "model.onnx"
    onnx.save(proto, path)
    assert [node.shape for node in inspect_model(path, ops="plugin").nodes] == [[1, 4, 6, 8], [1, 4, 8, 12]]
    written = rewrite(proto, tmp_path).proto
    declared = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in written.graph.value_info
    }
    assert {"p": [1, 4, 8, 12], "r": [1, 4, 8, 12]}.items() <= declared.items()


def test_a_model_without_edits_declares_no_more_than_before(tmp_path: Path) -> None:
    proto = model("y = Relu (r)", chain=CHAIN.replace("reflect", "edge"))
    assert rewrite(proto, tmp_path).proto.SerializeToString() == proto.SerializeToString()
