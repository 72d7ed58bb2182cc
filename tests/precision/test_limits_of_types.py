"""Ops and values that 16 bits do not take, and models that are left as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from tests.support.precision_cases import (
    BF16,
    FLOAT,
    FP16,
    HEADER,
    IF,
    INPUT,
    W,
    X,
    between,
    convert,
)
from trtconv.errors import ConfigError, ModelError
from trtconv.inputs.made_inputs import input_specs
from trtconv.io_types import IoType
from trtconv.precision import PrecisionOptions, convert_precision, type_conversion
from trtconv.precision.float_graph import FloatGraph
from trtconv.precision.rules import reasons_by_op


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
    with pytest.raises(ModelError, match=r"it computes in float64") as caught:
        convert("(double[2] x) => (double[2] y) { y = Add(x, x) }")
    assert "export it in float32" in (caught.value.hint or "")


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_nodes_in_float64_are_told_with_those_that_stay(precision: str) -> None:
    converted = between("c = Cast<to = 11>(a) d = Mul(c, k) b = Cast<to = 1>(d)", "double k = {2}", precision=precision)
    assert [(node.op, node.reason) for node in converted.kept] == [
        ("Mul", "it computes in float64, which TensorRT has as float32")
    ]


@pytest.mark.parametrize("asked", ["fp32", "fp16", "keep"])
@pytest.mark.parametrize("names", [("s", "t"), ("*",)])
def test_inputs_and_outputs_in_float64_get_the_type_that_is_asked_for(asked: IoType, names: tuple[str, ...]) -> None:
    text = f"""(float[2,4] x, double s) => (float[2,4] y, double t) <{W}> {{
        a = MatMul(x, w) f = Cast<to = 1>(s) y = Mul(a, f) t = Add(s, s) }}"""
    feed = {"x": X, "s": np.array(0.5)}
    converted = convert(text, feeds=[feed], io_types=dict.fromkeys(names, asked))
    graph, wanted = converted.model.graph, {"fp32": FLOAT, "fp16": FP16, "keep": TensorProto.DOUBLE}[asked]
    assert [value.type.tensor_type.elem_type for value in (graph.input[1], graph.output[1])] == [wanted, wanted]
    given = {spec.name: feed[spec.name].astype(spec.dtype) for spec in input_specs(converted.model)}
    y, t = ReferenceEvaluator(converted.model).run(None, given)
    (expected, _) = ReferenceEvaluator(converted.original).run(None, feed)
    assert t == 1
    assert np.allclose(y, expected, atol=1e-2)


def test_inputs_that_are_not_floats_get_no_other_type() -> None:
    with pytest.raises(ConfigError, match="c is not a float tensor"):
        convert(IF, io_types={"c": "fp32"})


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
