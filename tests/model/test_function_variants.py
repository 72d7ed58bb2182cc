"""The functions that give the custom ops their meaning: every variant in ONNX Runtime against the float64 reference."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.support.equivalence import assert_close, run_onnxruntime, run_with_references
from tests.support.extent import num_examples
from trtconv.model import functions
from trtconv.ops import CUSTOM_OPS, activations, input_map
from trtconv.ops.custom_op import DOMAIN, VERSION, Operand, attributes_for
from trtconv.ops.reflect_pad import reflect_pad_reference

OPSETS = (7, 8, 9, 10, 11, 12, 13, 17, 18, 21, 28)
SHORT = settings(max_examples=num_examples(120), deadline=None, derandomize=True)
RNG = np.random.default_rng(5)


def call_model(op: str, opset: int, attributes: dict[str, Any], inputs: dict[str, Any]) -> onnx.ModelProto:
    """Return a model of one node, its function attached."""
    node = helper.make_node(op, list(inputs), ["y"], domain=DOMAIN, **attributes)
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in inputs.items()
    ]
    dims = CUSTOM_OPS[op].output_dims(next(iter(inputs.values())).shape, attributes)
    y = helper.make_tensor_value_info("y", attributes.get("to") or values[0].type.tensor_type.elem_type, dims)
    graph = helper.make_graph([node], "g", values, [y])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, VERSION)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    functions.attach_functions(model)
    return model


def norm_model(
    opset: int,
    shape: Sequence[int],
    *,
    by_image: bool = False,
    has_residual: bool = False,
    dtype: Any = np.float32,
    **attributes: Any,
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Return a model of one InstanceNorm and what to feed it."""
    op = CUSTOM_OPS["InstanceNorm"]
    written = attributes_for(op, {"epsilon": 1e-3, **attributes}, opset)
    given = list(shape)
    shape = input_map.dims_in_place(given, written["phases"], written["crop"])
    channels = list(shape[:2]) if by_image else [shape[1]]
    dims = {"x": given, "scale": channels, "bias": channels}
    if has_residual:
        pads = written["residual_pads"] * (2 * (len(shape) - 2) if len(written["residual_pads"]) == 1 else 1)
        half = len(pads) // 2
        dims["residual"] = [*shape[:2], *(size + pads[i] + pads[half + i] for i, size in enumerate(shape[2:]))]
    if written["activation"] == "prelu":
        dims["slope"] = [shape[1]]
    rng = np.random.default_rng(len(dims))  # the same whatever ran before
    feeds = {name: (2 * rng.standard_normal(size)).astype(dtype) for name, size in dims.items()}
    feeds["bias"] += dtype(2)  # an activation that leaves next to nothing would show rounding alone
    return call_model("InstanceNorm", opset, written, feeds), feeds


def check(model: onnx.ModelProto, feeds: dict[str, Any]) -> None:
    onnx.checker.check_model(model, full_check=True)
    assert_close(run_onnxruntime(model, feeds), run_with_references(model, feeds))


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("activation", activations.ACTIVATIONS)
def test_every_activation_with_and_without_a_residual(activation: str, opset: int) -> None:
    alpha = {"alpha": 0.3} if activation in activations.WITH_ALPHA else {}
    for has_residual in (False, True):
        check(*norm_model(opset, [2, 3, 4, 5], has_residual=has_residual, activation=activation, **alpha))


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("groups", [0, 1, 2, 6])
def test_groups_and_parameters_of_each_image(groups: int, opset: int) -> None:
    for by_image, shape in itertools.product((False, True), ([2, 6, 9], [3, 6, 2, 3, 4])):
        check(*norm_model(opset, shape, by_image=by_image, groups=groups))


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("pad_mode", ["reflect", "edge", "zero"])
def test_maps(pad_mode: str, opset: int) -> None:
    upsample = {"upsample": [1, 2], "pads": [1, 0, 2, 3]}
    check(*norm_model(opset, [1, 2, 4, 5], activation="relu", pad_mode=pad_mode, **upsample))
    check(*norm_model(opset, [1, 2, 4, 5], pad_mode=pad_mode, pads=[2], upsample=[3], to=TensorProto.FLOAT16))
    inside = {"residual_pads": [1, 0, 2, 3]}
    check(*norm_model(opset, [1, 2, 4, 5], has_residual=True, pad_mode=pad_mode, pads=[1], **inside))


@pytest.mark.parametrize("opset", OPSETS)
def test_pads_with_all_that_they_take(opset: int) -> None:
    op = CUSTOM_OPS["ReflectPad"]
    x = RNG.standard_normal([1, 2, 4, 5]).astype(np.float32)
    pads = [0, 0, 1, 2, 0, 0, 3, 0]
    for activation, pad_mode in itertools.product(("none", "relu", "elu", "silu"), ("reflect", "edge", "zero")):
        alpha = 0.5 if activation == "elu" else 0.0
        values = {"pads": pads, "activation": activation, "alpha": alpha, "pad_mode": pad_mode}
        for others in ({}, {"upsample": [1, 1, 2, 1]}, {"to": int(TensorProto.FLOAT16)}):
            attributes = attributes_for(op, {**values, **others}, opset)
            check(call_model("ReflectPad", opset, attributes, {"x": x}), {"x": x})


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(
    ("phases", "crop"), [([2, 2], [0]), ([3], [0, 2]), ([1, 4], [0, 3]), ([2, 3], [1, 1])], ids=str
)
def test_phases_before_all_else(phases: list[int], crop: list[int], opset: int) -> None:
    num_phases = math.prod(phases * (2 if len(phases) == 1 else 1))
    placed = {"phases": phases, "crop": crop, "upsample": [1, 2], "pads": [1, 0, 0, 2], "pad_mode": "reflect"}
    shape = [2, 2 * num_phases, 4, 3]
    check(*norm_model(opset, shape, phases=phases, crop=crop))
    check(*norm_model(opset, shape, has_residual=True, residual_pads=[1], activation="prelu", **placed))
    check(*norm_model(opset, shape, groups=1, by_image=True, activation="silu", **placed))
    every = {"phases": [1, 1, *phases * (2 // len(phases))], "crop": [0, 0, *crop * (2 // len(crop))]}
    pads = {"pads": [0, 0, 1, 0, 0, 0, 2, 0], "upsample": [1, 1, 2, 1], "activation": "relu", "pad_mode": "edge"}
    x = RNG.standard_normal(shape).astype(np.float32)
    for others in ({"pads": [0] * 8}, pads):
        attributes = attributes_for(CUSTOM_OPS["ReflectPad"], {**others, **every}, opset)
        check(call_model("ReflectPad", opset, attributes, {"x": x}), {"x": x})


def test_equal_phases_are_those_of_depth_to_space() -> None:
    x = RNG.standard_normal([2, 8, 3, 5]).astype(np.float32)
    node = helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=2, mode="DCR")
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in (("x", x.shape), ("y", None))
    ]
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    (expected,) = run_onnxruntime(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), {"x": x})
    assert np.array_equal(reflect_pad_reference(x, [0] * 8, phases=[1, 1, 2, 2]), expected)


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        ({"phases": [1, 1, 2, 2]}, None),
        ({"phases": [1, 1, 2, 1], "crop": [0, 0, 1, 0]}, None),
        ({"phases": [2]}, "phases and crop must be 1 and 0 for the batch and the channels, got [2] and [0]"),
        ({"phases": [1, 1, 2, 1], "crop": [1]}, "phases and crop must be 1 and 0"),
        ({"phases": [1, 1, 2]}, "phases must be one value or 4 for x, got [1, 1, 2]"),
        ({"phases": [1, 1, 2, 1], "crop": [0, 0, 0, 1]}, "crop [0, 1] must be below the phases [2, 1]"),
        ({"phases": [1, 1, 3, 1]}, "the 3 phases do not divide the 4 channels"),
        ({"phases": [1, 1, 0, 1]}, "phases must be whole factors from 1"),
    ],
)
def test_phases_of_a_pad_that_fit(attributes: dict[str, Any], problem: str | None) -> None:
    x = Operand(TensorProto.FLOAT, [1, 4, 5, 6])
    found = CUSTOM_OPS["ReflectPad"].problem([x], {"pads": [0] * 8, **attributes})
    assert found is None if problem is None else problem in (found or "")


def test_bytes_moved_are_those_of_all_phases() -> None:
    norm, pad = CUSTOM_OPS["InstanceNorm"], CUSTOM_OPS["ReflectPad"]
    dims, placed, phased = [1, 8, 3, 5], 2 * 5 * 9, {"phases": [2, 2], "crop": [1, 1]}
    assert norm.output_dims(dims, phased) == [1, 2, 5, 9]
    assert norm.bytes_moved(dims, 2, phased, ["X", "scale", "bias", "residual"]) == 2 * (8 * 3 * 5 + 2 * placed)
    every = {"pads": [0] * 8, "phases": [1, 1, 2, 2], "crop": [0, 0, 1, 1]}
    assert pad.bytes_moved(dims, 2, every, ["X"]) == 2 * (8 * 3 * 5 + placed)


@st.composite
def norm_calls(draw: st.DrawFn) -> tuple[int, list[int], dict[str, Any]]:
    num_axes = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([0, 0, 1, 2, 4]))
    shape = [draw(st.integers(1, 2)), 4, *(draw(st.integers(2, 4)) for _ in range(num_axes)), draw(st.integers(4, 5))]
    num_axes += 1
    phases = draw(st.lists(st.integers(1, 3), min_size=num_axes, max_size=num_axes))
    crop = [draw(st.integers(0, factor - 1)) for factor in phases]
    shape[1] *= math.prod(phases)
    activation = draw(st.sampled_from(activations.ACTIVATIONS))
    has_residual = draw(st.booleans())
    residual_pads = draw(st.lists(st.integers(0, 2), min_size=2 * num_axes, max_size=2 * num_axes))
    attributes = {
        "groups": groups,
        "activation": activation,
        "alpha": draw(st.sampled_from([0.1, 1.5])) if activation in activations.WITH_ALPHA else 0.0,
        "upsample": draw(st.lists(st.integers(1, 2), min_size=num_axes, max_size=num_axes)),
        "pads": draw(st.lists(st.integers(0, 1), min_size=2 * num_axes, max_size=2 * num_axes)),
        "pad_mode": draw(st.sampled_from(["reflect", "edge", "zero"])),
        "residual_pads": residual_pads if has_residual and draw(st.booleans()) else [0],
        "to": draw(st.sampled_from([0, int(TensorProto.FLOAT16)])),
        "phases": phases,
        "crop": crop,
        "by_image": draw(st.booleans()),
        "has_residual": has_residual,
    }
    return draw(st.sampled_from(OPSETS)), shape, attributes


@SHORT
@given(norm_calls())
def test_any_combination(case: tuple[int, list[int], dict[str, Any]]) -> None:
    opset, shape, attributes = case
    check(*norm_model(opset, shape, **attributes))


def test_plain_nodes_have_a_function_without_overload() -> None:
    model, _ = norm_model(17, [1, 2, 3])
    assert [(each.name, each.overload) for each in model.functions] == [("InstanceNorm", "")]
    assert [node.op_type for node in model.functions[0].node] == ["InstanceNormalization"]
    assert model.ir_version == 8


def test_variants_are_told_apart_by_their_overload() -> None:
    relu, feeds = norm_model(17, [1, 2, 4], activation="relu")
    plain, _ = norm_model(17, [1, 2, 4])
    second = plain.graph.node[0]
    second.input[0], second.output[0] = "y", "z"
    relu.graph.node.append(second)
    relu.graph.output[0].name = "z"
    functions.attach_functions(relu)
    assert sorted(each.overload for each in relu.functions) == ["", "relu"]
    assert [node.overload for node in relu.graph.node] == ["relu", ""]
    assert relu.ir_version == 10
    check(relu, feeds)
    bare = functions.without_functions(relu)
    assert not bare.functions
    assert [node.overload for node in bare.graph.node] == ["", ""]
    assert [node.overload for node in relu.graph.node] == ["relu", ""]


def test_nodes_and_functions_of_the_first_version_stay_as_they_are() -> None:
    model = onnx.parser.parse_model("""
    <ir_version: 8, opset_import: ["" : 17, "trtconv" : 1]>
    g (float[1,2,8] x, float[2] s) => (float[1,2,10] y) {
      n = trtconv.InstanceNorm <epsilon = 1e-05, plugin_version = "1", plugin_namespace = "trtconv"> (x, s, s)
      y = trtconv.ReflectPad <pads = [0,0,1,0,0,1], plugin_version = "1", plugin_namespace = "trtconv"> (n)
    }
    <domain: "trtconv", opset_import: ["" : 17]>
    InstanceNorm <epsilon, plugin_version, plugin_namespace> (X, scale, bias) => (Y) {
      Y = InstanceNormalization <epsilon: float = @epsilon> (X, scale, bias)
    }
    """)
    before = model.functions[0].SerializeToString()
    functions.attach_functions(model)
    assert [each.name for each in model.functions] == ["InstanceNorm", "ReflectPad"]
    assert model.functions[0].SerializeToString() == before
    feeds = {"x": RNG.standard_normal([1, 2, 8]).astype(np.float32), "s": np.array([1.0, 2.0], np.float32)}
    check(model, feeds)

    new = attributes_for(CUSTOM_OPS["InstanceNorm"], {"epsilon": 1e-5}, 17)
    model.graph.node.insert(1, helper.make_node("InstanceNorm", ["n", "s", "s"], ["m"], domain=DOMAIN, **new))
    model.graph.node[2].input[0] = "m"
    functions.attach_functions(model)  # one function serves the old node and the new one
    assert sorted(each.name for each in model.functions) == ["InstanceNorm", "ReflectPad"]
    check(model, feeds)
