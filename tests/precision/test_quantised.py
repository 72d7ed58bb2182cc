"""Conversion to fp16 and bf16 around what is quantised."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.support.precision_cases import (
    AROUND_QUANTISED,
    BF16,
    FLOAT,
    FP16,
    HEADER,
    INPUT,
    QUANTISED,
    X,
    convert,
)
from tests.support.rounding import run
from trtconv.errors import ModelError


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
