"""Models that ask for more memory, nodes or arithmetic than a machine has: refused before it is spent."""

from __future__ import annotations

import itertools
import mmap
import os
from collections.abc import Callable
from pathlib import Path

import onnx
import onnx.parser
import pytest
from onnx import helper

from tests.support.equivalence import rewrite
from tests.support.hostile_models import load, parse
from trtconv.errors import ModelError
from trtconv.model import function_calls
from trtconv.model.shape_inference import infer
from trtconv.model.size_growth import stays_small
from trtconv.passes.base import NoMatch
from trtconv.passes.constant_values import read_constants

pytestmark = pytest.mark.bounded_inference


def peak_growth_kib(work: Callable[[], None]) -> int:
    """Return the most memory, in KiB beyond this process's, that a child or one of its own takes for `work`."""
    before = int(Path("/proc/self/statm").read_text().split()[1]) * (mmap.PAGESIZE >> 10)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    _, status, usage = os.wait4(child, 0)
    assert status == 0, "the child failed"
    return usage.ru_maxrss - before


HUGE = {
    "Slice of ConstantOfShape": """g (float[2] x) => (int64[N] y)
        <int64[1] n = {4611686018427387904}, int64[1] st = {0}, int64[1] en = {8}>
        { z = ConstantOfShape (n)  y = Slice (z, st, en) }""",
    "Slice of Range": """g (float[2] x) => (int64[N] y)
        <int64 a = {0}, int64 n = {1000000000}, int64 d = {1}, int64[1] st = {0}, int64[1] en = {8}>
        { z = Range (a, n, d)  y = Slice (z, st, en) }""",
    "Range alone": """g (float[2] x) => (int64[N] y) <int64 a = {0}, int64 n = {4611686018427387904}, int64 d = {1}>
        { y = Range (a, n, d) }""",
    "Expand": """g (float[1] x) => (float[N] y) <int64[1] n = {4611686018427387904}> { y = Expand (x, n) }""",
    "Tile": """g (float[2] x) => (float[N] y) <int64[1] n = {1152921504606846976}> { y = Tile (x, n) }""",
    "computed size": """g (float[2] x) => (int64[N] y) <int64[1] n = {2147483648}, int64[1] st = {0}, int64[1] en = {8}>
        { m = Mul (n, n)  z = ConstantOfShape (m)  y = Slice (z, st, en) }""",
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_sizes_are_refused_within_little_memory(name: str, tmp_path: Path) -> None:
    def refuse() -> None:
        with pytest.raises(ModelError, match=r"elements, at most|cannot be inferred"):
            load(parse(HUGE[name]), tmp_path)

    assert peak_growth_kib(refuse) < 1 << 20


def test_an_honest_long_tensor_keeps_its_shapes(tmp_path: Path) -> None:
    """A minute of sound: its values are not a shape, but onnx takes them for one."""
    model = parse("""g (float[30000000] x) => (float[N] y) <int64[1] st = {0}, int64[1] en = {20000000}>
        { a = Slice (x, st, en)  b = Mul (a, a)  y = Relu (b) }""")
    assert load(model, tmp_path).graph.outputs[0].shape == [20000000]


def test_what_stays_small_needs_no_child() -> None:
    assert stays_small(parse("g (float[2,3,4] x) => (float[2,3,4] y) { a = Relu (x)  y = Add (a, a) }"))
    assert not any(stays_small(parse(graph)) for graph in HUGE.values())


def test_inference_is_the_same_in_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = parse("g (float[N,6] x) => (float[A,B] y) { s = Shape (x)  z = Reshape (x, s)  y = Relu (z) }")
    here = infer(model, tmp_path)
    monkeypatch.setattr("trtconv.model.shape_inference.stays_small", lambda proto: False)
    assert infer(model, tmp_path) == here


DIVISIONS = {
    "smallest by -1": ("p = Div (least, minus)", "divides -9223372036854775808 by -1"),
    "by zero": ("p = Div (least, zero)", "divides by zero"),
    "modulo zero": ("p = Mod (least, zero)", "divides by zero"),
    "by a computed zero": ("q = Add (minus, one)  p = Div (least, q)", "divides by zero"),
    "computed by computed": (
        "r = Neg (one)  q = Identity (least)  p = Mod (q, r)",
        "divides -9223372036854775808 by -1",
    ),
}


@pytest.mark.parametrize("name", DIVISIONS)
def test_divisions_that_end_a_process(name: str, tmp_path: Path) -> None:
    nodes, message = DIVISIONS[name]
    model = parse(f"""g (float[1,2,6,6] x) => (float y)
        <int64[8] least = {{{", ".join(["-9223372036854775808"] * 8)}}}, int64[8] minus = {{{", ".join(["-1"] * 8)}}},
         int64[8] zero = {{{", ".join("0" * 8)}}}, int64[8] one = {{{", ".join("1" * 8)}}}>
        {{ {nodes}  y = Pad <mode = "reflect"> (x, p) }}""")
    with pytest.raises(ModelError, match=message):
        rewrite(model, tmp_path)


def test_divisions_that_do_not(tmp_path: Path) -> None:
    model = parse("""g (float[1,2,6,6] x) => (float y) <int64[8] two = {0, 0, 2, 2, 0, 0, 2, 2}, int64[1] minus = {-1},
        float[1] none = {0}> { n = Div (two, minus)  p = Div (n, minus)  h = Div (x, none)
        y = Pad <mode = "reflect"> (h, p) }""")
    assert rewrite(model, tmp_path).num_edits == 1


def test_a_chain_that_would_fill_the_memory_is_not_run(tmp_path: Path) -> None:
    model = parse("""g (float[9] x) => (int64 p)
        <int64 a = {0}, int64 n = {8000000000}, int64 d = {1}, int64[1] st = {0}, int64[1] en = {2}>
        { m = Div (n, d)  r = Range (a, m, d)  p = Slice (r, st, en) }""")
    loaded = load(model, tmp_path)
    value = read_constants([loaded.graph.outputs[0]], 17, tmp_path)["p"]
    assert isinstance(value, NoMatch)
    assert "Range(r) gives 8000000001 elements" in value.reason


def nested_functions(depth: int, width: int) -> onnx.ModelProto:
    """Each function calls the next one `width` times in a row."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = []
    for level in range(depth):
        op, domain = ("Relu", "") if level == depth - 1 else (f"f{level + 1}", "own")
        names = ["x", *(f"t{index}" for index in range(1, width)), "y"]
        nodes = [helper.make_node(op, [a], [b], domain=domain) for a, b in itertools.pairwise(names)]
        functions.append(helper.make_function("own", f"f{level}", ["x"], ["y"], nodes, opsets))
    x, y = (helper.make_tensor_value_info(name, 1, [2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("f0", ["x"], ["y"], domain="own")], "g", [x], [y])
    return helper.make_model(graph, functions=functions, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize(("depth", "width", "shown"), [(6, 10, "999999 nodes"), (400, 10, "more than 10000")])
def test_functions_that_call_each_other_too_often(depth: int, width: int, shown: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"{shown}.*at most {function_calls.MAX_ADDED_NODES}"):
        load(nested_functions(depth, width), tmp_path)


def test_functions_within_the_limit(tmp_path: Path) -> None:
    assert len(load(nested_functions(3, 5), tmp_path).graph.nodes) == 125


def test_a_model_may_have_more_nodes_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a function as without one: the file holds them all."""
    monkeypatch.setattr(function_calls, "MAX_ADDED_NODES", 8)
    model = nested_functions(2, 3)  # nine nodes in the place of one
    function_calls.require_inlinable(model, tmp_path)
    model.graph.node[0].output[0] = "t0"
    more = [helper.make_node("Relu", [f"t{index}"], [f"t{index + 1}"]) for index in range(8)]
    model.graph.node.extend([*more, helper.make_node("Relu", ["t8"], ["y"])])
    assert len(load(model, tmp_path).graph.nodes) == 18
    model.graph.node.append(helper.make_node("f0", ["x"], ["z"], domain="own"))
    with pytest.raises(ModelError, match="adds 16 nodes, at most 8 are taken"):
        function_calls.require_inlinable(model, tmp_path)
