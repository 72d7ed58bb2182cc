"""Channels-last InstanceNorm's arithmetic - launch choice and statistics - built for the host, no GPU needed."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import host_tools
import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from host_compiler import load_cpp
from host_tools import H100_PROCESSORS, pointer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.extent import num_examples
from tests.support.references import instance_norm_reference, worst_excess

H100 = (H100_PROCESSORS, *host_tools.H100)  # multiprocessors, major version, shared bytes of a block
A100 = (108, *host_tools.A100)
SMALL_GPU = (14, *host_tools.T4)
BLOCK, CLUSTER, GRID, STREAMED = range(4)


@pytest.fixture(scope="module")
def maths() -> ctypes.CDLL:
    library = load_cpp(Path(__file__).with_name("host_channels_last.cpp"))
    library.host_anchored_sum.restype = ctypes.c_double
    library.host_sum_of_pairs.restype = ctypes.c_double
    library.host_sample_index.restype = ctypes.c_int64
    return library


@dataclass(frozen=True)
class Constants:
    """Constants of the channels-last kernels, as the host build has them."""

    tile_pixels: int
    max_blocks: int
    streamed_threads: int
    streamed_static_bytes: int
    step_bytes: int
    step_vectors: int
    steps_ahead: int


@pytest.fixture(scope="module")
def constants(maths: ctypes.CDLL) -> Constants:
    values = np.zeros(7, dtype=np.int64)
    maths.host_channels_last_constants(pointer(values))
    return Constants(*values.tolist())


@dataclass(frozen=True)
class Config:
    method: int
    threads: int
    lanes: int
    splits: int
    pixels_per_split: int
    columns: int
    columns_at_once: int
    slots: int
    steps: int
    repeats: int

    @property
    def blocks(self) -> int:
        return self.columns_at_once * self.splits


def config_for(maths: ctypes.CDLL, batch: int, pixels: int, vectors: int, device: tuple[int, ...] = H100) -> Config:
    result = np.zeros(10, dtype=np.int64)
    sizes = map(ctypes.c_int64, (batch, pixels, vectors))
    maths.host_channels_last_config(*sizes, pointer(np.array(device, dtype=np.int64)), pointer(result))
    return Config(*result.tolist())


@settings(deadline=None, max_examples=500)
@given(
    batch=st.integers(1, 70000),
    pixels=st.one_of(st.integers(1, 40000), st.integers(1, 1 << 31)),
    vectors=st.integers(1, 300),
    device=st.sampled_from([H100, A100, SMALL_GPU, (1, 7, 65536), (2000, 10, 232448), (84, 8, 101376)]),
)
def test_every_vector_has_a_thread(
    maths: ctypes.CDLL, constants: Constants, batch: int, pixels: int, vectors: int, device: tuple[int, ...]
) -> None:
    config = config_for(maths, batch, pixels, vectors, device)
    processors, major_version, _ = device
    assert config.lanes in (1, 2, 4, 8)
    assert config.lanes < 2 * vectors
    assert config.columns == batch * -(-vectors // config.lanes)
    assert config.splits * config.pixels_per_split >= pixels
    assert config.threads in (64, 128, 256, 512)
    assert config.threads >= config.lanes * 8  # a thread for each channel
    assert 1 <= config.columns_at_once <= config.columns
    if config.method in (BLOCK, CLUSTER):
        assert config.splits in ((2, 4, 8) if config.method == CLUSTER else (1,))
        assert config.method == BLOCK or major_version >= 9
        assert config.blocks <= constants.max_blocks
    else:
        assert config.blocks <= processors  # all run at once: they wait for each other
        assert (config.splits - 1) * config.pixels_per_split < pixels  # no block is idle
        assert config.pixels_per_split % 32 == 0  # whole cache lines
    if config.method == GRID:
        assert config.columns_at_once == config.columns
    if config.method != STREAMED:
        assert config.pixels_per_split <= config.threads // config.lanes * constants.tile_pixels
        assert config.slots == 0


@settings(deadline=None, max_examples=500)
@given(
    batch=st.integers(1, 300),
    pixels=st.integers(1, 1 << 24),
    vectors=st.integers(1, 300),
    device=st.sampled_from([H100, A100, SMALL_GPU, (84, 8, 101376)]),
)
def test_steps_of_streamed_columns(
    maths: ctypes.CDLL, constants: Constants, batch: int, pixels: int, vectors: int, device: tuple[int, ...]
) -> None:
    config = config_for(maths, batch, pixels, vectors, device)
    if config.method != STREAMED:
        return
    assert config.threads == constants.streamed_threads
    assert config.slots * constants.step_bytes + constants.streamed_static_bytes <= device[2]
    vectors_of_a_step = constants.step_vectors * config.threads
    assert config.steps * vectors_of_a_step >= config.pixels_per_split * config.lanes
    assert (config.steps - 1) * vectors_of_a_step < config.pixels_per_split * config.lanes
    kept = config.steps - config.repeats
    assert 1 <= kept <= config.slots - constants.steps_ahead  # or the loads ahead would overwrite them
    assert config.repeats == 0 or kept == config.slots - constants.steps_ahead  # no more is read again than needed


@pytest.mark.parametrize(
    ("batch", "channels", "pixels", "method", "blocks", "threads", "lanes"),
    [
        (1, 256, 64 * 64, CLUSTER, 64, 256, 4),
        (4, 64, 64 * 64, CLUSTER, 64, 256, 4),
        (16, 512, 32 * 32, CLUSTER, 512, 256, 4),  # in twos, not one of 512 threads
        (1, 256, 16 * 16, CLUSTER, 64, 128, 4),  # not narrower still: 4 vectors of a pixel are enough
        (1, 1024, 16 * 16, CLUSTER, 128, 128, 4),  # as many blocks as there are multiprocessors
        (16, 16, 128 * 128, CLUSTER, 128, 512, 2),  # as narrow as there are channels
        (16, 32, 128 * 128, STREAMED, 128, 256, 4),  # clusters would take columns of half the channels
        (64, 256, 8 * 8, BLOCK, 256, 64, 8),
        (1, 1024, 16, BLOCK, 16, 128, 8),  # wide columns: there is nothing to spread
        (1, 128, 128 * 128, GRID, 128, 256, 4),  # clusters would leave most multiprocessors idle
        (1, 64, 256 * 256, GRID, 128, 512, 4),
        (4, 64, 128 * 128, CLUSTER, 128, 512, 2),
        (1, 256, 128 * 128, GRID, 128, 512, 4),  # clusters would take columns of a sixteenth of the channels
        (1, 256, 96 * 96, GRID, 128, 512, 4),
        (1, 512, 64 * 64, CLUSTER, 128, 256, 4),  # not half of the multiprocessors with a full block each
        (2, 320, 64 * 64, CLUSTER, 160, 256, 4),
        (1, 512, 32 * 32, CLUSTER, 128, 128, 4),
        (8, 512, 64 * 64, CLUSTER, 512, 512, 8),  # enough blocks of the widest columns
        (16, 64, 128 * 128, STREAMED, 128, 256, 8),  # clusters would take narrow columns
        (1, 32, 1080 * 1920, STREAMED, 132, 256, 4),
    ],
)
def test_choice_on_the_h100(
    maths: ctypes.CDLL, batch: int, channels: int, pixels: int, method: int, blocks: int, threads: int, lanes: int
) -> None:
    config = config_for(maths, batch, pixels, channels // 8)
    assert (config.method, config.blocks, config.threads, config.lanes) == (method, blocks, threads, lanes)


@pytest.mark.parametrize(
    ("batch", "channels", "pixels", "columns_at_once"),
    [
        (8, 64, 512 * 512, 1),
        (4, 128, 256 * 256, 4),
        (1, 32, 1080 * 1920, 1),
        (16, 64, 128 * 128, 16),
        (2, 512, 192 * 192, 6),  # 16 columns in 3 rounds, as 7 at once would need
    ],
)
def test_columns_streamed_at_once_fit_shared_memory_nearly(
    maths: ctypes.CDLL, batch: int, channels: int, pixels: int, columns_at_once: int
) -> None:
    config = config_for(maths, batch, pixels, channels // 8)
    assert (config.method, config.columns_at_once) == (STREAMED, columns_at_once)


def normalise(
    maths: ctypes.CDLL, x: npt.NDArray[np.float32], scale: float, bias: float, epsilon: float, dtype: str = "float32"
) -> npt.NDArray[np.float32]:
    y = np.full_like(x, np.nan)
    split = max(x.size // 7, 1)
    maths.host_normalise_channel(
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
def test_statistics_stay_within_the_bound(maths: ctypes.CDLL, name: str, epsilon: float, bias: float) -> None:
    x = adversarial()[name].astype(np.float32)
    assert excess(x, normalise(maths, x, 0.75, bias, epsilon), 0.75, bias, epsilon) <= 1


@pytest.mark.parametrize("bias", [0.0, 1.25])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("mean", "spread"), [(0, 1), (1e3, 30), (60000, 20), (0, 1e-6), (0.1, 10), (-5000, 20000)])
def test_pairs_of_16_bits_stay_within_the_bound(
    maths: ctypes.CDLL, mean: float, spread: float, dtype: str, bias: float
) -> None:
    type_ = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float16)
    noise = np.random.default_rng(3).normal(mean, spread, 20011)
    x = np.clip(noise, -65504, 65504).astype(type_).astype(np.float32)
    y = normalise(maths, x, 0.75, bias, 1e-12, dtype)
    assert excess(x, y, 0.75, bias, 1e-12, type_) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_anchored_sum_of_large_and_small_pairs_is_exact(maths: ctypes.CDLL, seed: int) -> None:
    generator = np.random.default_rng(seed)
    large = generator.integers(-2047, 2048, 16) * 64.0  # of two fp16 numbers each
    small = generator.integers(-(1 << 14), 1 << 14, 16) * 2.0**-24
    pairs = np.where(generator.random(16) < 0.5, large, small).astype(np.float32)
    total = maths.host_anchored_sum(pointer(pairs), ctypes.c_int32(pairs.size))
    assert total == math.fsum(pairs.tolist())


FP16_NUMBERS = [0.0, 2.0**-24, 3 * 2.0**-24, 2.0**-14, 0.125, 0.25, 0.2499, 0.5, 1.0, 3 * 2.0**-10, 2047.0, 65504.0]
fp16_numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.sampled_from([*FP16_NUMBERS, *(-x for x in FP16_NUMBERS)]),
)


@settings(deadline=None, max_examples=num_examples(1000))
@given(pairs=st.lists(st.tuples(fp16_numbers, fp16_numbers), min_size=1, max_size=16))
def test_sum_of_pairs_is_exact_as_far_as_is_said(maths: ctypes.CDLL, pairs: list[tuple[float, float]]) -> None:
    values = np.array(pairs, dtype=np.float16).astype(np.float32).ravel()
    total = maths.host_sum_of_pairs(pointer(values), ctypes.c_int32(values.size))
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
def test_sum_of_pairs_with_infinity_or_nan_is_not_finite(maths: ctypes.CDLL, special: float, place: int) -> None:
    values = np.full(32, 65504, dtype=np.float32)
    values[place] = special
    assert not math.isfinite(maths.host_sum_of_pairs(pointer(values), ctypes.c_int32(32)))


def test_rounded_sums_of_pairs_move_the_mean_by_little(maths: ctypes.CDLL) -> None:
    pixels = np.arange(1 << 14)  # a thread's are 64 apart
    large = np.where(pixels // 256 % 2 == 0, 32768.0, -32768.0)
    x = np.where(pixels // 64 % 2 == 0, large, 3 * 2.0**-10).astype(np.float32)  # is rounded up with either
    y = normalise(maths, x, 1.0, 0.0, 1e-5, "float16").astype(np.float64)
    scale, bias = np.ones(1, np.float32), np.zeros(1, np.float32)
    error = np.abs(y - instance_norm_reference(x[None, None], scale, bias, 1e-5).y.ravel())
    assert 2.0**-26 < error[np.abs(x) < 1].max() <= 2.0**-24  # some were rounded


@pytest.mark.parametrize("value", [65504.0, -65504.0, 2.0**-24, 0.25])
def test_anchored_sums_of_the_largest_and_smallest_numbers_are_exact(maths: ctypes.CDLL, value: float) -> None:
    x = np.full(20011, value, dtype=np.float32)
    assert (normalise(maths, x, 3.0, 0.01, 1e-5, "float16") == np.float32(0.01)).all()


@pytest.mark.parametrize("bias", [0.0, 1.25])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("size", [512, 1024])
def test_border_of_an_image_costs_no_digits(maths: ctypes.CDLL, size: int, dtype: str, bias: float) -> None:
    image = np.random.default_rng(5).normal(100, 1, (size, size))
    image[:, 0] = 0
    x = image.ravel().astype(dtype).astype(np.float32)
    assert excess(x, normalise(maths, x, 0.75, bias, 1e-5, dtype), 0.75, bias, 1e-5, np.dtype(dtype)) <= 1


def test_samples_are_pixels_of_the_image(maths: ctypes.CDLL) -> None:
    for pixels in (*range(1, 400), 1 << 20, (1 << 31) + 1):
        samples = [maths.host_sample_index(sample, ctypes.c_int64(pixels)) for sample in range(3)]
        assert samples == sorted(samples)
        assert samples[0] >= 0
        assert samples[-1] < pixels


@pytest.mark.parametrize("value", [0.0, 0.1, -1234.5, 60000.0, 3e18])
@pytest.mark.parametrize("count", [1, 3, 1000, 20011])
def test_constant_channel_gives_exactly_the_bias(maths: ctypes.CDLL, value: float, count: int) -> None:
    x = np.full(count, value, dtype=np.float32)
    assert (normalise(maths, x, 3.0, 0.01, 1e-5) == np.float32(0.01)).all()


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("place", [0, 250, 777])
def test_infinity_and_nan_spoil_the_channel(maths: ctypes.CDLL, special: float, place: int) -> None:
    x = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    x[place] = special
    assert np.isnan(normalise(maths, x, 1.0, 0.0, 1e-5)).all()
