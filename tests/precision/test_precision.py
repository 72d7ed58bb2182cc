"""Conversion to fp16 and bf16: what stays fp32, where the Casts are, and that the graph stays what it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.rounding import Arrays, run, run_rounded
from trtconv.errors import ConfigError, ModelError
from trtconv.model.walking import branches
from trtconv.precision import KeptNode, PrecisionOptions, convert_precision, parse_io_types, type_conversion
from trtconv.precision.float_graph import FloatGraph
from trtconv.precision.rules import reasons_by_op
from trtconv.precision.scopes import outer_name
from trtconv.precision.tensor_types import schema_of

FLOAT, FP16, BF16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16
HEADER = '<ir_version: 8, opset_import: ["": 17, "trtconv": 1, "my": 1]> g '
W = "float[4,4] w = {1,2,3,4, 4,3,2,1, 1,2,3,4, 4,3,2,1}"
# A matrix product before and behind: else the part in between would be the model's preparation of its input.
INPUT = "(float[2,4] x) => (float[2,4] y) "


def between(body: str, constants: str = "", **options: Any) -> Converted:
    """Convert a network that multiplies by a matrix, does `body` from a to b, and multiplies again."""
    weights = ", ".join(filter(None, (W, constants)))
    return convert(f"{INPUT}<{weights}> {{ [first] a = MatMul(x, w) {body} [last] y = MatMul(b, w) }}", **options)


class Converted:
    """A converted model, the nodes that stay, and what was checked of it."""

    def __init__(self, model: onnx.ModelProto, kept: Sequence[KeptNode], original: onnx.ModelProto) -> None:
        self.model, self.kept, self.original = model, kept, original
        self.nodes = model.graph.node

    @property
    def kept_ops(self) -> Counter[str]:
        return Counter(node.op for node in self.kept)

    @property
    def casts(self) -> list[tuple[str, int]]:
        """What the conversion casts, and to which type."""
        return [(node.input[0], node.attribute[0].i) for node in self.nodes if node.name.startswith("Cast/")]

    def reason(self, op: str) -> str:
        (reason,) = {node.reason for node in self.kept if node.op == op}
        return reason


def convert(
    text: str | onnx.ModelProto,
    precision: Any = "fp16",
    feeds: Sequence[Arrays] = (),
    folder: Path = Path(),
    **options: Any,
) -> Converted:
    original = onnx.parser.parse_model(HEADER + text) if isinstance(text, str) else text
    before = original.SerializeToString()
    converted, kept, _ = convert_precision(
        original, folder / "model.onnx", PrecisionOptions(precision, **options), feeds
    )
    assert original.SerializeToString() == before, "the given model is not changed"
    assert_sound(converted, precision)
    return Converted(converted, kept, original)


def assert_sound(model: onnx.ModelProto, precision: str) -> None:
    onnx.checker.check_model(model, full_check=precision == "fp16" and not model.functions)
    assert_strongly_typed(model)
    seen: set[tuple[str, int]] = set()
    assert_sorted_and_cast_once(model.graph, set(), {}, seen)


def assert_sorted_and_cast_once(
    graph: onnx.GraphProto, outer: set[str], made_by_cast: dict[str, str], seen: set[tuple[str, int]]
) -> None:
    produced = outer | {value.name for value in (*graph.input, *graph.initializer)}
    for node in graph.node:
        assert all(name in produced for name in node.input if name), f"{node.name} is not sorted"
        for branch in branches(node):
            assert_sorted_and_cast_once(branch, produced, made_by_cast, seen)
        produced.update(node.output)
        if node.op_type == "Cast" and node.name.startswith("Cast/"):
            cast = node.input[0], node.attribute[0].i
            assert cast not in seen, f"{cast} twice"
            assert node.input[0] not in made_by_cast, "a Cast of a Cast"
            seen.add(cast)
            made_by_cast[node.output[0]] = node.name
    assert all(value.name in produced for value in graph.output)


def assert_strongly_typed(model: onnx.ModelProto) -> None:
    """What ONNX gives one type variable has one type at every node."""
    graph = FloatGraph(model, Path())
    for node in graph.nodes:
        schema = schema_of(node, graph.opset)
        found: dict[str, set[int]] = {}
        for formals, names in ((schema.inputs, node.input), (schema.outputs, node.output)) if schema else ():
            for slot, name in enumerate(names):
                formal = formals[min(slot, len(formals) - 1)]
                if name in graph.types and formal.is_homogeneous:
                    found.setdefault(formal.type_str, set()).add(graph.types[name])
        assert all(len(types) == 1 for types in found.values()), f"{node.op_type} {node.name}: {found}"
    for scope in graph.flat.scopes[1:]:
        owner = graph.nodes[scope.owner or 0]
        left = [value.name for value in scope.graph.output][owner.op_type == "Loop" :]
        entered = [(value.name, outer_name(owner, slot)) for slot, value in enumerate(scope.graph.input)]
        states = zip([name for name, other in entered if other], left, strict=False) if owner.op_type != "If" else ()
        for name, other in (*entered, *zip(owner.output, left, strict=True), *states):
            if owner.op_type != "Scan" or name in owner.output or name in graph.entering:
                assert not other or graph.types.get(name) == graph.types.get(other), f"{owner.name}: {name}, {other}"


def test_matrix_products_compute_in_16_bits_and_inputs_and_outputs_keep_their_types() -> None:
    for precision, elem_type in (("fp16", FP16), ("bf16", BF16)):
        converted = between("b = Relu(a)", precision=precision)
        assert not converted.kept
        assert converted.casts == [("x", elem_type), (f"y_{precision}", FLOAT)]
        assert [value.type.tensor_type.elem_type for value in converted.model.graph.input] == [FLOAT]
        assert [tensor.data_type for tensor in converted.model.graph.initializer] == [elem_type]
        assert converted.model.graph.output[0].type.tensor_type.elem_type == FLOAT


@pytest.mark.parametrize(
    ("body", "constants", "kept"),
    [
        ("b = Exp(a)", "", {"Exp"}),
        ("t = Abs(a) u = Add(t, one) b = Log(u)", "float one = {1}", {"Log"}),
        ("b = Pow(a, three)", "float three = {3}", {"Pow"}),
        ("b = Sin(a)", "", {"Sin"}),
        ("b = CumSum(a, axis)", "int64 axis = {1}", {"CumSum"}),
        ("b = LpNormalization(a)", "", {"LpNormalization"}),
        ("t = Mul(a, a) s = ReduceMean<axes = [1]>(t) b = Sub(a, s)", "", {"Mul", "ReduceMean"}),
        ("t = ReduceL2<axes = [1]>(a) b = Div(a, t)", "", {"ReduceL2"}),
        ("t = Mul(a, a) b = Sigmoid(t)", "", set()),
        ("t = Mul(a, a) u = ReduceMax<axes = [1]>(t) b = Mul(a, u)", "", set()),
        ("b = Softmax(a)", "", set()),
    ],
)
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_ops_that_lose_their_meaning(body: str, constants: str, kept: set[str], precision: str) -> None:
    feeds = [{"x": np.full((2, 4), 0.25, np.float32)}]
    assert set(between(body, constants, precision=precision, feeds=feeds).kept_ops) == kept


NORM = """
    r = Reshape(a, flat) m = ReduceMean<axes = [1]>(r) d = Sub(a, m) e = Add(d, tiny) s = Mul(d, e)
    v = ReduceMean<axes = [1]>(s) ve = Add(v, eps) sd = Sqrt(ve) n = Div(d, sd) t = Mul(n, scale) b = Add(t, scale)
"""
NORM_CONSTANTS = "int64[2] flat = {2, 4}, float tiny = {1e-9}, float eps = {1e-5}, float[4] scale = {1, 2, 3, 4}"


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_norm_that_is_written_out_is_one_island(precision: str) -> None:
    converted = between(NORM, NORM_CONSTANTS, precision=precision)
    assert {node.address for node in converted.kept} == {
        f"{op}({name})"
        for op, name in zip(
            ["Reshape", "ReduceMean", "Sub", "Add", "Mul", "ReduceMean", "Add", "Sqrt", "Div"],
            ["r", "m", "d", "e", "s", "v", "ve", "sd", "n"],
            strict=True,
        )
    }
    low = FP16 if precision == "fp16" else BF16
    assert converted.casts == [("x", low), ("a", FLOAT), ("n", low), (f"y_{precision}", FLOAT)]


def test_a_norm_by_reciprocal_root() -> None:
    body = """s = Pow(a, two) v = ReduceMean<axes = [1]>(s) ve = Add(v, eps) sd = Sqrt(ve) r = Reciprocal(sd)
              b = Mul(a, r)"""
    converted = between(body, "float two = {2}, float eps = {1e-5}", precision="bf16")
    assert converted.kept_ops == {"Pow": 1, "ReduceMean": 1, "Add": 1, "Sqrt": 1}


SPECTRUM = """(float[1,1,64] x) => (float[1,8,57] y) <float[16,1,8] k, float[8,8,1] v> {
    [transform] c = Conv(x, k) re, im = Split<axis = 1>(c) re2 = Mul(re, re) im2 = Mul(im, im) p = Add(re2, im2)
    BODY [last] y = Conv(b, v) }"""


def spectrum(body: str) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    text = SPECTRUM.replace("BODY", body).replace(" k,", " k = {" + ",".join(map(str, rng.normal(size=128))) + "},")
    return onnx.parser.parse_model(HEADER + text.replace(" v>", " v = {" + ",".join(["0.5"] * 64) + "}>"))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_spectrum_stays_from_its_transform_to_its_root_or_logarithm(precision: str) -> None:
    for body, root in (("b = Sqrt(p)", "Sqrt"), ("q = Clip(p, lo) b = Log(q)", "Log")):
        model = spectrum(body)
        model.graph.initializer.append(numpy_helper.from_array(np.float32(1e-10), "lo"))
        converted = convert(model, precision)
        assert converted.kept_ops["Conv"] == 1
        assert {"Split", "Mul", "Add", root} <= set(converted.kept_ops)
        assert "last" not in {node.address for node in converted.kept}


def test_preparation_of_the_input_stays() -> None:
    text = (
        INPUT
        + f"<{W}, float mean = {{100}}, float std = {{50}}> {{ d = Sub(x, mean) n = Div(d, std) y = MatMul(n, w) }}"
    )
    for precision in ("fp16", "bf16"):
        converted = convert(text, precision)
        assert converted.kept_ops == {"Sub": 1, "Div": 1}
        assert converted.casts[0][0] == "n"


def test_large_values_keep_their_makers_and_readers() -> None:
    feeds = [{"x": np.full((2, 4), 1.0, np.float32)}]
    constants = "float big = {9000}, float small = {1e-4}"
    converted = between("c = Mul(a, big) d = Neg(c) e = Mul(d, small) b = Tanh(e)", constants, feeds=feeds)
    assert {node.address for node in converted.kept} == {"Mul(c)", "Neg(d)", "Mul(e)"}
    (figures,) = [node.figures for node in converted.kept if node.address == "Mul(c)"]
    assert figures == {"tensor": "c", "max_abs": 9e4}
    assert "c reaches 9e+04, fp16 ends at 65504" in converted.reason("Neg") or converted.reason("Neg").startswith("d")
    assert not between("c = Mul(a, big) b = Neg(c)", "float big = {9000}", feeds=feeds, precision="bf16").kept


def test_small_arguments_keep_what_makes_and_reads_them() -> None:
    feeds = [{"x": np.array([[1] * 4, [1e-9] * 4], np.float32)}]
    for body, op in (("t = Neg(a) b = Div(one, t)", "Div"), ("t = Neg(a) b = Reciprocal(t)", "Reciprocal")):
        converted = between(body, "float one = {1}", feeds=feeds)
        assert converted.kept_ops[op] == converted.kept_ops["Neg"] == 1
        assert "falls to 1e-08" in converted.reason(op) or "reaches" in converted.reason(op)


def test_constants_that_fp16_does_not_hold() -> None:
    converted = between("c = Mul(a, big) b = Mul(c, small)", "float[4] big = {1, 1, 70000, 1}, float small = {1e-5}",
                        feeds=[{"x": np.zeros((2, 4), np.float32)}])  # fmt: skip
    assert [node.reason for node in converted.kept] == [
        "its constant big reaches 7e+04, fp16 ends at 65504",
        "its constant small reaches only 1e-05, which loses digits in fp16",
    ]
    converted = between("c = Abs(a) b = Add(c, epsilon)", "float epsilon = {1e-6}")
    assert "its constant 1e-06 loses digits" in converted.reason("Add")


def test_sizes_and_positions_stay() -> None:
    text = """(float[1,1,4,4] x) => (float[1,1,h,w] y)
        <float[1,1,1,1] k = {1}, float[2] ones = {1, 1}, float two = {2}> {
        c = Conv(x, k) s = Shape(c) i = Cast<to = 1>(s) half = Slice(i, start, stop) d = Div(half, half)
        f = Mul(d, two) scales = Concat<axis = 0>(ones, f) r = Resize(c, , scales) y = Conv(r, k) }"""
    model = onnx.parser.parse_model(HEADER + text)
    for name, value in (("start", 2), ("stop", 4)):
        model.graph.initializer.append(numpy_helper.from_array(np.array([value]), name))
    for precision in ("fp16", "bf16"):
        converted = convert(model, precision)
        resize = {"Resize"} if precision == "bf16" else set()  # TensorRT 10.6 has none in bf16
        assert set(converted.kept_ops) == {"Cast", "Slice", "Div", "Mul", "Concat"} | resize
        assert not {"s", "i", "half", "d", "f", "scales"} & {cast[0] for cast in converted.casts}, "the scales are fp32"


def test_an_initializer_that_both_types_need_exists_in_both() -> None:
    converted = between("c = Exp(a) d = Mul(c, v) e = Exp(d) b = Mul(e, v)", "float[4] v = {1, 2, 3, 4}",
                        keep_fp32=["Mul(d)"], feeds=[{"x": np.zeros((2, 4), np.float32)}])  # fmt: skip
    types = {tensor.name: tensor.data_type for tensor in converted.model.graph.initializer}
    assert types == {"w": FP16, "v": FLOAT, "v_fp16": FP16}


def test_constant_nodes_change_in_place() -> None:
    body = """c = Constant<value_floats = [1.0, 2.0, 3.0, 4.0]>() d = Mul(a, c)
              h = Constant<value_float = 0.5>() b = Mul(d, h)"""
    converted = between(body)
    values = [node.attribute[0].t for node in converted.nodes if node.op_type == "Constant"]
    assert [numpy_helper.to_array(value).tolist() for value in values] == [[1, 2, 3, 4], 0.5]
    assert {value.data_type for value in values} == {FP16}
    assert len(converted.model.graph.initializer) == 1


def test_the_user_keeps_nodes() -> None:
    converted = between("b = Relu(a)", keep_fp32=["fir*"])
    assert [(node.address, node.reason) for node in converted.kept] == [("first", "asked for by --keep-fp32 fir*")]
    assert converted.casts[0] == ("a", FP16)
    with pytest.raises(ConfigError, match="'nothing' matches no node") as caught:
        between("b = Relu(a)", keep_fp32=["Relu(b)", "nothing"])
    assert "first" in str(caught.value.hint)


def test_inputs_and_outputs_take_the_types_that_are_asked_for() -> None:
    def types(converted: Converted) -> list[int]:
        graph = converted.model.graph
        return [value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)]

    assert types(between("b = Relu(a)", io_types={"*": "fp16"})) == [FP16, FP16]
    assert not between("b = Relu(a)", io_types={"*": "fp16"}).casts
    assert types(between("b = Relu(a)", io_types={"*": "fp16", "x": "keep"})) == [FLOAT, FP16]
    mixed = between("b = Exp(a)", io_types={"x": "bf16"})
    assert types(mixed) == [BF16, FLOAT]
    assert mixed.casts[0] == ("x", FP16)
    all_kept = between("b = Exp(a)", io_types={"*": "fp16"}, keep_fp32=["first"])
    assert all_kept.casts[0] == ("x", FLOAT)
    with pytest.raises(ConfigError, match="z is no input or output") as caught:
        between("b = Relu(a)", io_types={"z": "fp16"})
    assert "x, y" in str(caught.value.hint)


def test_io_types_are_read_from_options() -> None:
    assert parse_io_types(["fp16", "serving_default:0=bf16"]) == {"*": "fp16", "serving_default:0": "bf16"}
    for items in (["half"], ["x=half"], ["=fp16"], ["fp16", "bf16"]):
        with pytest.raises(ConfigError):
            parse_io_types(items)
    with pytest.raises(ConfigError, match="precision 'int8' is unknown"):
        PrecisionOptions("int8")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="type 'half' of x is unknown"):
        PrecisionOptions("fp16", io_types={"x": "half"})  # type: ignore[dict-item]


IF = """(float[2,4] x, bool c) => (float[2,4] y)
    <float[4,4] w = {1,2,3,4, 4,3,2,1, 1,2,3,4, 4,3,2,1}, float one = {1}> {
    a = MatMul(x, w)
    [choice] r = If(c) <then_branch = t () => (float[2,4] p) { [inner] q = Mul(a, one) p = Relu(q) },
                        else_branch = e () => (float[2,4] n) { n = MatMul(a, w) }>
    y = MatMul(r, w) }"""


def assert_same_results(converted: Converted, *feeds: Arrays, tolerance: float = 1e-2) -> None:
    for given in feeds:
        expected, got = run(converted.original, given), run_rounded(converted.model, given)
        for name, values in expected.items():
            assert got[name].shape == values.shape
            assert np.abs(got[name] - values).max(initial=0) <= tolerance * np.abs(values).max(initial=1e-9), name


X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
CHOICES = [{"x": X, "c": np.array(choice)} for choice in (True, False)]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_branches_are_converted(precision: str) -> None:
    converted = convert(IF, precision, CHOICES)
    assert not converted.kept
    assert len(converted.casts) == 2, "x and y"
    assert {t.data_type for t in converted.model.graph.initializer} == {FP16 if precision == "fp16" else BF16}
    assert_same_results(converted, *CHOICES, tolerance=1e-2 if precision == "fp16" else 3e-2)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_node_that_stays_within_a_branch_has_its_casts_there(precision: str) -> None:
    converted = convert(IF.replace("p = Relu(q)", "e = Exp(q) p = Relu(e)"), precision, CHOICES)
    assert [node.address for node in converted.kept] == ["choice/then_branch/Exp(e)"]
    (choice,) = [node for node in converted.nodes if node.op_type == "If"]
    assert [node.op_type for node in choice.attribute[0].g.node] == ["Mul", "Cast", "Exp", "Cast", "Relu"]
    assert_same_results(converted, *CHOICES, tolerance=5e-2)
    asked = convert(IF, precision, CHOICES, keep_fp32=["choice/then_branch/inner"])
    assert [(node.address, node.op) for node in asked.kept] == [("choice/then_branch/inner", "Mul")]
    outer = convert(IF, precision, CHOICES, keep_fp32=["choice"])
    assert [(node.address, node.op) for node in outer.kept] == [("choice", "If")]
    assert_same_results(outer, *CHOICES, tolerance=5e-2)


def test_values_inside_a_branch_count() -> None:
    """Both branches are seen, though the data take one of them."""
    text = IF.replace("p = Relu(q)", "big = Mul(q, large) p = Mul(big, small)").replace(
        "float one", "float large = {9000}, float small = {1e-4}, float one"
    )
    for choice in CHOICES:
        converted = convert(text, feeds=[choice])
        assert {node.address for node in converted.kept} == {f"choice/then_branch/Mul({name})" for name in ("big", "p")}
        assert "big reaches" in converted.kept[0].reason
        assert_same_results(converted, *CHOICES)


def test_a_branch_that_cannot_run_on_the_data_is_unknown() -> None:
    text = IF.replace("q = Mul(a, one)", "s = Reshape(a, six) q = Mul(s, one)").replace(
        "float one", "int64[2] six = {2, 3}, float one"
    )
    model = onnx.parser.parse_model(HEADER + text)
    converted = convert(model, feeds=CHOICES[1:])
    kept = {node.address: node.reason for node in converted.kept}
    assert kept.keys() == {"choice", "choice/then_branch/Mul(q)", "choice/then_branch/Relu(p)"}
    assert "no input set runs its branch" in kept["choice/then_branch/Mul(q)"]
    assert set(convert(model, "bf16").kept_ops) == set()


def test_two_branches_may_name_their_tensors_alike() -> None:
    text = IF.replace("n = MatMul(a, w)", "q = MatMul(a, w) e = Sin(q) n = Relu(e)")
    converted = convert(text, feeds=CHOICES)
    assert [node.address for node in converted.kept] == ["choice/else_branch/Sin(e)"]
    assert_same_results(converted, *CHOICES, tolerance=5e-2)


LOOP = f"""{INPUT}<{W}, int64 n = {{3}}, bool yes = {{1}}, float half = {{0.5}}, float small = {{0.01}}> {{
    a = MatMul(x, w)
    [loop] r, all = Loop(n, yes, a) <body = l (int64 i, bool go, float[2,4] v) => (bool on, float[2,4] u, float[2,4] t)
        {{ on = Identity(go) BODY t = Relu(u) }}>
    s = ReduceMax<axes = [0], keepdims = 0>(all) b = Add(r, s) y = MatMul(b, w) }}"""
SCAN = f"""(float[3,2,4] x) => (float[2,4] last, float[3,2,4] y) <{W}, float[2,4] zero = {{0,0,0,0,0,0,0,0}},
    float small = {{0.05}}> {{ a = MatMul(x, w)
    [scan] last, r = Scan(zero, a) <num_scan_inputs = 1,
        body = l (float[2,4] v, float[2,4] e) => (float[2,4] u, float[2,4] t)
        {{ BODY t = Relu(u) }}>
    y = MatMul(r, w) }}"""
ROUND = "m = MatMul(v, w) h = Mul(m, small) u = Tanh(h)"


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize(("text", "feed"), [(LOOP, X), (SCAN, np.stack([X, 2 * X, -X]))], ids=["loop", "scan"])
def test_bodies_are_converted(text: str, feed: Any, precision: str) -> None:
    body = ROUND if text is LOOP else ROUND.replace("MatMul(v, w)", "Add(v, e)")
    feeds = [{"x": feed}]
    converted = convert(text.replace("BODY", body), precision, feeds)
    assert not converted.kept
    assert_same_results(converted, *feeds, tolerance=1e-2 if precision == "fp16" else 5e-2)
    kept = convert(text.replace("BODY", body.replace("Tanh(h)", "Exp(h)")), precision, feeds)
    assert "Exp" in kept.kept_ops
    assert_same_results(kept, *feeds, tolerance=1e-2 if precision == "fp16" else 5e-2)
    asked = convert(text.replace("BODY", body), precision, feeds, keep_fp32=["loop", "scan"][text is SCAN :][:1])
    assert asked.kept_ops["Loop" if text is LOOP else "Scan"] == 1
    assert text is SCAN or set(asked.kept_ops) == {"Loop"}, "all of the Scan's body is light and enclosed by it"
    assert_same_results(asked, *feeds, tolerance=1e-2 if precision == "fp16" else 5e-2)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_state_that_adds_up_stays(precision: str) -> None:
    converted = convert(LOOP.replace("BODY", "h = Mul(a, small) u = Add(v, h)"), precision, [{"x": X}])
    assert converted.kept_ops["Loop"] == converted.kept_ops["Add"] == 1
    assert "accumulates over the iterations" in converted.reason("Loop")
    assert "Mul" not in converted.kept_ops
    assert_same_results(converted, {"x": X}, tolerance=3e-2)


def test_values_of_every_round_count() -> None:
    """x triples in each round: 3e4 is passed in the last of ten."""
    text = LOOP.replace("BODY", "u = Mul(v, three)").replace("int64 n = {3}", "int64 n = {10}, float three = {3}")
    kept = {node.address for node in convert(text, feeds=[{"x": X}]).kept}
    assert {"loop", "loop/body/Mul(u)"} <= kept
    assert "loop/body/Mul(u)" not in {node.address for node in convert(text, "bf16").kept}
    never = convert(text.replace("int64 n = {10}", "int64 n = {0}"), feeds=[{"x": X}])
    assert "is unknown: no input set runs its branch or body" in next(
        node.reason for node in never.kept if node.address == "loop/body/Mul(u)"
    )


def test_an_if_within_a_loop() -> None:
    body = """z = Less(i, one64) u = If(z) <then_branch = t () => (float[2,4] p) { p = Mul(v, half) },
        else_branch = e () => (float[2,4] q) { m = MatMul(v, w) q = Mul(m, small) }>"""
    text = LOOP.replace("BODY", body).replace("float half", "int64 one64 = {1}, float half")
    for precision in ("fp16", "bf16"):
        converted = convert(text, precision, [{"x": X}])
        assert not converted.kept
        assert_same_results(converted, {"x": X}, tolerance=1e-2 if precision == "fp16" else 5e-2)


def test_what_stands_around_the_graph_stays() -> None:
    model = onnx.parser.parse_model(HEADER + f"{INPUT}<{W}> {{ [first] a = MatMul(x, w) y = MatMul(a, w) }}")
    model.doc_string, model.graph.doc_string, model.producer_name = "model", "graph", "me"
    model.graph.node[0].doc_string = "node"
    helper.set_model_props(model, {"key": "value"})
    model.graph.node[0].metadata_props.add(key="k", value="v")
    model.graph.value_info.append(helper.make_tensor_value_info("a", FLOAT, [2, 4]))
    model.functions.append(
        onnx.parser.parse_function('<domain: "my", opset_import: ["": 17]> F (x) => (y) {y = Neg(x)}')
    )
    converted = convert(model).model
    assert (converted.doc_string, converted.graph.doc_string, converted.producer_name) == ("model", "graph", "me")
    first = next(node for node in converted.graph.node if node.name == "first")
    assert (first.doc_string, first.metadata_props[0].value) == ("node", "v")
    assert converted.metadata_props == model.metadata_props
    assert converted.functions == model.functions
    assert converted.graph.value_info[0].type.tensor_type.elem_type == FP16


QUANTISED = f"""{INPUT}<{W}, float s = {{0.1}}, int8 z = {{0}}, int8[4,4] wq = {{1,2,3,4,1,2,3,4,1,2,3,4,1,2,3,4}}> {{
    a = MatMul(x, w) r = Relu(a) q = QuantizeLinear(r, s, z)
    d = DequantizeLinear(q, s, z) dw = DequantizeLinear(wq, s, z)
    m = MatMul(d, dw) t = Relu(m) q2 = QuantizeLinear(t, s, z) d2 = DequantizeLinear(q2, s, z) n = MatMul(d2, dw)
    y = MatMul(n, w) }}"""


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_quantised_part_stays(precision: str) -> None:
    converted = convert(QUANTISED, precision)
    assert converted.kept_ops == {"QuantizeLinear": 2, "DequantizeLinear": 3, "Relu": 2, "MatMul": 2}
    assert [cast[0] for cast in converted.casts] == ["x", f"a", "n", f"y_{precision}"]  # noqa: F541
    whole = (
        INPUT
        + """<float s = {0.1}, int8 z = {0}, int8[4,4] wq = {1,2,3,4,1,2,3,4,1,2,3,4,1,2,3,4}> {
        q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) dw = DequantizeLinear(wq, s, z) y = MatMul(d, dw) }"""
    )
    with pytest.raises(ModelError, match=f"nothing of it can be {precision}: all of it is quantised"):
        convert(whole, precision)
    with pytest.raises(ModelError, match="all of it is quantised"):
        convert(onnx.version_converter.convert_version(onnx.parser.parse_model(HEADER + whole), 21), precision)


AROUND_QUANTISED = f"""{INPUT}<{W}, float s = {{0.1}}, int8 z = {{0}},
    int8[4,4] wq = {{1,2,3,4,1,2,3,4,1,2,3,4,1,2,3,4}}> {{
    [first] a = MatMul(x, w) r = Relu(a) q = QuantizeLinear(r, s, z)
    d = DequantizeLinear(q, s, z) dw = DequantizeLinear(wq, s, z)
    m = MatMul(d, dw) b = OP(m) [last] y = MatMul(b, w) }}"""


@pytest.mark.parametrize("opset", [17, 19, 21, 23])
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_quantised_part_takes_the_types_around_it_from_opset_19_on(precision: str, opset: int) -> None:
    text = HEADER.replace('"": 17', f'"": {opset}').replace("ir_version: 8", "ir_version: 10") + AROUND_QUANTISED
    model = onnx.parser.parse_model(text.replace("OP", "Relu"))
    converted = convert(model, precision)
    if opset < 19:
        assert {node.reason for node in converted.kept} == {
            "part of the quantised network, whose scales are fp32 before opset 19"
        }
    else:
        assert not converted.kept
        assert len(converted.casts) == 2, "x and y"
        low = FP16 if precision == "fp16" else BF16
        assert {t.name: t.data_type for t in converted.model.graph.initializer}["s"] == low
    if precision == "fp16":
        got, expected = (run(each, {"x": X})["y"] for each in (converted.model, model))
        assert np.abs(got - expected).max() <= 2e-2 * np.abs(expected).max(), "a step of int8 is 1e-2 of it"
    asked = convert(model, precision, keep_fp32=["DequantizeLinear(d)"])
    before_opset_19 = {"QuantizeLinear": 1, "Relu": 1} if opset < 19 else {}
    assert asked.kept_ops == {"DequantizeLinear": 2, "MatMul": 1, **before_opset_19}
    assert not [cast for cast in asked.casts if cast[0] in ("q", "d", "dw", "r")], "none within the quantised part"


def test_the_first_node_of_a_quantised_part_may_keep_it() -> None:
    text = HEADER.replace('"": 17', '"": 21').replace("ir_version: 8", "ir_version: 10") + AROUND_QUANTISED
    first = onnx.parser.parse_model(
        text.replace("OP", "Relu").replace("[first] a = MatMul(x, w) r = Relu(a)", "r = Exp(x)")
    )
    converted = convert(first, "bf16")
    assert converted.reason("QuantizeLinear") == "part of the quantised network, of which Exp(r) stays fp32"
    assert set(converted.kept_ops) == {"Exp", "QuantizeLinear"}


def test_a_quantised_part_is_not_split_to_save_casts() -> None:
    text = HEADER.replace('"": 17', '"": 21').replace("ir_version: 8", "ir_version: 10") + AROUND_QUANTISED
    before = "c = MatMul(x, w) e = Exp(c) f = Exp(e) r = Add(e, f) a = MatMul(r, w)"
    model = onnx.parser.parse_model(
        text.replace("OP", "Relu")
        .replace("[first] a = MatMul(x, w) r = Relu(a)", before)
        .replace("Relu(m)", "Add(m, a)")
    )
    assert set(convert(model, "bf16").kept_ops) == {"Exp"}, "the Add before Q would else stay, with a Cast behind it"


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_network_of_which_weights_alone_are_quantised_is_converted(precision: str) -> None:
    text = f"""{HEADER.replace('"": 17', '"": 21').replace("ir_version: 8", "ir_version: 10")} {INPUT}
        <float s = {{0.1}}, int8[4,4] wq = {{1,2,3,4,1,2,3,4,1,2,3,4,1,2,3,4}}> {{
        d = DequantizeLinear(wq, s) y = MatMul(x, d) }}"""
    converted = convert(onnx.parser.parse_model(text), precision)
    assert not converted.kept
    assert len(converted.casts) == 2, "x and y"
    with pytest.raises(ModelError, match="all of it is quantised"):
        convert(text.split("> g ")[1], precision)


def test_a_dequantiser_whose_type_is_an_attribute_keeps_its_part() -> None:
    text = HEADER.replace('"": 17', '"": 23').replace("ir_version: 8", "ir_version: 11") + AROUND_QUANTISED
    model = onnx.parser.parse_model(text.replace("OP", "Relu"))
    node = next(node for node in model.graph.node if node.output[0] == "d")
    node.attribute.append(helper.make_attribute("output_dtype", FLOAT))
    assert convert(model, "bf16").kept_ops == {"DequantizeLinear": 2, "MatMul": 1}


def test_scales_that_fp16_does_not_hold_keep_the_quantised_part() -> None:
    text = HEADER.replace('"": 17', '"": 19') + AROUND_QUANTISED.replace("OP", "Relu").replace("{0.1}", "{0.00001}")
    kept = convert(text.removeprefix(HEADER) if text.startswith(HEADER) else onnx.parser.parse_model(text)).kept
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op for node in kept}


def recurrent(op: str, *given: str) -> onnx.ModelProto:
    """A layer whose optional inputs in `given` are known at run time alone."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    shapes = {"x": [3, 2, 4], "w": [1, gates * 4, 4], "r": [1, gates * 4, 4], "b": [1, gates * 8], "lens": [2]}
    shapes |= {"h": [1, 2, 4], "c": [1, 2, 4], "p": [1, 12]}
    names = [name if name in ("x", "w", "r", *given) else "" for name in list(shapes)[: 8 if op == "LSTM" else 6]]
    inputs = [name for name in names if name and name not in ("w", "r")]
    rng = np.random.default_rng(0)
    graph = helper.make_graph(
        [helper.make_node(op, names, ["", "y"], "layer", hidden_size=4), helper.make_node("MatMul", ["y", "k"], ["z"])],
        "g",
        [helper.make_tensor_value_info(name, 6 if name == "lens" else FLOAT, shapes[name]) for name in inputs],
        [helper.make_tensor_value_info("z", FLOAT, [1, 2, 4])],
        [numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
         for name, shape in (("w", shapes["w"]), ("r", shapes["r"]), ("k", [4, 4]))],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_that_tensorrt_has_in_fp32_alone(op: str) -> None:
    for given, reason in ((["lens"], "sequence lengths"), (["p"], "peepholes"), (["b", "h", "c"], "")):
        if op != "LSTM" and given == ["p"]:
            continue
        kept = convert(recurrent(op, *given)).kept
        assert [node.address for node in kept] == (["layer"] if reason else [])
        assert not kept or reason in kept[0].reason


def test_ops_whose_types_do_not_take_16_bits() -> None:
    body = (
        "h = Unsqueeze(a, axis) o = OneHot(a, depth, values) m = ReduceMax<axes = [2], keepdims = 0>(o) b = Add(a, m)"
    )
    constants = "int64[1] axis = {0}, float depth = {5}, float[2] values = {0, 1}"
    feeds = [{"x": np.full((2, 4), 0.1, np.float32)}]
    assert between(body, constants, precision="bf16").reason("OneHot") == "ONNX has none in bf16"
    assert "OneHot" not in between(body, constants, feeds=feeds).kept_ops
    bits = """<ir_version: 13, opset_import: ["": 26]> g (float[2,4] x) => (float[2,4] y)
        <float[4,4] w = {1,2,3,4, 4,3,2,1, 1,2,3,4, 4,3,2,1}> {
        a = MatMul(x, w) i = BitCast<to = 6>(a) f = BitCast<to = 1>(i) y = MatMul(f, w) }"""
    for precision in ("fp16", "bf16"):
        graph = FloatGraph(onnx.parser.parse_model(bits), Path())
        reasons = reasons_by_op(graph, FP16 if precision == "fp16" else BF16)
        assert [(graph.nodes[index].op_type, reasons[index].text.split(":")[0]) for index in sorted(reasons)] == [
            ("BitCast", "it reinterprets bits"),
            ("BitCast", "its floats are fp32 by definition"),
        ]


def test_what_lies_below_the_range_of_fp16_stays() -> None:
    feeds = [{"x": np.full((2, 4), 1e-3, np.float32)}]
    constants = "float small = {1e-4}, float tenth = {0.1}"
    converted = between("c = Mul(a, small) d = Neg(c) b = Div(d, small)", constants, feeds=feeds)
    kept = {node.address: node.reason for node in converted.kept}
    assert kept.keys() == {"Mul(c)", "Neg(d)", "Div(b)"}
    assert kept["Mul(c)"] == "c reaches only 1e-06, fp16 loses digits below 6.1e-05"
    text = f"{INPUT}<{W}, float[4,4] v = {{VALUES}}> {{ a = MatMul(x, w) y = MatMul(a, v) }}"
    output = convert(text.replace("VALUES", ",".join(["1e-4"] * 16)), feeds=feeds)
    assert [node.reason.split(",")[0] for node in output.kept] == ["y reaches only 4e-06"]
    weights = text.replace("VALUES", ",".join(["1e-6"] * 16))
    assert "v reaches only 1e-06" in convert(weights, feeds=[{"x": np.full((2, 4), 1e3, np.float32)}]).reason("MatMul")
    assert not between("c = Mul(a, zero) b = Add(a, c)", "float zero = {0}", feeds=feeds).kept, "0 is 0 in fp16"


def test_a_model_in_fp16_stays_as_it_is() -> None:
    text = """(float16[2,4] x) => (float16[2,4] y) <float16[4,4] w = {1,2,3,4, 4,3,2,1, 1,2,3,4, 4,3,2,1}> {
        a = MatMul(x, w) f = Cast<to = 1>(a) e = Exp(f) h = Cast<to = 10>(e) y = MatMul(h, w) }"""
    converted = convert(text)
    assert converted.model == converted.original
    assert not converted.kept
    as_fp32 = convert(text, io_types={"*": "fp32"})
    assert [
        value.type.tensor_type.elem_type for value in (*as_fp32.model.graph.input, *as_fp32.model.graph.output)
    ] == [1, 1]
    with pytest.raises(ModelError, match="in another 16-bit type already"):
        convert(text, "bf16")


def test_a_precision_that_cannot_be_given_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"nothing of it can be fp16: rounding its argument"):
        convert("(float[2] x) => (float[2] y) { y = Exp(x) }")
    with pytest.raises(ModelError, match=r"it has no float32 tensors"):
        convert("(int64[2] x) => (int64[2] y) { y = Add(x, x) }")


def test_custom_ops() -> None:
    text = """(float[1,4,8] x) => (float[1,4,8] y) <float[4,4,1] k, float[4] s = {1, 2, 3, 4}> {
        c = Conv(x, k) p = trtconv.ReflectPad<pads = [0,0,1,0,0,1]>(c)
        n = trtconv.InstanceNorm<epsilon = 1e-5>(p, s, s) d = my.Op(n) b = Relu(d) y = Conv(b, k) }"""
    model = onnx.parser.parse_model(HEADER + text.replace(" k,", " k = {" + ",".join(["0.5"] * 16) + "},"))
    model.graph.value_info.append(helper.make_tensor_value_info("d", FLOAT, [1, 4, 10]))
    converted = convert(model, "bf16")
    assert [(node.op, node.reason) for node in converted.kept] == [
        ("Op", "a custom op of my: the types that it takes are unknown")
    ]
    assert {t.name: t.data_type for t in converted.model.graph.initializer} == {"k": BF16, "s": BF16}


def test_a_native_norm_of_large_values_stays_in_fp16_alone() -> None:
    body = "i = Unsqueeze(a, axis) n = InstanceNormalization(i, s, s) b = Squeeze(n, axis)"
    constants = "int64[1] axis = {0}, float[2] s = {1, 2}"
    for value, is_kept in ((1.0, False), (60.0, True)):
        feeds = [{"x": np.array([[value, 0, 0, 0], [0, value, 0, 0]], np.float32)}]
        assert ("InstanceNormalization" in between(body, constants, feeds=feeds).kept_ops) == is_kept
        assert not between(body, constants, feeds=feeds, precision="bf16").kept


def test_external_weights_are_converted_or_cast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx.parser.parse_model(
        HEADER + f"{INPUT}<{W}, {W.replace('w', 'v')}> {{ a = MatMul(x, w) y = MatMul(a, v) }}"
    )
    for tensor in model.graph.initializer:  # only raw data can be external
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="data", size_threshold=0)
    light = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    tensors = convert(light, folder=tmp_path).model.graph.initializer
    assert [(t.data_type, t.data_location) for t in tensors] == [(FP16, TensorProto.DEFAULT)] * 2
    monkeypatch.setattr(type_conversion, "_MAX_EMBEDDED_BYTES", 40)
    converted = convert_precision(light, tmp_path / "model.onnx", PrecisionOptions("fp16"))
    locations = [t.data_location for t in converted.proto.graph.initializer]
    assert sorted(locations) == [TensorProto.DEFAULT, TensorProto.EXTERNAL]
    assert sum(node.op_type == "Cast" for node in converted.proto.graph.node) == 3


def test_ops_that_do_not_exist_in_bf16() -> None:
    text = """(float[1,4,8] x) => (float[1,4,n] y) <float[4,4,2] k> { c = Conv(x, k) y = ConvTranspose(c, k) }"""
    model = onnx.parser.parse_model(HEADER + text.replace(" k>", " k = {" + ",".join(["0.5"] * 32) + "}>"))
    assert [node.op for node in convert(model, "bf16").kept] == ["ConvTranspose"]
    assert not convert(model, "fp16").kept


def test_a_mask_of_the_lowest_float32_stays_finite_in_bf16() -> None:
    """-inf where a whole row is masked would make NaN of its Softmax."""
    lowest = float(np.finfo(np.float32).min)
    model = onnx.parser.parse_model(
        HEADER + f"{INPUT}<{W}> {{ [first] a = MatMul(x, w) m = Add(a, mask) b = Softmax(m) y = MatMul(b, w) }}"
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array([lowest, np.inf, -np.inf, 1], np.float32), "mask"))
    converted = convert(model, "bf16")
    (mask,) = [tensor for tensor in converted.model.graph.initializer if tensor.name == "mask"]
    values = numpy_helper.to_array(mask).astype(np.float32)
    assert values.tolist() == [pytest.approx(-3.39e38, rel=1e-3), np.inf, -np.inf, 1]
