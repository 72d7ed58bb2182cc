"""How InstanceNorm is launched on GPUs of all kinds: chosen on the host, no GPU needed."""

from __future__ import annotations

import ctypes
from fractions import Fraction

import numpy as np
import pytest
from host_tools import A100, B200, H100, H100_PROCESSORS, RTX_5090, T4, LinearConstants, pointer
from hypothesis import given, settings
from hypothesis import strategies as st

RESIDENT, CLUSTERED, STREAMED, SPLIT = range(4)
CONFIG = ("method", "threads", "lanes", "per_lane", "per_slice", "per_block", "blocks")


def launch_config(
    maths: ctypes.CDLL,
    num_slices: int,
    slice_size: int,
    vector_size: int,
    base_offset: int = 0,
    num_processors: int = H100_PROCESSORS,
    gpu: tuple[int, int] = H100,
) -> dict[str, int]:
    result = np.zeros(len(CONFIG), dtype=np.int64)
    maths.host_instance_norm_config(
        ctypes.c_int64(num_slices),
        ctypes.c_int64(slice_size),
        base_offset,
        vector_size,
        num_processors,
        *gpu,
        pointer(result),
    )
    return dict(zip(CONFIG, result.tolist(), strict=True))


@settings(deadline=None, max_examples=600)
@given(
    num_slices=st.one_of(st.integers(1, 100), st.integers(1, 1 << 24), st.integers(1 << 24, 1 << 33)),
    slice_size=st.one_of(st.integers(1, 1 << 16), st.integers(1 << 16, 1 << 22), st.integers(1, 1 << 33)),
    vector_size=st.sampled_from([1, 4, 8]),
    offset=st.integers(0, 7),
    num_processors=st.integers(1, 2000),
    gpu=st.sampled_from([H100, B200, RTX_5090, A100, T4]),
)
def test_launch_is_legal_and_covers_the_slice(
    maths: ctypes.CDLL,
    linear: LinearConstants,
    num_slices: int,
    slice_size: int,
    vector_size: int,
    offset: int,
    num_processors: int,
    gpu: tuple[int, int],
) -> None:
    offset %= vector_size
    config = launch_config(maths, num_slices, slice_size, vector_size, offset, num_processors, gpu)
    num_vectors = slice_size // vector_size  # at most, of whole ones
    partials = maths.host_workspace_partials(ctypes.c_int64(num_slices), ctypes.c_int64(slice_size))
    assert 1 <= config["blocks"] <= 2**31 - 1
    assert config["threads"] % 32 == 0
    assert config["threads"] <= 1024
    if config["method"] == RESIDENT:
        lanes, per_lane = config["lanes"], config["per_lane"]
        assert lanes & (lanes - 1) == per_lane & (per_lane - 1) == 0
        assert per_lane * vector_size <= 32
        assert lanes * per_lane >= num_vectors
        assert slice_size % vector_size == offset == 0 or lanes >= min(2 * (vector_size - 1), slice_size)
        # Several slices share a block only within its warps.
        assert lanes <= 32 or lanes == config["threads"]
        return
    assert config["per_slice"] * config["per_block"] >= num_vectors
    if config["method"] == CLUSTERED:
        assert gpu[0] >= 9
        assert vector_size > 1
        assert config["threads"] == linear.cluster_threads
        assert config["per_block"] * 16 <= gpu[1] - linear.cluster_static_bytes
        assert config["per_slice"] == linear.cluster_blocks == 2
        assert config["blocks"] == 2 * num_slices <= num_processors
        if config["per_lane"] > 0:  # in registers: all of every slice, and no more
            assert slice_size == 2 * linear.cluster_threads * config["per_lane"] * vector_size
            assert offset == 0
            assert config["per_lane"] * vector_size <= 64
    elif config["method"] == STREAMED:
        assert gpu[0] >= 9
        assert vector_size > 1
        # The ring holds a whole part, or its loader waits for ever; the last stage of one may not be full.
        most_stages = (gpu[1] - linear.streamed_static_bytes) // (linear.stage_vectors * 16)
        assert -(-config["per_block"] // linear.stage_vectors) <= most_stages
        # All blocks are on the GPU at once, since those of a group wait for each other.
        assert config["blocks"] <= num_processors
        assert config["blocks"] % config["per_slice"] == 0
        assert config["blocks"] * 2 + config["blocks"] // config["per_slice"] / 4 <= partials
    else:
        assert num_slices * config["per_slice"] <= partials


def placed_config(
    maths: ctypes.CDLL,
    num_slices: int,
    slice_size: int,
    num_phases: int,
    element_bytes: int = 4,
    base_offset: int = 0,
    column_copies: int = 1,
    gpu: tuple[int, int] = H100,
) -> dict[str, int] | None:
    """Return how a norm is launched whose results are scattered; None where it is not."""
    result = np.zeros(len(CONFIG), dtype=np.int64)
    sizes = map(ctypes.c_int64, (num_slices, slice_size, num_phases, column_copies))
    limits = (base_offset, element_bytes, H100_PROCESSORS, *gpu)
    is_scattered = maths.host_placed_norm_config(*sizes, *limits, pointer(result))
    return dict(zip(CONFIG, result.tolist(), strict=True)) if is_scattered else None


PLANES = {
    "num_slices": st.one_of(st.integers(1, 100), st.integers(1, 1 << 24)),
    "plane_size": st.one_of(st.integers(1, 1 << 12), st.integers(1, 1 << 22)),
    "num_phases": st.sampled_from([1, 2, 3, 4, 16, 32, 64]),
    "element_bytes": st.sampled_from([2, 4]),
}


@settings(deadline=None, max_examples=600)
@given(
    **PLANES,
    offset=st.integers(0, 7),
    gpu=st.sampled_from([H100, B200, RTX_5090, A100, T4]),
)
def test_scattered_launches_are_legal(
    maths: ctypes.CDLL,
    linear: LinearConstants,
    num_slices: int,
    plane_size: int,
    num_phases: int,
    element_bytes: int,
    offset: int,
    gpu: tuple[int, int],
) -> None:
    slice_size, vector_size = num_phases * plane_size, 16 // element_bytes
    offset %= vector_size
    config = placed_config(maths, num_slices, slice_size, num_phases, element_bytes, offset, gpu=gpu)
    if config is None:
        return
    assert 32 % num_phases == 0
    partials = maths.host_workspace_partials(ctypes.c_int64(num_slices), ctypes.c_int64(slice_size))
    are_whole = plane_size % vector_size == offset == 0
    if config["method"] == SPLIT:
        assert config["per_slice"] * config["per_block"] >= plane_size // (vector_size if are_whole else 1)
        assert 1 <= config["blocks"] <= num_slices * config["per_slice"] <= partials
        return
    assert config["method"] == STREAMED
    assert gpu[0] >= 9
    assert config["per_slice"] * config["per_block"] >= slice_size // vector_size
    if num_phases > 1:  # parts and stages begin with the same vector of each phase
        assert are_whole
        assert config["per_block"] % num_phases == linear.stage_vectors % num_phases == 0
    most_stages = (gpu[1] - linear.streamed_static_bytes) // (linear.stage_vectors * 16)
    assert -(-config["per_block"] // linear.stage_vectors) <= most_stages
    assert config["blocks"] <= H100_PROCESSORS
    if config["per_slice"] > 1:
        assert config["blocks"] * 2 + config["blocks"] // config["per_slice"] / 4 <= partials


@settings(deadline=None, max_examples=600)
@given(
    **PLANES,
    column_copies=st.integers(1, 2),
    fewer=st.fractions(0, 1),
    smaller=st.fractions(0, 1),
)
def test_what_is_set_aside_is_enough_for_smaller_tensors(
    maths: ctypes.CDLL,
    num_slices: int,
    plane_size: int,
    num_phases: int,
    element_bytes: int,
    column_copies: int,
    fewer: Fraction,
    smaller: Fraction,
) -> None:
    sizes = map(ctypes.c_int64, (num_slices, num_phases * plane_size, num_phases, column_copies))
    held = maths.host_max_held_bytes(*sizes, element_bytes)
    assert held <= num_slices * num_phases * plane_size * element_bytes
    slices, size = int(num_slices * fewer), num_phases * int(plane_size * smaller)
    if slices * size and placed_config(maths, slices, size, num_phases, element_bytes, 0, column_copies) is None:
        assert held >= slices * size * element_bytes


@pytest.mark.parametrize(
    ("shape", "method"),
    [
        ((32, 1080 * 1920, 1), STREAMED),
        ((32, 1080 * 1920, 4), STREAMED),
        ((32, 1080 * 1920, 3), None),  # phases that do not divide a stage
        ((32, 1079 * 1919, 1), STREAMED),
        ((256, 255 * 255 * 4, 4), None),  # planes of no whole vectors
        ((256, 128 * 128, 1), None),  # held in registers, which is faster even through the workspace
        ((66, 256 * 256, 1), None),  # held in clusters
        ((67, 256 * 256, 1), STREAMED),
        ((1, 1 << 28, 1), SPLIT),  # more than all shared memory
    ],
)
def test_results_that_are_scattered(maths: ctypes.CDLL, shape: tuple[int, int, int], method: int | None) -> None:
    def chosen(element_bytes: int = 4, column_copies: int = 1, gpu: tuple[int, int] = H100) -> int | None:
        config = placed_config(maths, *shape, element_bytes, column_copies=column_copies, gpu=gpu)
        return config and config["method"]

    assert chosen() == chosen(column_copies=2) == method
    assert chosen(element_bytes=2, column_copies=2) is None  # slower than through the workspace
    assert chosen(gpu=A100) == (None if method is None else SPLIT)


def test_memory_beside_scattered_results(maths: ctypes.CDLL) -> None:
    def held(num_slices: int, slice_size: int, num_phases: int = 1, column_copies: int = 1) -> int:
        sizes = map(ctypes.c_int64, (num_slices, slice_size, num_phases, column_copies))
        return int(maths.host_max_held_bytes(*sizes, 4))

    assert held(64, 64 * 64) == 64 * 64 * 64 * 4  # never scattered
    assert held(64, 512 * 512) == 64 * 2 * 227 * 1024  # smaller slices may be held in clusters
    assert held(64, 512 * 512, 4) == 64 * 512 * 512 * 4  # planes of a smaller image may have no whole vectors


@pytest.mark.parametrize(
    ("shape", "gpu", "method"),
    [
        ((8192, 1024, 4), H100, RESIDENT),
        ((64, (1 << 15) - 8, 8), H100, RESIDENT),
        ((64, 1 << 15, 8), H100, CLUSTERED),
        ((64, 1 << 15, 8), A100, RESIDENT),
        ((64, 1 << 15, 1), H100, SPLIT),  # input and output aligned differently
        ((67, 1 << 15, 4), H100, RESIDENT),
        ((66, 1 << 16, 8), H100, CLUSTERED),
        ((67, 1 << 16, 8), H100, STREAMED),  # more slices than pairs of multiprocessors
        ((64, 1 << 16, 8), A100, SPLIT),
        ((2, 115712, 4), H100, CLUSTERED),  # as much as two blocks hold, in whole warps
        ((2, 115720, 4), H100, STREAMED),
        ((85, 1 << 16, 8), RTX_5090, STREAMED),
        ((512, 512 * 512, 4), H100, STREAMED),
        ((32, 1080 * 1920, 8), H100, STREAMED),
        ((32, 1080 * 1920, 8), RTX_5090, STREAMED),
        ((32, 1080 * 1920, 8), A100, SPLIT),
        ((32, 1080 * 1920, 1), H100, SPLIT),  # input and output aligned differently
        ((1, 1 << 28, 8), H100, SPLIT),  # more than all shared memory
    ],
)
def test_each_method_has_its_shapes(
    maths: ctypes.CDLL, shape: tuple[int, int, int], gpu: tuple[int, int], method: int
) -> None:
    assert launch_config(maths, *shape, gpu=gpu)["method"] == method


@pytest.mark.parametrize(
    ("more_vectors", "method"),
    [(0, STREAMED), (32, SPLIT)],  # a ring that held no whole part would hang
    ids=["all rings full", "more than fits"],
)
def test_streamed_slices_fit_the_rings(
    maths: ctypes.CDLL, linear: LinearConstants, more_vectors: int, method: int
) -> None:
    slice_size = H100_PROCESSORS * (14 * linear.stage_vectors + more_vectors) * 8
    assert launch_config(maths, 1, slice_size, 8)["method"] == method


def test_the_h100_is_that_of_the_kernels(linear: LinearConstants) -> None:
    assert linear.h100_processors == H100_PROCESSORS
    assert (linear.h100_major_version, linear.h100_shared_bytes) == H100


@pytest.mark.parametrize(
    ("slice_size", "base_offset", "vector_size", "tiles"),
    [
        (1 << 15, 0, 4, 1),
        (1 << 15, 0, 8, 1),
        (1 << 16, 0, 4, 2),
        (1 << 16, 0, 8, 2),
        (3 << 15, 0, 8, 0),  # more than the registers of two blocks take
        ((1 << 16) - 8, 0, 8, 0),  # the last thread would have a vector less
        (1 << 16, 2, 8, 0),  # edges
        (250 * 250, 0, 4, 0),
    ],
)
def test_full_tiles_of_clusters_are_held_in_registers(
    maths: ctypes.CDLL, slice_size: int, base_offset: int, vector_size: int, tiles: int
) -> None:
    config = launch_config(maths, 2, slice_size, vector_size, base_offset)
    assert (config["method"], config["per_lane"]) == (CLUSTERED, tiles * 32 // vector_size)


@settings(deadline=None, max_examples=100)
@given(
    num_slices=st.integers(1, 1 << 16),
    slice_size=st.integers(1, 1 << 24),
    more_slices=st.integers(0, 1 << 16),
    larger=st.integers(0, 1 << 24),
)
def test_workspace_of_the_largest_shape_serves_smaller_ones(
    maths: ctypes.CDLL, num_slices: int, slice_size: int, more_slices: int, larger: int
) -> None:
    def partials(slices: int, size: int) -> int:
        return int(maths.host_workspace_partials(ctypes.c_int64(slices), ctypes.c_int64(size)))

    assert partials(num_slices, slice_size) <= partials(num_slices + more_slices, slice_size + larger)
