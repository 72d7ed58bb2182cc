"""Shapes held against a model's inputs: what fits, what does not, and the line to type."""

from __future__ import annotations

import shlex

import pytest

from trtconv.errors import ConfigError, ModelError
from trtconv.shapes import (
    Dims,
    describe_empty,
    fixed_sizes,
    format_dims,
    parse_profiles,
    parse_shape_option,
    require_shapes,
    sizes_at,
)

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
        (["x=1x3x5"], "3 dimensions, expected 4: [N, 3, ?, 8]"),
        (["x=[]"], "0 dimensions, expected 4"),
        (["x=1x4x5x8"], "axis 1 is fixed at 3 in the model"),
        (["x=1x3x5x1:1x3x5x8:1x3x5x9"], "axis 3 is fixed at 8 in the model"),
        ([], "input has dynamic dimensions and no shape: x [N, 3, ?, 8]"),
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
    assert raised.value.hint == "its inputs are: x [N, 3, ?, 8], mask 4"


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


@pytest.mark.parametrize(
    ("dims", "text"),
    [
        ([1, 3, 64, 64], "1x3x64x64"),
        (["batch", 3, "height", "width"], "[batch, 3, height, width]"),
        ([None, 1, "((height - 1)//8) + 1"], "[?, 1, ((height - 1)//8) + 1]"),
        ([4], "4"),
    ],
)
def test_shapes_with_symbols_are_written_as_lists(dims: Dims, text: str) -> None:
    assert format_dims(dims) == text


TWO_INPUTS: dict[str, Dims | None] = {"image": ["n", 3, "h", "w"], "mask": ["n", 1, "h", None]}


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["image=1x3x64x32", "mask=1x1x32x64"], "h is 64 in image and 32 in mask"),
        (["image=2x3x64x32", "mask=1x1x64x64"], "n is 2 in image and 1 in mask"),
        (["image=1x3x8x8:1x3x64x32:1x3x64x64", "mask=1x1x8x8:1x1x32x64:1x1x64x64"], "h is 64 in image and 32 in mask"),
    ],
)
def test_one_symbol_has_one_size(items: list[str | None], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        require_shapes(TWO_INPUTS, parse_profiles(items))
    assert raised.value.what == message
    assert "one size for" in (raised.value.hint or "")


@pytest.mark.parametrize(
    "items",
    [
        ["image=1x3x64x32", "mask=1x1x64x7"],
        ["image=1x3x32x32:1x3x64x32:1x3x128x64", "mask=1x1x64x8:1x1x64x64:1x1x64x64"],  # TensorRT takes what they share
    ],
)
def test_one_symbol_may_have_two_ranges(items: list[str | None]) -> None:
    require_shapes(TWO_INPUTS, parse_profiles(items))


def test_one_symbol_of_one_input_has_one_size() -> None:
    with pytest.raises(ConfigError, match="s is 4 in x and 5 in x"):
        require_shapes({"x": ["s", "s"]}, parse_profiles(["x=4x5"]))


def test_sizes_of_one_symbol_are_what_all_inputs_allow() -> None:
    items = ["image=1x3x32x32:1x3x64x32:1x3x128x64", "mask=1x1x48x8:1x1x64x64:1x1x96x64"]
    (profile,) = parse_profiles(items)
    assert sizes_at(TWO_INPUTS, profile, "min") == {"image": [1, 3, 48, 32], "mask": [1, 1, 48, 8]}
    assert sizes_at(TWO_INPUTS, profile, "opt") == {"image": [1, 3, 64, 32], "mask": [1, 1, 64, 64]}
    assert sizes_at(TWO_INPUTS, profile, "max") == {"image": [1, 3, 96, 64], "mask": [1, 1, 96, 64]}


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (["x=1x3x5x8"], [1, 3, 5, 8]),
        (["x=1x3x5x8:1x3x6x8:1x3x7x8"], [1, 3, None, 8]),
        (["x=1x3x5x8", None, "x=2x3x5x8"], [None, 3, 5, 8]),
        (["x=1x3x5x8", None, "x=1x3x5x8"], [1, 3, 5, 8]),
    ],
)
def test_sizes_are_fixed_where_all_profiles_agree(items: list[str | None], expected: list[int | None]) -> None:
    assert fixed_sizes(DYNAMIC, parse_profiles(items)) == {"x": expected}


@pytest.mark.parametrize("items", [[], ["x=1x3x5"], ["x=[1,3,5,8]"], ["mask=4", None, "x=1x3x5x8"]])
def test_nothing_is_fixed_by_what_is_no_shape_of_an_input(items: list[str | None]) -> None:
    assert "x" not in fixed_sizes(DYNAMIC, parse_profiles(items))


@pytest.mark.parametrize(
    ("dims", "items", "expected"),
    [
        ([0, 3], [], "input x 0x3 is empty, so the engine computes nothing"),
        (["n", 3], ["x=0x3"], "input x 0x3 is empty in every profile"),
        (["n", 3], ["x=0x3", None, "x=0x3"], "input x 0x3 is empty in every profile"),
        (["n", 3], ["x=0x3", None, "x=1x3"], None),
        (["n", 3], ["x=0x3:1x3:2x3"], None),
        (["n", 3], [], None),
        (None, [], None),
    ],
)
def test_empty_inputs_are_told(dims: Dims | None, items: list[str | None], expected: str | None) -> None:
    warnings = describe_empty({"x": dims}, parse_profiles(items))
    assert len(warnings) == (expected is not None)
    assert all((expected or "") in warning for warning in warnings)


@pytest.mark.parametrize(
    ("described", "hint"),
    [
        ({"x": [None, None], "state": [2, None, 128]}, "add --shape x=1x256 --shape state=2x1x128"),
        ({"x": ["n", "t"], "h": [2, "n", 8]}, "add --shape x=1x256 --shape h=2x1x8"),
        ({"x": ["t", "batch_size", 4], "h": [2, "batch_size", 8]}, "add --shape x=1x1x4 --shape h=2x1x8"),
        ({"x": ["n", 3, "h", "w"], "mask": [1, "h", "w"]}, "add --shape x=1x3x256x256 --shape mask=1x256x256"),
        ({"tokens": ["length"], "image": [1, 3, "length"]}, "add --shape tokens=1 --shape image=1x3x1"),
    ],
)
def test_the_suggested_shapes_fit_each_other(described: dict[str, Dims], hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        require_shapes(described, ())
    assert caught.value.hint == hint
