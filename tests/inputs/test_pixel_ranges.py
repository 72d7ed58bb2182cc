"""What black and white are in a model's images, as its first and last operators show it."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from trtconv.inputs.images import ImageRange
from trtconv.inputs.pixel_ranges import BYTES, SIGNED, UNIT, guess_input, guess_output, range_of_values

HEADER = '<ir_version: 8, opset_import: ["": 17]> '


def graph_of(body: str, constants: str = "") -> onnx.GraphProto:
    text = f"{HEADER} g (float[1,3,4,4] x) => (float[1,3,4,4] y) <float one = {{1.0}}{constants}> {{ {body} }}"
    return onnx.parser.parse_model(text).graph


@pytest.mark.parametrize(
    ("body", "constants", "expected"),
    [
        ("a = Div(x, c) y = Relu(a)", ", float c = {255}", BYTES),
        ("a = Div(x, c) y = Relu(a)", ", float c = {127.5}", BYTES),
        ("a = Mul(c, x) y = Relu(a)", ", float c = {0.003921}", BYTES),
        ("a = Sub(x, c) y = Relu(a)", ", float[3] c = {123.7, 116.8, 103.9}", BYTES),
        ("t = Transpose(x) i = Identity(t) a = Sub(i, c) y = Relu(a)", ", float[3] c = {123.7, 116.8, 103.9}", BYTES),
        ("a = Sub(x, c) y = Relu(a)", ", float[3] c = {0.485, 0.456, 0.406}", UNIT),
        ("a = Mul(x, c) y = Sub(a, one)", ", float c = {2}", UNIT),
        ("c = Constant<value = float {255}>() a = Div(x, c) y = Relu(a)", "", BYTES),
        ("a = Relu(x) y = Div(a, c)", ", float c = {255}", None),
        ("a = Div(c, x) y = Relu(a)", ", float c = {0}", None),
        ("a = Div(x, c) b = Relu(x) y = Add(a, b)", ", float c = {255}", None),
        ("y = Add(x, x)", "", None),
    ],
)
def test_the_first_operator_shows_the_pixels_of_an_input(
    body: str, constants: str, expected: ImageRange | None
) -> None:
    guess = guess_input(graph_of(body, constants), "x")
    assert (guess and guess.range) == expected


@pytest.mark.parametrize(
    ("body", "constants", "expected"),
    [
        ("y = Tanh(x)", "", SIGNED),
        ("a = Tanh(x) b = Identity(a) y = Transpose(b)", "", SIGNED),
        ("y = Sigmoid(x)", "", UNIT),
        ("a = Sigmoid(x) y = Mul(a, c)", ", float c = {255}", BYTES),
        ("y = Clip(x, low, high)", ", float low = {0}, float high = {255}", BYTES),
        ("y = Clip(x, low, high)", ", float low = {0}, float high = {6}", None),
        ("y = Conv(x, w, b)", ", float[3,3,1,1] w = {1,0,0,0,1,0,0,0,1}, float[3] b = {110, 120, 100}", BYTES),
        ("y = Conv(x, w, b)", ", float[3,3,1,1] w = {1,0,0,0,1,0,0,0,1}, float[3] b = {0.1, 0.2, 0.3}", None),
        ("y = Relu(x)", "", None),
    ],
)
def test_the_last_operator_shows_the_pixels_of_an_output(
    body: str, constants: str, expected: ImageRange | None
) -> None:
    guess = guess_output(graph_of(body, constants), "y")
    assert (guess and guess.range) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, UNIT), (-0.02, 1.01, UNIT), (-0.9, 0.7, SIGNED), (-50, 310, BYTES), (3, 200, BYTES),
     (-7, 5, ImageRange(-7, 5)), (0, 9000, ImageRange(0, 9000))],
)  # fmt: skip
def test_values_show_their_range(low: float, high: float, expected: ImageRange) -> None:
    assert range_of_values(np.array([low, np.nan, high, np.inf])).range == expected


def test_values_that_are_not_numbers_are_black() -> None:
    assert range_of_values(np.full(3, np.nan)).range == UNIT
