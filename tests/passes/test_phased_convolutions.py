"""Convolutions written as their phases: every size, stride and pad against ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.support.convolutions import PLAIN, make_model, random_weights
from tests.support.equivalence import assert_close, rewrite, run_onnxruntime, seeded_inputs
from tests.support.extent import num_examples
from trtconv.decisions import REWRITTEN
from trtconv.passes.convolutions import Convolution
from trtconv.passes.rewrite_thin_convolution import choose_factors

SHORT = settings(max_examples=num_examples(60), deadline=None, derandomize=True)
Ints = list[int]


def finish(nodes: list[onnx.NodeProto], ending: str, channels: int, num_axes: int) -> dict[str, np.ndarray]:
    """Let a norm, an activation, a pad or nothing read c; return the constants that it needs."""
    if ending == "norm":
        nodes.append(helper.make_node("InstanceNormalization", ["c", "s", "s"], ["y"]))
        return {"s": np.arange(1, channels + 1, dtype=np.float32)}
    if ending == "pad":
        nodes.append(helper.make_node("Pad", ["c", "edges"], ["y"], mode="reflect"))
        pads = [0, 0, *[1] * num_axes, 0, 0, *[0] * num_axes]
        return {"edges": np.array(pads, np.int64)}
    nodes.append(helper.make_node({"activation": "Relu", "none": "Neg"}[ending], ["c"], ["y"]))
    return {}


def check(model: onnx.ModelProto, feeds: Mapping[str, Any] | None = None, is_rewritten: bool | None = True) -> None:
    """Hold the rewritten model against the original, and a second rewrite against the first."""
    with tempfile.TemporaryDirectory() as folder:
        made = rewrite(model, Path(folder), ops="rewritten")
        again = rewrite(made.proto, Path(folder), ops="rewritten")
    onnx.checker.check_model(made.proto, full_check=True)
    assert again.num_edits == 0
    if is_rewritten is not None:
        assert any(each.became == REWRITTEN for each in made.decisions) == is_rewritten, made.reasons
    feeds = seeded_inputs(model) if feeds is None else feeds
    assert_close(run_onnxruntime(made.proto, feeds), run_onnxruntime(model, feeds))


ENDINGS = st.sampled_from(["norm", "pad", "activation", "none"])


@st.composite
def upsampled(draw: st.DrawFn) -> tuple[onnx.ModelProto, dict[str, Any], bool | None]:
    """A nearest upsampling, a pad of any mode or none, and a convolution; whether it has to be rewritten.

    Where sizes are known, what stays may be rewritten as a thin convolution.
    """
    num_axes = draw(st.integers(1, 3))

    def each(low: int, high: int) -> Ints:
        return draw(st.lists(st.integers(low, high), min_size=num_axes, max_size=num_axes))

    sizes, factors, kernel, dilations = each(2, 4), each(1, 4), each(1, 4), each(1, 2)
    reach = [(size - 1) * dilation for size, dilation in zip(kernel, dilations, strict=True)]
    sizes = [max(size, taken + 1) for size, taken in zip(sizes, reach, strict=True)]
    mode = draw(st.sampled_from(["none", "constant", "edge", "reflect"]))
    begins, ends = (
        [min(pad, size * factor - 1) for pad, size, factor in zip(each(0, 3), sizes, factors, strict=True)]
        for _ in range(2)
    )
    own = [0] * (2 * num_axes) if mode in ("edge", "reflect") else [*each(0, 2), *each(0, 2)]
    channels, nodes = 2, [helper.make_node("Resize", ["x", "", "f"], ["u"], mode="nearest", **PLAIN)]
    constants = {"f": np.array([1, 1, *factors], np.float32), "w": random_weights(channels, 3, *kernel)}
    last = "u"
    if mode != "none":
        nodes.append(helper.make_node("Pad", ["u", "p"], ["q"], mode=mode))
        constants["p"] = np.array([0, 0, *begins, 0, 0, *ends], np.int64)
        last = "q"
    inputs = [last, "w"]
    if draw(st.booleans()):
        inputs, constants["b"] = [*inputs, "b"], random_weights(channels)
    nodes.append(helper.make_node("Conv", inputs, ["c"], pads=own, dilations=dilations))
    padded = [size * factor for size, factor in zip(sizes, factors, strict=True)]
    if mode != "none":
        padded = [size + begin + end for size, begin, end in zip(padded, begins, ends, strict=True)]
    outputs = [padded[axis] + own[axis] + own[axis + num_axes] - reach[axis] for axis in range(num_axes)]
    ending = draw(ENDINGS)
    if min(outputs) == 1 and ending == "pad":  # which a reflect pad of 1 does not fit
        ending = "none"
    constants |= finish(nodes, ending, channels, num_axes)
    widest = [max(pair) for pair in zip(begins, ends, strict=True)]
    fits = mode != "reflect" or all(pad < factor or not pad for pad, factor in zip(widest, factors, strict=True))
    moves = any(factor > 1 and size > 1 for factor, size in zip(factors, kernel, strict=True))
    feeds = {"x": random_weights(2, 3, *sizes)}
    is_open = draw(st.booleans())
    shape = ["N", 3, *(f"d{axis}" for axis in range(num_axes))] if is_open else [2, 3, *sizes]
    return make_model(nodes, constants, shape), feeds, fits and moves if is_open else None


@SHORT
@given(upsampled())
def test_any_upsampled_convolution_keeps_its_numbers(case: tuple[onnx.ModelProto, dict[str, Any], bool | None]) -> None:
    check(*case)


@st.composite
def transposed(draw: st.DrawFn) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """A transposed convolution of some stride, and a custom op after it."""
    num_axes = draw(st.integers(1, 3))

    def each(low: int, high: int) -> Ints:
        return draw(st.lists(st.integers(low, high), min_size=num_axes, max_size=num_axes))

    sizes, strides, kernel, dilations = each(2, 4), each(1, 4), each(1, 5), each(1, 2)
    strides[0] = max(strides[0], 2)
    output_padding = [draw(st.integers(0, stride - 1)) for stride in strides]
    whole = [
        stride * (size - 1) + (k - 1) * dilation + 1 + more
        for stride, size, k, dilation, more in zip(strides, sizes, kernel, dilations, output_padding, strict=True)
    ]
    begins = [draw(st.integers(0, min(3, (size - 2) // 2))) for size in whole]
    ends = [draw(st.integers(0, min(3, (size - 2) // 2))) for size in whole]
    nodes = [
        helper.make_node(
            "ConvTranspose",
            ["x", "w", "b"],
            ["c"],
            strides=strides,
            dilations=dilations,
            pads=[*begins, *ends],
            output_padding=output_padding,
        )
    ]
    constants = {"w": random_weights(3, 2, *kernel), "b": random_weights(2)}
    constants |= finish(nodes, draw(st.sampled_from(["norm", "pad"])), 2, num_axes)
    shape = ["N", 3, *(f"d{axis}" for axis in range(num_axes))] if draw(st.booleans()) else [2, 3, *sizes]
    return make_model(nodes, constants, shape), {"x": random_weights(2, 3, *sizes)}


@SHORT
@given(transposed())
def test_any_transposed_convolution_keeps_its_numbers(case: tuple[onnx.ModelProto, dict[str, Any]]) -> None:
    check(*case)


@st.composite
def thin(draw: st.DrawFn) -> onnx.ModelProto:
    """A convolution of few output channels, of any stride, that may or may not be rewritten."""
    num_axes = draw(st.integers(1, 3))

    def each(low: int, high: int) -> Ints:
        return draw(st.lists(st.integers(low, high), min_size=num_axes, max_size=num_axes))

    kernel, strides, begins, ends = each(1, 5), each(1, 3), each(0, 2), each(0, 2)
    sizes = [draw(st.integers(max(size, 2), 9)) + 2 * stride for size, stride in zip(kernel, strides, strict=True)]
    channels = draw(st.integers(1, 5))
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], strides=strides, pads=[*begins, *ends])]
    constants = {"w": random_weights(channels, 2, *kernel)}
    constants |= finish(nodes, draw(ENDINGS), channels, num_axes)
    return make_model(nodes, constants, [2, 2, *sizes])


@SHORT
@given(thin())
def test_any_thin_convolution_keeps_its_numbers(model: onnx.ModelProto) -> None:
    check(model, is_rewritten=None)


def convolution(out_channels: int, kernel: Sequence[int]) -> Convolution:
    zeros, ones = [0] * len(kernel), [1] * len(kernel)
    return Convolution(gs.Node("Conv"), 32, out_channels, kernel, ones, ones, zeros, zeros, zeros)


@pytest.mark.parametrize(
    ("out_channels", "kernel", "factors"),
    [
        (3, [9, 9], (4, 4)),  # each the fastest of the forms that were measured
        (3, [7, 7], (4, 4)),
        (32, [3, 3, 3], (1, 1, 2)),
        (3, [1, 1], (1, 1)),
        (64, [3, 3], (1, 1)),
    ],
    ids=str,
)
def test_factors_of_the_fastest_measured_form(out_channels: int, kernel: Ints, factors: tuple[int, ...]) -> None:
    assert choose_factors(convolution(out_channels, kernel), [True] * len(kernel)) == factors


def test_only_axes_of_known_sizes_get_a_factor() -> None:
    assert choose_factors(convolution(3, [9, 9]), [False, True]) == (1, 4)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("pad", [1, 2, 3, 4])
def test_a_reflect_pad_is_an_edge_pad_before_the_upsampling_exactly_below_the_factor(factor: int, pad: int) -> None:
    """Position -n of the upsampled tensor reflects element n // factor, position -ceil(n / factor) of the edge is 0."""
    is_same = all((n // factor) == max(-(-n // factor) - 1, 0) == 0 for n in range(1, pad + 1))
    assert is_same == (pad < factor)
