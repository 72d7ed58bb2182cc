"""Conversion to fp16 and bf16: what stays fp32, where the Casts are, and that the graph stays what it was."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.support.precision_cases import (
    BF16,
    FLOAT,
    FP16,
    HEADER,
    INPUT,
    Converted,
    W,
    between,
    convert,
)
from trtconv.errors import ConfigError
from trtconv.io_types import parse_io_types
from trtconv.precision import PrecisionOptions


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
    with pytest.raises(ConfigError, match="z is not an input or output") as caught:
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
