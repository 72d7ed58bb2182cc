"""The table of element types agrees with ONNX, numpy, TensorRT and the plugin library."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from trtconv import element_types
from trtconv.element_types import BY_ENGINE_WORD, BY_ONNX, BY_TENSORRT, ELEMENT_TYPES, ElementType

HEADER = Path(__file__).parents[1] / "plugins_cuda" / "trtconv_kernels.h"
LONG_NAMES = {"float": "float32", "double": "float64"}


def test_every_type_of_onnx_has_its_row() -> None:
    names = {number: name.lower() for name, number in TensorProto.DataType.items() if name != "UNDEFINED"}
    missing = names.keys() - BY_ONNX.keys()
    assert missing == set()
    assert {number: BY_ONNX[number].name for number in names} == {
        number: LONG_NAMES.get(name, name) for number, name in names.items()
    }


@pytest.mark.parametrize("column", ["onnx", "name", "short", "tensorrt_name", "array", "kernel"])
def test_nothing_is_written_twice(column: str) -> None:
    given = [value for each in ELEMENT_TYPES if (value := getattr(each, column)) is not None]
    assert len(set(given)) == len(given)
    assert sum(len(each.engine_words) + 1 for each in BY_TENSORRT.values()) == len(BY_ENGINE_WORD)


@pytest.mark.parametrize("each", [each for each in ELEMENT_TYPES if each.array], ids=lambda each: each.name)
def test_dtypes_are_those_of_onnx(each: ElementType) -> None:
    assert each.dtype == helper.tensor_dtype_to_np_dtype(each.onnx)
    assert each.dtype.name == each.name
    assert each.dtype.itemsize * 8 == each.bits
    assert element_types.of_dtype(each.dtype) is each


def test_a_type_without_arrays_says_so() -> None:
    with pytest.raises(TypeError, match="no numpy dtype for int4"):
        _ = BY_TENSORRT["INT4"].dtype
    with pytest.raises(KeyError):
        element_types.of_dtype(np.dtype(object))


def test_sizes_are_rounded_up_to_bytes() -> None:
    assert [BY_TENSORRT[name].num_bytes(3) for name in ("INT4", "BOOL", "FLOAT")] == [2, 3, 12]
    assert element_types.name_of(TensorProto.STRING) == "string"
    assert element_types.name_of(999) == "element type 999"


@pytest.mark.parametrize(
    "module",
    [pytest.param(name, marks=pytest.mark.skipif(find_spec(name) is None, reason="not installed"))
     for name in ("tensorrt_rtx", "tensorrt")],
)  # fmt: skip
def test_every_type_of_tensorrt_has_its_row(module: str) -> None:
    names = {name for name in dir(importlib.import_module(module).DataType) if name.isupper()}
    assert names <= BY_TENSORRT.keys()
    assert {name.lower() for name in names} <= BY_ENGINE_WORD.keys()


@pytest.mark.parametrize("each", ELEMENT_TYPES, ids=lambda each: each.name)
def test_the_parser_takes_each_type_as_the_table_says(each: ElementType) -> None:
    """Inputs and outputs have the type of the table in TensorRT's network, or the parser refuses the model."""
    trt = pytest.importorskip("tensorrt_rtx")
    if each.onnx not in TensorProto.DataType.values():
        pytest.skip("this onnx does not know the type")
    nodes = [
        helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["x_as_float"], ["z"], to=each.onnx),
    ]
    types = {"x": each.onnx, "x_as_float": TensorProto.FLOAT, "y": TensorProto.FLOAT, "z": each.onnx}
    values = {name: helper.make_tensor_value_info(name, elem_type, [2]) for name, elem_type in types.items()}
    graph = helper.make_graph(nodes, "g", [values["x"], values["x_as_float"]], [values["y"], values["z"]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    network = trt.Builder(logger).create_network(0)
    if not trt.OnnxParser(network, logger).parse(model.SerializeToString()):
        assert each.parsed_as is None
        return
    assert network.get_input(0).dtype.name == each.in_engine.tensorrt_name
    assert network.get_output(1).dtype.name == each.in_engine.tensorrt_name


def test_kernels_know_the_types_by_these_numbers() -> None:
    written = re.findall(r"#define TRTCONV_(B?FLOAT\d+) (\d+)", HEADER.read_text())
    assert {each.name: each.kernel for each in ELEMENT_TYPES if each.kernel is not None} == {
        name.lower(): int(number) for name, number in written
    }


def test_the_table_costs_nothing_to_import() -> None:
    program = "import sys, trtconv.element_types; assert not {'onnx', 'numpy', 'ml_dtypes'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
