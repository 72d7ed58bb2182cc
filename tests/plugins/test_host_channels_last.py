"""Channels-last InstanceNorm's arithmetic - launch choice and statistics - built for the host, no GPU needed."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from host_compiler import compile_cpp
from host_tools import pointer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.references import instance_norm_reference, worst_excess

H100 = (132, 1)  # multiprocessors, has clusters
SMALL_GPU = (14, 0)
TILE_PIXELS = 8
MAX_BLOCKS = 1 << 20


@pytest.fixture(scope="module")
def maths(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    source = Path(__file__).with_name("host_channels_last.cpp")
    output = tmp_path_factory.mktemp("host_channels_last") / "libhost_channels_last.so"
    library = ctypes.CDLL(str(compile_cpp(source, output, "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared")))
    library.host_channels_last_workspace_totals.restype = ctypes.c_int64
    return library


@dataclass(frozen=True)
class Config:
    is_resident: int
    threads: int
    lanes: int
    splits: int
    pixels_per_split: int
    columns: int
    columns_at_once: int

    @property
    def blocks(self) -> int:
        return self.columns_at_once * self.splits


def config_for(maths: ctypes.CDLL, batch: int, pixels: int, vectors: int, device: tuple[int, ...] = H100) -> Config:
    result = np.zeros(7, dtype=np.int64)
    sizes = map(ctypes.c_int64, (batch, pixels, vectors))
    maths.host_channels_last_config(*sizes, pointer(np.array(device, dtype=np.int64)), pointer(result))
    return Config(*result.tolist())


@settings(deadline=None, max_examples=500)
@given(
    batch=st.integers(1, 70000),
    pixels=st.one_of(st.integers(1, 40000), st.integers(1, 1 << 31)),
    vectors=st.integers(1, 300),
    device=st.sampled_from([H100, SMALL_GPU, (1, 0), (2000, 1)]),
)
def test_every_vector_has_a_thread(
    maths: ctypes.CDLL, batch: int, pixels: int, vectors: int, device: tuple[int, ...]
) -> None:
    config = config_for(maths, batch, pixels, vectors, device)
    processors, has_clusters = device
    assert config.lanes in (1, 2, 4, 8)
    assert config.lanes < 2 * vectors
    assert config.columns == batch * -(-vectors // config.lanes)
    assert config.splits * config.pixels_per_split >= pixels
    assert config.threads in (64, 128, 256, 512)
    assert 1 <= config.columns_at_once <= config.columns
    if config.is_resident:
        assert config.pixels_per_split <= config.threads // config.lanes * TILE_PIXELS
        assert config.splits in ((1, 2, 4, 8) if has_clusters else (1,))
        assert config.blocks <= MAX_BLOCKS
    else:
        assert config.threads == 512
        assert config.blocks <= processors  # all run at once: they wait for each other
        assert (config.splits - 1) * config.pixels_per_split < pixels  # no block is idle
        assert config.pixels_per_split % 32 == 0  # whole cache lines
        totals = 2 * config.blocks * config.lanes * 8
        assert totals <= maths.host_channels_last_workspace_totals(ctypes.c_int64(pixels))


def test_workspace_grows_with_the_pixels(maths: ctypes.CDLL) -> None:
    sizes = [maths.host_channels_last_workspace_totals(ctypes.c_int64(pixels)) for pixels in range(1, 3000, 7)]
    assert sizes == sorted(sizes)
    assert sizes[0] == 0
    assert sizes[-1] > 0


@pytest.mark.parametrize(
    ("batch", "channels", "pixels", "is_resident", "blocks"),
    [
        (1, 256, 64 * 64, 1, 128),  # narrow columns, each a cluster: all multiprocessors at work
        (64, 256, 8 * 8, 1, 256),
        (1, 1024, 16, 1, 64),
        (16, 512, 32 * 32, 1, 256),
        (1, 64, 256 * 256, 0, 128),
        (1, 32, 1080 * 1920, 0, 132),
    ],
)
def test_choice_on_the_h100(
    maths: ctypes.CDLL, batch: int, channels: int, pixels: int, is_resident: int, blocks: int
) -> None:
    config = config_for(maths, batch, pixels, channels // 8)
    assert (config.is_resident, config.blocks) == (is_resident, blocks)


def test_a_column_that_fits_a_block_needs_no_cluster(maths: ctypes.CDLL) -> None:
    config = config_for(maths, 16, 32 * 32, 512 // 8)
    assert (config.lanes, config.splits, config.threads) == (4, 1, 512)


def normalise(
    maths: ctypes.CDLL, x: npt.NDArray[np.float32], scale: float, bias: float, epsilon: float, in_pairs: bool = False
) -> npt.NDArray[np.float32]:
    y = np.full_like(x, np.nan)
    split = max(x.size // 7, 1)
    maths.host_normalise_channel(
        pointer(x),
        pointer(y),
        ctypes.c_int64(x.size),
        ctypes.c_int64(split),
        ctypes.c_int64(64),
        in_pairs,
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
    outlier[[0, 5002]] = 1e4  # one of them a sample
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
@pytest.mark.parametrize(("mean", "spread"), [(0, 1), (1e3, 30), (60000, 20), (0, 1e-6), (0.1, 10)])
def test_pairs_of_fp16_stay_within_the_bound(maths: ctypes.CDLL, mean: float, spread: float, bias: float) -> None:
    x = np.random.default_rng(3).normal(mean, spread, 20011).astype(np.float16).astype(np.float32)
    y = normalise(maths, x, 0.75, bias, 1e-12, in_pairs=True)
    assert excess(x, y, 0.75, bias, 1e-12, np.float16) <= 1


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
