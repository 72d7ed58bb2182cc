"""What is fused into the norm - activations, statistics and launches of groups - built for the host, no GPU needed."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from host_compiler import load_cpp
from host_tools import pointer
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fused_references import ACTIVATIONS, activated, fused_norm_reference
from tests.support.references import unit_in_last_place, worst_excess
from trtconv.plugins import kernels

EPSILON = 1e-5
BLOCK, CLUSTER, GRID, STREAMED, SPLIT = range(5)
CURVE_ERROR = 1e-6  # of y, and of alpha under elu: half of what a norm's result may be off


@pytest.fixture(scope="module")
def maths() -> ctypes.CDLL:
    return load_cpp(Path(__file__).with_name("host_fused_norm.cpp"))


def activate(maths: ctypes.CDLL, name: str, alpha: float, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    result = np.empty_like(values)
    number = kernels.ACTIVATIONS[name]
    maths.host_activate(number, ctypes.c_float(alpha), pointer(values), pointer(result), ctypes.c_int64(len(values)))
    return result


SCALAR_ACTIVATIONS = [name for name in ACTIVATIONS if name != "prelu"]


@pytest.mark.parametrize("name", SCALAR_ACTIVATIONS)
@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0, -0.5, 3.0])
def test_activations_on_their_whole_range(maths: ctypes.CDLL, name: str, alpha: float) -> None:
    ladder = 10.0 ** np.linspace(-30, 5, 20001)
    near = np.linspace(-4, 4, 20001)
    values = np.concatenate([ladder, -ladder, near]).astype(np.float32)
    result = activate(maths, name, alpha, values).astype(np.float64)
    expected, _ = activated(values.astype(np.float64), name, float(np.float32(alpha)), None)
    size = np.abs(expected) if name != "silu" else np.abs(values.astype(np.float64))
    bound = 0.5 * unit_in_last_place(expected, "float32") + CURVE_ERROR * size
    assert (np.abs(result - expected) <= bound).all()


@pytest.mark.parametrize("name", SCALAR_ACTIVATIONS)
def test_special_values(maths: ctypes.CDLL, name: str) -> None:
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], dtype=np.float32)
    result = activate(maths, name, 0.5, values)
    expected, _ = activated(values.astype(np.float64), name, 0.5, None)
    assert np.array_equal(result, expected, equal_nan=True)
    assert np.isnan(result[0])


def test_relu_of_minus_infinity_is_zero(maths: ctypes.CDLL) -> None:
    assert activate(maths, "relu", 0.0, np.array([-np.inf], dtype=np.float32))[0] == 0


@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.integers(1, 40),
    pixels=st.integers(1, 300),
    spread=st.sampled_from([0.0, 1.0, 100.0]),
    offset=st.sampled_from([0.0, -50.0, 1000.0]),
)
def test_statistics_of_a_group(
    maths: ctypes.CDLL, seed: int, channels: int, pixels: int, spread: float, offset: float
) -> None:
    """Channels' means may be `spread` apart and all of them `offset` off zero."""
    rng = np.random.default_rng(seed)
    means = offset + spread * rng.normal(size=(1, channels, 1))
    x = (means + rng.normal(size=(1, channels, pixels))).astype(np.float32)
    y = np.empty_like(x)
    maths.host_normalise_group(pointer(x), pointer(y), channels, ctypes.c_int64(pixels), ctypes.c_float(EPSILON))
    ones, zeros = np.ones(channels, dtype=np.float32), np.zeros(channels, dtype=np.float32)
    reference = fused_norm_reference(x, ones, zeros, EPSILON, groups=1)
    assert worst_excess(y, reference, "float32") <= 1


def test_a_constant_group_is_exactly_zero(maths: ctypes.CDLL) -> None:
    x = np.full((1, 5, 77), 0.3, dtype=np.float32)
    y = np.empty_like(x)
    maths.host_normalise_group(pointer(x), pointer(y), 5, ctypes.c_int64(77), ctypes.c_float(EPSILON))
    assert (y == 0).all()


def group_config(maths: ctypes.CDLL, shape: tuple[int, int, int], groups: int, vector_channels: int = 8) -> list[int]:
    batch, channels, pixels = shape
    values = np.zeros(5, dtype=np.int64)
    maths.host_group_config(
        *map(ctypes.c_int64, (batch, pixels, channels, channels // groups)), vector_channels, pointer(values)
    )
    return [int(value) for value in values]


@pytest.mark.parametrize(
    ("shape", "groups", "method"),
    [
        ((1, 128, 512 * 512), 32, STREAMED),  # two groups in a vector
        ((1, 512, 64 * 64), 32, CLUSTER),  # two vectors a group
        ((2, 320, 64 * 64), 32, SPLIT),  # groups of 10 channels, across columns
        ((1, 48, 300 * 301), 6, STREAMED),  # one column
        ((1, 256, 64 * 64), 1, SPLIT),  # a group wider than a column
    ],
)
def test_launches_of_common_groups(maths: ctypes.CDLL, shape: tuple[int, int, int], groups: int, method: int) -> None:
    assert group_config(maths, shape, groups)[0] == method


@given(
    batch=st.integers(1, 20),
    group_size=st.integers(1, 200),
    groups=st.integers(1, 40),
    pixels=st.integers(1, 200000),
    vector_channels=st.sampled_from([4, 8]),
)
def test_each_group_is_whole_or_split(
    maths: ctypes.CDLL, batch: int, group_size: int, groups: int, pixels: int, vector_channels: int
) -> None:
    channels = group_size * groups
    shape = (batch, channels, pixels)
    method, lanes, splits, pixels_per_split, columns = group_config(maths, shape, groups, vector_channels)
    vectors = -(-channels // vector_channels)
    assert columns == batch * -(-vectors // lanes)
    assert (splits - 1) * pixels_per_split < pixels <= splits * pixels_per_split
    if method != SPLIT:
        for group in range(groups):
            begin, last = group * group_size, (group + 1) * group_size - 1
            assert begin // (lanes * vector_channels) == last // (lanes * vector_channels)
