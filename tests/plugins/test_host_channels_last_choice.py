"""The launch choice of channels-last InstanceNorm, built for the host, no GPU needed."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import host_tools
import numpy as np
import pytest
from host_tools import H100_PROCESSORS, pointer
from hypothesis import given, settings
from hypothesis import strategies as st

H100 = (H100_PROCESSORS, *host_tools.H100)  # multiprocessors, major version, shared bytes of a block
A100 = (108, *host_tools.A100)
SMALL_GPU = (14, *host_tools.T4)
BLOCK, CLUSTER, GRID, STREAMED = range(4)


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
def constants(channels_last: ctypes.CDLL) -> Constants:
    values = np.zeros(7, dtype=np.int64)
    channels_last.host_channels_last_constants(pointer(values))
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


def config_for(
    channels_last: ctypes.CDLL, batch: int, pixels: int, vectors: int, device: tuple[int, ...] = H100
) -> Config:
    result = np.zeros(10, dtype=np.int64)
    sizes = map(ctypes.c_int64, (batch, pixels, vectors))
    channels_last.host_channels_last_config(*sizes, pointer(np.array(device, dtype=np.int64)), pointer(result))
    return Config(*result.tolist())


@settings(deadline=None, max_examples=500)
@given(
    batch=st.integers(1, 70000),
    pixels=st.one_of(st.integers(1, 40000), st.integers(1, 1 << 31)),
    vectors=st.integers(1, 300),
    device=st.sampled_from([H100, A100, SMALL_GPU, (1, 7, 65536), (2000, 10, 232448), (84, 8, 101376)]),
)
def test_every_vector_has_a_thread(
    channels_last: ctypes.CDLL, constants: Constants, batch: int, pixels: int, vectors: int, device: tuple[int, ...]
) -> None:
    config = config_for(channels_last, batch, pixels, vectors, device)
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
    channels_last: ctypes.CDLL, constants: Constants, batch: int, pixels: int, vectors: int, device: tuple[int, ...]
) -> None:
    config = config_for(channels_last, batch, pixels, vectors, device)
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
    channels_last: ctypes.CDLL,
    batch: int,
    channels: int,
    pixels: int,
    method: int,
    blocks: int,
    threads: int,
    lanes: int,
) -> None:
    config = config_for(channels_last, batch, pixels, channels // 8)
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
    channels_last: ctypes.CDLL, batch: int, channels: int, pixels: int, columns_at_once: int
) -> None:
    config = config_for(channels_last, batch, pixels, channels // 8)
    assert (config.method, config.columns_at_once) == (STREAMED, columns_at_once)
