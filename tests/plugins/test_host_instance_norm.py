"""InstanceNorm's arithmetic - vector spans, statistics - built for the host, no GPU needed."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from host_tools import A100, H100, H100_PROCESSORS, RTX_5090, pointer, session_of
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from tests.support.references import instance_norm_reference, worst_excess

FloatArray = npt.NDArray[np.float32]

EPSILON = 1e-5


def normalise_on_host(
    maths: ctypes.CDLL,
    x: FloatArray,
    scale: FloatArray,
    bias: FloatArray,
    epsilon: float = EPSILON,
    base_offset: int = 0,
    vector_size: int = 4,
    num_processors: int = H100_PROCESSORS,
    gpu: tuple[int, int] = H100,
    is_half: bool = False,
) -> FloatArray:
    """Return the result, after checking that each element was written exactly once."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    y = np.full(x.shape, np.nan, dtype=np.float32)
    visits = np.zeros(x.shape, dtype=np.int32)
    batch, channels = x.shape[:2]
    maths.host_instance_norm(
        pointer(x),
        pointer(scale),
        pointer(bias),
        pointer(y),
        pointer(visits),
        ctypes.c_int64(batch * channels),
        ctypes.c_int64(channels),
        ctypes.c_int64(math.prod(x.shape[2:])),
        ctypes.c_float(epsilon),
        base_offset,
        vector_size,
        num_processors,
        *gpu,
        int(is_half),
    )
    assert (visits == 1).all()
    return y


def parameters(channels: int, seed: int = 5) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    scale, bias = rng.normal(size=(2, channels)).astype(np.float32)
    return scale, bias


# Sizes around each place where the launch changes: vectors, tiles, warps, blocks, one block and several.
EDGE_SIZES = sorted(
    {
        size + delta
        for size in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
        for delta in (-1, 0, 1)
    }
    | {3, 7 * 7, 997, 14 * 14, 55 * 55, 40000, 65536, 70001}
)


@pytest.mark.parametrize("vector_size", [1, 4, 8])
@pytest.mark.parametrize("slice_size", [size for size in EDGE_SIZES if size > 0])
def test_each_element_is_normalised_once(maths: ctypes.CDLL, slice_size: int, vector_size: int) -> None:
    rng = np.random.default_rng(slice_size)
    x = rng.normal(size=(1, 3, slice_size)).astype(np.float32)
    scale, bias = parameters(3)
    for base_offset in {0, vector_size // 2, vector_size - 1}:
        y = normalise_on_host(maths, x, scale, bias, base_offset=base_offset, vector_size=vector_size)
        assert worst_excess(y, instance_norm_reference(x, scale, bias, EPSILON), "float32") <= 1


@pytest.mark.parametrize("gpu", [H100, RTX_5090, A100], ids=["H100", "RTX 5090", "A100"])
@pytest.mark.parametrize(("num_slices", "slice_size"), [(2, 70001), (1, 300007), (5, 262144), (40, 33000)])
def test_slices_of_several_blocks_are_normalised_once(
    maths: ctypes.CDLL, num_slices: int, slice_size: int, gpu: tuple[int, int]
) -> None:
    x = np.random.default_rng(slice_size).normal(size=(1, num_slices, slice_size)).astype(np.float32)
    scale, bias = parameters(num_slices)
    for num_processors, vector_size, base_offset in ((132, 4, 0), (132, 8, 3), (20, 8, 0), (20, 1, 0)):
        y = normalise_on_host(
            maths, x, scale, bias, EPSILON, base_offset, vector_size, num_processors=num_processors, gpu=gpu
        )
        assert worst_excess(y, instance_norm_reference(x, scale, bias, EPSILON), "float32") <= 1


def half(x: npt.NDArray[np.float64]) -> FloatArray:
    return x.astype(np.float16).astype(np.float32)


def bfloat(x: npt.NDArray[np.float64]) -> FloatArray:
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


RNG = np.random.default_rng(11)
NORMAL = RNG.normal(size=(2, 2, 20011))
OUTLIER = NORMAL.copy()
OUTLIER[..., 0] = 1000.0
LARGE_OUTLIER = RNG.normal(size=(1, 1, 1 << 21))
LARGE_OUTLIER[..., 0] = 1e5  # sums relative to it would leave the mean too few digits
BLOCK_OUTLIER = RNG.normal(size=(1, 2, (1 << 15) - 1))  # as large as a slice in registers can be
BLOCK_OUTLIER[..., 0] = 1e8  # 181 standard deviations off the mean, and what the sums are relative to
LATE_OUTLIER = NORMAL.copy()
LATE_OUTLIER[..., 13007] = -1e6
ADVERSARIAL = {
    "standard normal": NORMAL.astype(np.float32),
    "mean 1e4 variance 1": (1e4 + NORMAL).astype(np.float32),
    "mean 1e6 std 1": (1e6 + NORMAL).astype(np.float32),
    "fp16 mean 1e3 std 30": half(1e3 + 30 * NORMAL),
    "fp16 standard normal": half(NORMAL),
    "fp16 +-512": half(np.sign(NORMAL) * 512),
    "fp16 largest": half(np.sign(NORMAL) * 65504),
    "fp16 of all sizes": half(NORMAL * np.exp2(RNG.uniform(-20, 12, NORMAL.shape))),
    "fp16 subnormal": half(NORMAL * 1e-6),
    "fp16 60000": half(60000 + 30 * NORMAL),
    "bf16 mean 100 std 10": bfloat(100 + 10 * NORMAL),
    "magnitude 1e18": (1e18 * np.clip(NORMAL / 4, -1, 1)).astype(np.float32),
    "magnitude 1e18, alternating": (1e18 * np.sign(NORMAL)).astype(np.float32),
    "magnitude 1e-15": (1e-15 * NORMAL).astype(np.float32),
    "first element an outlier": OUTLIER.astype(np.float32),
    "first element an outlier of a large slice": LARGE_OUTLIER.astype(np.float32),
    "first element an outlier of a full block": BLOCK_OUTLIER.astype(np.float32),
    "late outlier": LATE_OUTLIER.astype(np.float32),
    "slow ramp": np.linspace(0, 1e4, NORMAL.size).reshape(NORMAL.shape).astype(np.float32),
    "one half large": np.where(np.arange(20011) < 10000, 1e5, 1e-3) + NORMAL.astype(np.float32),
}


@pytest.mark.parametrize("bias_size", [0.0, 1.0])
@pytest.mark.parametrize("vector_size", [1, 4, 8])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_statistics_meet_the_error_bound(maths: ctypes.CDLL, name: str, vector_size: int, bias_size: float) -> None:
    # Without a bias an output near zero has nothing to hide its error behind.
    x = ADVERSARIAL[name].astype(np.float32)
    scale, bias = parameters(x.shape[1])
    bias *= bias_size
    is_half = name.startswith("fp16")
    assert not is_half or np.array_equal(half(x), x)
    for epsilon in (1e-5, 1e-12):
        reference = instance_norm_reference(x, scale, bias, epsilon)
        for half_sums in {False, is_half}:
            y = normalise_on_host(maths, x, scale, bias, epsilon, vector_size=vector_size, is_half=half_sums)
            assert worst_excess(y, reference, "float32") <= 1


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, 0.1, -3.3e7, 1e18, 1e-40, 60000.0])
@pytest.mark.parametrize("slice_size", [1, 2, 5, 31, 33, 1000, 1025, 20011, 70001])
def test_constant_slice_gives_exactly_the_bias(maths: ctypes.CDLL, slice_size: int, value: float) -> None:
    x = np.full((1, 2, slice_size), value, dtype=np.float32)
    scale, bias = parameters(2)
    y = normalise_on_host(maths, x, scale, bias)
    assert np.array_equal(y, np.broadcast_to(bias[None, :, None], y.shape))


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("position", [0, 7, 4000])
def test_infinity_and_nan_make_the_slice_nan(maths: ctypes.CDLL, special: float, position: int) -> None:
    x = RNG.normal(size=(1, 2, 4001)).astype(np.float32)
    x[0, 0, position] = special
    scale, bias = parameters(2)
    y = normalise_on_host(maths, x, scale, bias)
    assert np.isnan(y[0, 0]).all()
    assert worst_excess(y, instance_norm_reference(x, scale, bias, EPSILON), "float32") <= 1


@settings(deadline=None, max_examples=100)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 300)),
    mean=st.floats(-1e4, 1e4),
    std=st.floats(1e-2, 1e3),
    vector_size=st.sampled_from([1, 4, 8]),
    seed=st.integers(0, 2**32 - 1),
)
def test_instance_norm_agrees_with_onnx_runtime(
    maths: ctypes.CDLL, shape: tuple[int, int, int], mean: float, std: float, vector_size: int, seed: int
) -> None:
    x = np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)
    scale, bias = parameters(shape[1], seed)
    y = normalise_on_host(maths, x, scale, bias, vector_size=vector_size)
    assert np.allclose(y, run_onnx_instance_norm(x, scale, bias), rtol=1e-4, atol=1e-4)
    # ONNX Runtime itself is too coarse to judge a large mean: the float64 reference does.
    shifted = (mean + std * x).astype(np.float32)
    y = normalise_on_host(maths, shifted, scale, bias, vector_size=vector_size)
    assert worst_excess(y, instance_norm_reference(shifted, scale, bias, EPSILON), "float32") <= 1


INSTANCE_NORM_SESSION = session_of(
    "InstanceNormalization",
    {"x": TensorProto.FLOAT, "scale": TensorProto.FLOAT, "bias": TensorProto.FLOAT},
    epsilon=EPSILON,
)


def run_onnx_instance_norm(x: FloatArray, scale: FloatArray, bias: FloatArray) -> npt.NDArray[Any]:
    (y,) = INSTANCE_NORM_SESSION.run(None, {"x": x, "scale": scale, "bias": bias})
    return np.asarray(y)
