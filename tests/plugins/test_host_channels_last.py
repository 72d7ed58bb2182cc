"""The statistics of channels-last InstanceNorm, built for the host, no GPU needed."""

from __future__ import annotations

import ctypes
import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from host_tools import pointer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.extent import num_examples
from tests.support.references import instance_norm_reference, worst_excess


def normalise(
    channels_last: ctypes.CDLL,
    x: npt.NDArray[np.float32],
    scale: float,
    bias: float,
    epsilon: float,
    dtype: str = "float32",
) -> npt.NDArray[np.float32]:
    y = np.full_like(x, np.nan)
    split = max(x.size // 7, 1)
    channels_last.host_normalise_channel(
        pointer(x),
        pointer(y),
        ctypes.c_int64(x.size),
        ctypes.c_int64(split),
        ctypes.c_int64(64),
        dtype == "float16",
        dtype == "bfloat16",
        *map(ctypes.c_float, (scale, bias, epsilon)),
    )
    return y


def excess(
    x: npt.NDArray[np.float32],
    y: npt.NDArray[np.float32],
    scale: float,
    bias: float,
    epsilon: float,
    dtype: npt.DTypeLike = np.float32,
) -> float:
    parameters = (np.array([value], dtype=np.float32) for value in (scale, bias))
    reference = instance_norm_reference(x[None, None], *parameters, epsilon)
    return worst_excess(y[None, None].astype(dtype), reference, np.dtype(dtype).name)


def adversarial() -> dict[str, npt.NDArray[np.float64]]:
    noise = np.random.default_rng(7).standard_normal(20011)
    outlier = noise.copy()
    outlier[[0, 4965]] = 1e4  # one of them a sample
    early = noise + 1e4
    early[:20] = 0
    return {
        "normal": noise,
        "mean 1e4 variance 1": noise + 1e4,
        "+-512": np.sign(noise) * 512,
        "magnitude 1e18": np.clip(noise, -1, 1) * 1e18,
        "magnitude 1e-15": noise * 1e-15,
        "outliers": outlier,
        "another mean at first": early,
        "one value": noise[:1],
        "two values": noise[:2],
    }


@pytest.mark.parametrize("bias", [0.0, 1.25])
@pytest.mark.parametrize("epsilon", [1e-5, 1e-12])
@pytest.mark.parametrize("name", adversarial())
def test_statistics_stay_within_the_bound(channels_last: ctypes.CDLL, name: str, epsilon: float, bias: float) -> None:
    x = adversarial()[name].astype(np.float32)
    assert excess(x, normalise(channels_last, x, 0.75, bias, epsilon), 0.75, bias, epsilon) <= 1


@pytest.mark.parametrize("bias", [0.0, 1.25])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("mean", "spread"), [(0, 1), (1e3, 30), (60000, 20), (0, 1e-6), (0.1, 10), (-5000, 20000)])
def test_pairs_of_16_bits_stay_within_the_bound(
    channels_last: ctypes.CDLL, mean: float, spread: float, dtype: str, bias: float
) -> None:
    type_ = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float16)
    noise = np.random.default_rng(3).normal(mean, spread, 20011)
    x = np.clip(noise, -65504, 65504).astype(type_).astype(np.float32)
    y = normalise(channels_last, x, 0.75, bias, 1e-12, dtype)
    assert excess(x, y, 0.75, bias, 1e-12, type_) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_anchored_sum_of_large_and_small_pairs_is_exact(channels_last: ctypes.CDLL, seed: int) -> None:
    generator = np.random.default_rng(seed)
    large = generator.integers(-2047, 2048, 16) * 64.0  # of two fp16 numbers each
    small = generator.integers(-(1 << 14), 1 << 14, 16) * 2.0**-24
    pairs = np.where(generator.random(16) < 0.5, large, small).astype(np.float32)
    total = channels_last.host_anchored_sum(pointer(pairs), ctypes.c_int32(pairs.size))
    assert total == math.fsum(pairs.tolist())


FP16_NUMBERS = [0.0, 2.0**-24, 3 * 2.0**-24, 2.0**-14, 0.125, 0.25, 0.2499, 0.5, 1.0, 3 * 2.0**-10, 2047.0, 65504.0]
fp16_numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.sampled_from([*FP16_NUMBERS, *(-x for x in FP16_NUMBERS)]),
)


@settings(deadline=None, max_examples=num_examples(1000))
@given(pairs=st.lists(st.tuples(fp16_numbers, fp16_numbers), min_size=1, max_size=16))
def test_sum_of_pairs_is_exact_as_far_as_is_said(channels_last: ctypes.CDLL, pairs: list[tuple[float, float]]) -> None:
    values = np.array(pairs, dtype=np.float16).astype(np.float32).ravel()
    total = channels_last.host_sum_of_pairs(pointer(values), ctypes.c_int32(values.size))
    error = abs(Fraction(total) - sum(map(Fraction, values.tolist())))
    dropped = sum(min(abs(first + second), 0.25) for first, second in pairs)
    rounded = sum(abs(first + second) for first, second in pairs if differ_much(first, second))
    bound = Fraction(rounded) / 2**24  # half a unit in the last place of each sum
    if dropped >= 1:
        bound += Fraction(20, 2**24)  # at most 4, of which those beyond 1 are rounded: 4 to 2^-24, 8 to 2^-23
    assert error <= bound


def differ_much(first: float, second: float) -> bool:
    small, large = sorted((abs(first), abs(second)))
    return small * 2**13 < large and small != 0


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [0, 1, 31])
def test_sum_of_pairs_with_infinity_or_nan_is_not_finite(
    channels_last: ctypes.CDLL, special: float, place: int
) -> None:
    values = np.full(32, 65504, dtype=np.float32)
    values[place] = special
    assert not math.isfinite(channels_last.host_sum_of_pairs(pointer(values), ctypes.c_int32(32)))


def test_rounded_sums_of_pairs_move_the_mean_by_little(channels_last: ctypes.CDLL) -> None:
    pixels = np.arange(1 << 14)  # a thread's are 64 apart
    large = np.where(pixels // 256 % 2 == 0, 32768.0, -32768.0)
    x = np.where(pixels // 64 % 2 == 0, large, 3 * 2.0**-10).astype(np.float32)  # is rounded up with either
    y = normalise(channels_last, x, 1.0, 0.0, 1e-5, "float16").astype(np.float64)
    scale, bias = np.ones(1, np.float32), np.zeros(1, np.float32)
    error = np.abs(y - instance_norm_reference(x[None, None], scale, bias, 1e-5).y.ravel())
    assert 2.0**-26 < error[np.abs(x) < 1].max() <= 2.0**-24  # some were rounded


@pytest.mark.parametrize("value", [65504.0, -65504.0, 2.0**-24, 0.25])
def test_anchored_sums_of_the_largest_and_smallest_numbers_are_exact(channels_last: ctypes.CDLL, value: float) -> None:
    x = np.full(20011, value, dtype=np.float32)
    assert (normalise(channels_last, x, 3.0, 0.01, 1e-5, "float16") == np.float32(0.01)).all()


@pytest.mark.parametrize("bias", [0.0, 1.25])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("size", [512, 1024])
def test_border_of_an_image_costs_no_digits(channels_last: ctypes.CDLL, size: int, dtype: str, bias: float) -> None:
    image = np.random.default_rng(5).normal(100, 1, (size, size))
    image[:, 0] = 0
    x = image.ravel().astype(dtype).astype(np.float32)
    assert excess(x, normalise(channels_last, x, 0.75, bias, 1e-5, dtype), 0.75, bias, 1e-5, np.dtype(dtype)) <= 1


def test_samples_are_pixels_of_the_image(channels_last: ctypes.CDLL) -> None:
    for pixels in (*range(1, 400), 1 << 20, (1 << 31) + 1):
        samples = [channels_last.host_sample_index(sample, ctypes.c_int64(pixels)) for sample in range(3)]
        assert samples == sorted(samples)
        assert samples[0] >= 0
        assert samples[-1] < pixels


@pytest.mark.parametrize("value", [0.0, 0.1, -1234.5, 60000.0, 3e18])
@pytest.mark.parametrize("count", [1, 3, 1000, 20011])
def test_constant_channel_gives_exactly_the_bias(channels_last: ctypes.CDLL, value: float, count: int) -> None:
    x = np.full(count, value, dtype=np.float32)
    assert (normalise(channels_last, x, 3.0, 0.01, 1e-5) == np.float32(0.01)).all()


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [0, 250, 777])
def test_infinity_and_nan_spoil_the_channel(channels_last: ctypes.CDLL, special: float, place: int) -> None:
    x = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    x[place] = special
    assert np.isnan(normalise(channels_last, x, 1.0, 0.0, 1e-5)).all()
