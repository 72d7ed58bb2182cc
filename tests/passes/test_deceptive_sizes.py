"""Sizes and counts that only look like those of a norm or an upsampling are left alone, and reading them ends."""

from __future__ import annotations

import time
from pathlib import Path

import onnx
import onnx.parser
import pytest

from tests.support.equivalence import rewrite
from tests.support.patience import patience

OPSET_18 = '<ir_version: 8, opset_import: ["" : 18]>'
_SIZES = """shape = Shape(x) two = Constant<value_ints=[2]>() four = Constant<value_ints=[4]>()
    hw = Slice(shape, two, four) zero = Constant<value_ints=[0]>() area = ReduceProd<keepdims=0>(hw)"""
_NORM = """axes = Constant<value_ints=[2,3]>() eps = Constant<value_float=0.00001>() sx = ReduceSum(x, axes)
    m = Div(sx, n) d = Sub(x, m) q = Mul(d, d) sq = ReduceSum(q, axes) v = Div(sq, n) e = Add(v, eps) s = Sqrt(e)
    y = Div(d, s)"""
COUNTS = {
    "a third of it cut off": """b = Cast<to=1>(area) three = Constant<value_float=3.0>() c = Div(b, three)
        i = Cast<to=7>(c) f = Cast<to=1>(i) n = Mul(f, three)""",
    "no axes, no product": "p = ReduceProd<noop_with_empty_axes=1, keepdims=0>(hw) n = Cast<to=1>(p)",
    "a product of rows of one": "u = Unsqueeze(hw, zero) p = ReduceProd<keepdims=0>(u, zero) n = Cast<to=1>(p)",
    "true": "t = Cast<to=9>(area) n = Cast<to=1>(t)",
    "the lowest byte": "t = Cast<to=2>(area) n = Cast<to=1>(t)",
}


def model(inputs: str, body: str, constants: str = "") -> onnx.ModelProto:
    held = f"<{constants}>" if constants else ""
    return onnx.parser.parse_model(f"{OPSET_18} g ({inputs}) => (float[A,B,C,D] y) {held} {{ {body} }}")


def test_the_same_with_the_true_count_is_a_norm(tmp_path: Path) -> None:
    proto = model("float[N,6,H,2] x", f"{_SIZES} n = Cast<to=1>(area) {_NORM}")
    assert rewrite(proto, tmp_path, ops="rewritten").num_edits == 1


@pytest.mark.parametrize("name", COUNTS)
def test_another_count_is_none_of_a_norm(name: str, tmp_path: Path) -> None:
    proto = model("float[N,6,H,2] x", f"{_SIZES} {COUNTS[name]} {_NORM}")
    assert rewrite(proto, tmp_path, ops="rewritten").num_edits == 0


_CONVOLUTION = "c = Conv(u, k) y = InstanceNormalization(c, g, g)"
_OF_ONE = "float[1,1,1,1] x, float[1,1,1,1] k, float[1] g"
_TO_ONE = "int64[0] z = {}, int64[2] i = {0,0}, int64[4] t = {1,1,1,2}"
HOSTILE = {
    "no indices": (
        "float[2,6,4,5] x, float[6,6,1,1] k, float[6] g",
        "int64[0] i = {}, int64[10] j = {0,0,1,1,2,2,3,3,4,4}",
        "e = Gather<axis=0>(x, i) u = Gather<axis=3>(e, j)",
    ),
    "a number is gathered": (_OF_ONE, _TO_ONE, "a = Reshape(x, z) b = Gather<axis=0>(a, i) u = Reshape(b, t)"),
    "a number is joined": (_OF_ONE, _TO_ONE, "a = Reshape(x, z) b = Concat<axis=0>(a, a) u = Reshape(b, t)"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_layouts_without_elements_or_axes_are_no_upsampling(name: str, tmp_path: Path) -> None:
    inputs, constants, body = HOSTILE[name]
    proto = model(inputs, f"{body} {_CONVOLUTION}", constants)
    rewritten = rewrite(proto, tmp_path, ops="rewritten")
    copying = {"Gather", "Concat", "Reshape"}
    left = [[node.op_type for node in each.graph.node if node.op_type in copying] for each in (proto, rewritten.proto)]
    assert left[0] == left[1]


def _listed(number: int, other: str) -> str:
    """Return a Reshape to a list that is joined so often, once with itself or with another, and a Tile."""
    joined = " ".join(f"c{i + 1} = Concat<axis=0>(c{i}, {other or f'c{i}'})" for i in range(number))
    return f"""one = Constant<value_ints=[1]>() c0 = Concat<axis=0>(one, one) {joined} r = Reshape(x, c{number})
        t = Tile(r, one) last = Constant<value_ints=[2,6,3,3]>() u = Reshape(t, last) y = Identity(u)"""


_SQUARES = " ".join(f"t{i + 1} = Mul(t{i}, t{i})" for i in range(24))
DEEP = {
    "squares": f"{_SIZES} t0 = Identity(area) {_SQUARES} n = Cast<to=1>(t24) {_NORM}",
    "doubled lists": _listed(18, ""),
    "joined lists": _listed(1200, "one"),
}


@pytest.mark.parametrize("sizes", ["H,W", "3,3"])
@pytest.mark.parametrize("name", DEEP)
def test_sizes_of_many_steps_are_read_in_time(name: str, sizes: str, tmp_path: Path) -> None:
    proto = model(f"float[2,6,{sizes}] x", DEEP[name])
    begin = time.process_time()
    rewrite(proto, tmp_path, ops="rewritten")
    assert time.process_time() - begin < patience(5)
