"""Options check themselves: the shape grammar, profiles, sizes, and errors that say what was expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtconv.config import BuildConfig
from trtconv.errors import ConfigError
from trtconv.shapes import ShapeRange, parse_profiles, parse_shape_option


@pytest.mark.parametrize(
    ("text", "name", "shape"),
    [
        ("x=1x3x256x256", "x", ShapeRange((1, 3, 256, 256), (1, 3, 256, 256), (1, 3, 256, 256))),
        ("x=1x8:2x16:4x32", "x", ShapeRange((1, 8), (2, 16), (4, 32))),
        ("serving_default_input_2:0=1x43844x1", "serving_default_input_2:0", ShapeRange(*[(1, 43844, 1)] * 3)),
        ("a=b=2", "a=b", ShapeRange((2,), (2,), (2,))),
        ("a:0=1:2:3", "a:0", ShapeRange((1,), (2,), (3,))),
        ("/enc/x.1=7", "/enc/x.1", ShapeRange((7,), (7,), (7,))),
        ("with space=7", "with space", ShapeRange((7,), (7,), (7,))),
        ("scalar=[]", "scalar", ShapeRange((), (), ())),
        ("sizes=[1,2]:[1,4]:[1,8]", "sizes", ShapeRange((1, 2), (1, 4), (1, 8), "values")),
        ("sizes=[-1, 0]", "sizes", ShapeRange((-1, 0), (-1, 0), (-1, 0), "values")),
        ("x=0x4", "x", ShapeRange((0, 4), (0, 4), (0, 4))),
        ("x= 1x2 : 1x3 : 1x4 ", "x", ShapeRange((1, 2), (1, 3), (1, 4))),
    ],
)
def test_shape_grammar(text: str, name: str, shape: ShapeRange) -> None:
    assert parse_shape_option(text) == (name, shape)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "expected name=AxBxC"),
        ("=1x2", "expected name=AxBxC"),
        ("", "expected name=AxBxC"),
        ("x=", "'' is not a shape"),
        ("x=1,2", "'1,2' is not a shape"),
        ("x=1X2", "'1X2' is not a shape"),
        ("x=1x", "'1x' is not a shape"),
        ("x=-1x3", "'-1x3' is not a shape"),
        ("x=1.5", "'1.5' is not a shape"),
        ("x=Nx3", "'Nx3' is not a shape"),
        ("x=[1,]", "is not a shape"),
        ("x=[[1]]", "is not a shape"),
        ("x=1x2:1x3", "need one shape, or three as min:opt:max, got 2"),
        ("x=1:2:3:4", "need one shape, or three as min:opt:max, got 4"),
        ("x=1x2:1x2x3:1x2", "the same number of dimensions, got 2, 3, 2"),
        ("x=1x4:1x2:1x8", "axis 1: need min <= opt <= max, got 4, 2, 8"),
        ("x=1:[2]:3", "must all be shapes, or all be"),
        ("x=99999999999999999999", "out of range"),
        ("x=" + "9" * 5000, "out of range"),
    ],
)
def test_shape_grammar_errors(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_shape_option(text)
    assert message in raised.value.what
    assert "--shape" in (raised.value.where or "")


def test_negative_dimension() -> None:
    with pytest.raises(ConfigError, match="a dimension is 0 or more, got -1"):
        ShapeRange((-1,), (1,), (1,))


DIMS = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=6)
VALUES = st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1, max_size=6)


@settings(deadline=None, derandomize=True)
@given(st.one_of(st.tuples(st.just("shape"), DIMS), st.tuples(st.just("values"), VALUES)), st.integers(0, 5))
def test_a_printed_shape_reads_back(kind_and_dims: tuple[Any, list[int]], growth: int) -> None:
    kind, dims = kind_and_dims
    highest = tuple(min(dim + growth, 2**63 - 1) for dim in dims)
    shape = ShapeRange(tuple(dims), tuple(dims), highest, kind)
    assert parse_shape_option(f"name={shape}") == ("name", shape)


def test_profiles_are_split_by_none() -> None:
    profiles = parse_profiles(["x=1", "y=2", None, "x=3"])
    assert [{name: str(shape) for name, shape in profile.items()} for profile in profiles] == [
        {"x": "1", "y": "2"},
        {"x": "3"},
    ]
    assert parse_profiles([]) == ()
    assert len(parse_profiles([None, "x=1", None, None, "x=2", None])) == 2


def test_two_shapes_in_one_profile() -> None:
    with pytest.raises(ConfigError, match="two shapes in one profile") as raised:
        parse_profiles(["x=1", "x=2"])
    assert "--profile" in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "tensorflow"}, "backend 'tensorflow' is unknown"),
        ({"opt_level": 6}, "optimisation level 6 is out of range, expected 0 to 5"),
        ({"opt_level": -1}, "out of range"),
        ({"workspace_bytes": 0}, "workspace must be positive"),
        ({"gpu_arch": "89"}, "not of the form sm_89"),
        ({"gpu_arch": "sm_89a"}, "not of the form sm_89"),
        ({"ops": "both"}, "ops 'both' is unknown"),
        ({"ops": "native", "keep_native": ("a",)}, "all of them stay native"),
        ({"exclude_lean_runtime": True}, "--exclude-lean-runtime: only a version-compatible engine has a lean runtime"),
        ({"ops": "native", "embed_plugins": True}, "--embed-plugins: with --ops native there is no plugin to embed"),
        ({"precision": "int8"}, "--precision: precision 'int8' is unknown, expected fp16 or bf16"),
        ({"precision": "fp16", "refittable": True}, "cannot be refitted"),
        ({"precision": "fp16", "strip_weights": True}, "cannot be refitted"),
        ({"verify": True, "strip_weights": True}, "an engine without weights cannot be compared"),
        ({"keep_fp32": ("a",)}, "belong to --precision fp16 or bf16"),
        ({"calibration": (Path("inputs.npz"),)}, "belong to --precision fp16 or bf16"),
        ({"precision": "bf16", "calibration": (Path("inputs.npz"),)}, "only fp16 needs calibration"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BuildConfig(**options)


def test_good_options() -> None:
    BuildConfig()
    BuildConfig(opt_level=0, workspace_bytes=1, gpu_arch="sm_120", ops="plugin", keep_native=("a",), tf32=False)
    with pytest.raises(AttributeError):
        BuildConfig().backend = "tensorrt"  # type: ignore[misc]
