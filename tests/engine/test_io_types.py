"""The types of an engine's inputs and outputs: those of the model, those asked for, or float32 in place of float64."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
import pytest

from tests.support.rtx import rtx_build
from trtconv import BuildConfig, dry_run
from trtconv.config import Precision
from trtconv.engine.building import Plan
from trtconv.engine.inspector_json import EngineInformation, Layer, LayerTensor
from trtconv.engine.io_types import engine_types, notes_on_types
from trtconv.engine.live_engine import EngineTensor, LiveEngine
from trtconv.engine.precision_check import require_precision
from trtconv.errors import BackendError
from trtconv.manifest import IoTensor

W = "float[4,4] w = {1,2,3,4, 4,3,2,1, 1,2,3,4, 4,3,2,1}"
ALL = f"""<ir_version: 8, opset_import: ["" : 17]>
g (float[2,4] x, double scale, int64[2] a, int32[2] b, bool[2] c, uint8[2,4] d, float16[2] e, int8[2] f)
    => (double[2,4] y, int64[2] p, int32[2] q, bool[2] r, uint8[2,4] s, float16[2] t, int8[2] u) <{W}> {{
  m = MatMul(x, w) k = Cast<to = 1>(scale) n = Mul(m, k) z = Cast<to = 1>(d) v = Add(n, z) y = Cast<to = 11>(v)
  p = Add(a, a) q = Add(b, b) r = Not(c) s = Cast<to = 2>(v) t = Add(e, e) u = Identity(f)
}}"""
IN_MODEL = {
    "x": "float32", "scale": "float64", "a": "int64", "b": "int32", "c": "bool", "d": "uint8", "e": "float16",
    "f": "int8", "y": "float64", "p": "int64", "q": "int32", "r": "bool", "s": "uint8", "t": "float16", "u": "int8",
}  # fmt: skip
IN_ENGINE = IN_MODEL | {"scale": "float32", "y": "float32"}
NOTE = "scale, y: float64 in the model, float32 in the engine, because TensorRT has no float64"


@pytest.fixture
def proto() -> onnx.ModelProto:
    return onnx.parser.parse_model(ALL)


@pytest.fixture
def model(proto: onnx.ModelProto, tmp_path: Path) -> Path:
    onnx.save(proto, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("precision", [None, "fp16", "bf16"])
def test_an_engine_has_the_types_of_its_model_and_a_note_says_which_it_has_not(
    model: Path, precision: Precision | None
) -> None:
    report = rtx_build(model, precision=precision)
    assert {each.name: each.dtype for each in (*report.manifest.inputs, *report.manifest.outputs)} == IN_ENGINE
    assert report.notes.count(NOTE) == 1
    assert f"note       {NOTE}" in report.render(width=200)
    told = dry_run(model, BuildConfig(backend="tensorrt-rtx", precision=precision))
    assert told.notes.count(NOTE) == 1


@pytest.mark.parametrize(
    ("asked", "changed", "note"),
    [
        ({"scale": "fp16", "y": "fp32"}, {"scale": "float16", "y": "float32"}, None),
        ({"*": "fp32"}, {"e": "float32", "t": "float32"}, None),
        ({"*": "bf16", "y": "keep"}, dict.fromkeys(("x", "scale", "e", "t"), "bfloat16"), NOTE.replace("scale, ", "")),
    ],
)
def test_types_that_are_asked_for_are_those_of_the_engine(
    model: Path, asked: Mapping[str, str], changed: Mapping[str, str], note: str | None
) -> None:
    report = rtx_build(model, precision="fp16" if "bf16" not in asked.values() else "bf16", io_types=asked)
    types = {each.name: each.dtype for each in (*report.manifest.inputs, *report.manifest.outputs)}
    assert types == IN_ENGINE | changed
    assert [each for each in report.notes if "in the engine" in each] == ([note] if note else [])


def test_an_initializer_among_the_inputs_is_not_one_of_an_engine(proto: onnx.ModelProto) -> None:
    proto.graph.input.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [4, 4]))
    assert engine_types(proto) == IN_ENGINE


def test_a_note_names_the_first_of_many() -> None:
    inputs = ", ".join(f"double[1] x{index}" for index in range(20))
    text = f'<ir_version: 8, opset_import: ["" : 17]> g ({inputs}) => (double[1] y) {{ y = Neg(x0) }}'
    (note,) = notes_on_types(onnx.parser.parse_model(text))
    assert note.startswith("x0, x1, x2, x3, x4, x5, x6, x7, ...: float64 in the model")


# What is read back. ---------------------------------------------------------------------------------------------------


def plan_of(types: Mapping[str, str], computes_in: str = "HALF") -> Plan:
    tensors = [IoTensor(name, dtype, ()) for name, dtype in types.items()]
    return Plan(memoryview(b""), tensors[:8], tensors[8:], None, ["FLOAT", computes_in])


def live_of(types: Mapping[str, str], computes_in: str = "float16") -> LiveEngine:
    tensors = [EngineTensor(name, "input", dtype, ()) for name, dtype in types.items()]
    layers = [Layer("product", outputs=[LayerTensor("m", dtype=computes_in)])]
    return LiveEngine(tensors, 1, 0, EngineInformation(layers, list(types)))


def test_the_types_that_an_engine_has_to_have_are_accepted(proto: onnx.ModelProto) -> None:
    require_precision("fp16", plan_of(IN_ENGINE), None, proto)
    require_precision("fp16", plan_of(IN_ENGINE), live_of(IN_ENGINE), proto)


@pytest.mark.parametrize(
    ("name", "dtype"), [("x", "float16"), ("y", "float16"), ("scale", "float64"), ("a", "int32"), ("e", "float32")]
)
def test_a_type_that_nobody_asked_for_is_an_error(proto: onnx.ModelProto, name: str, dtype: str) -> None:
    wrong = IN_ENGINE | {name: dtype}
    message = f"asked for {name} in {IN_ENGINE[name]}, but the engine has it in {dtype}"
    with pytest.raises(BackendError, match=message):
        require_precision("fp16", plan_of(wrong), None, proto)
    with pytest.raises(BackendError, match=message):
        require_precision("fp16", plan_of(IN_ENGINE), live_of(wrong), proto)


def test_a_precision_that_nothing_computes_in_is_an_error(proto: onnx.ModelProto) -> None:
    with pytest.raises(BackendError, match="asked for bf16, but TensorRT's network has only FLOAT, HALF"):
        require_precision("bf16", plan_of(IN_ENGINE), None, proto)
    with pytest.raises(BackendError, match="asked for fp16, but the engine's layers have only float32"):
        require_precision("fp16", plan_of(IN_ENGINE), live_of(IN_ENGINE, "float32"), proto)
