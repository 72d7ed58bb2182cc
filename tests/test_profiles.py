"""Shapes held against a model's inputs: what fits, what does not, and the line to type."""

from __future__ import annotations

import shlex

import pytest

from trtconv.errors import ConfigError, ModelError
from trtconv.shapes import Dims, format_dims, parse_profiles, parse_shape_option, require_shapes

STATIC: dict[str, Dims | None] = {"x": [1, 3, 8, 8]}
DYNAMIC: dict[str, Dims | None] = {"x": ["N", 3, None, 8], "mask": [4]}


@pytest.mark.parametrize("items", [[], ["x=1x3x8x8"], ["x=1x3x8x8:1x3x8x8:1x3x8x8"], ["x=1x3x8x8", None, "x=1x3x8x8"]])
def test_static_inputs_need_no_shape(items: list[str | None]) -> None:
    require_shapes(STATIC, parse_profiles(items))


@pytest.mark.parametrize(
    "items", [["x=1x3x5x8"], ["x=1x3x1x8:2x3x5x8:4x3x9x8", "mask=4"], ["x=1x3x5x8", None, "x=2x3x5x8"]]
)
def test_dynamic_inputs(items: list[str | None]) -> None:
    require_shapes(DYNAMIC, parse_profiles(items))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["y=1"], "the model has no input 'y'"),
        (["x=1x3x5"], "3 dimensions, expected 4: Nx3x?x8"),
        (["x=[]"], "0 dimensions, expected 4"),
        (["x=1x4x5x8"], "axis 1 is fixed at 3 in the model"),
        (["x=1x3x5x1:1x3x5x8:1x3x5x9"], "axis 3 is fixed at 8 in the model"),
        ([], "input has dynamic dimensions and no shape: x (Nx3x?x8)"),
        (["mask=4"], "input has dynamic dimensions and no shape: x"),
        (["x=1x3x5x8", None, "mask=4"], "input has dynamic dimensions and no shape: x"),
    ],
)
def test_errors(items: list[str | None], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        require_shapes(DYNAMIC, parse_profiles(items))
    assert message in raised.value.what


def test_unknown_name_shows_the_inputs() -> None:
    with pytest.raises(ConfigError) as raised:
        require_shapes(DYNAMIC, parse_profiles(["y=1"]))
    assert raised.value.hint == "its inputs are: x=Nx3x?x8, mask=4"


@pytest.mark.parametrize("name", ["x", "serving_default_x:0", "a b", "it's", "a=b", "$HOME", "x[0]"])
def test_the_suggested_line_can_be_typed(name: str) -> None:
    inputs: dict[str, Dims | None] = {name: ["N", 3, None], "other": [None]}
    with pytest.raises(ConfigError, match="inputs have dynamic dimensions and no shape") as raised:
        require_shapes(inputs, ())
    words = shlex.split((raised.value.hint or "").removeprefix("add ").removesuffix("  (or min:opt:max)"))
    assert words[::2] == ["--shape", "--shape"]
    shapes = dict(parse_shape_option(word) for word in words[1::2])
    assert shapes[name].opt == (1, 3, 256)
    require_shapes(inputs, (shapes,))


def test_values_of_a_shape_tensor_are_no_shape() -> None:
    require_shapes({"sizes": [2]}, parse_profiles(["sizes=[1,2]:[3,4]:[5,6]"]))


def test_unknown_rank_is_the_model_s_fault() -> None:
    with pytest.raises(ModelError, match="input x has no shape: not even its rank is known"):
        require_shapes({"x": None}, parse_profiles(["x=1x2"]))


def test_scalar() -> None:
    require_shapes({"sr": []}, parse_profiles(["sr=[]"]))
    assert format_dims([]) == "[]"
