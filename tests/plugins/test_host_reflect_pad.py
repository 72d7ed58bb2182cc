"""ReflectPad's arithmetic - spatial map, merged axes, fast division - built for the host, no GPU needed."""

from __future__ import annotations

import ctypes
import math

import numpy as np
import numpy.typing as npt
import pytest
from host_tools import pointer, session_of
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from tests.support.references import reflect_pad_reference

PAD_SESSION = session_of("Pad", {"x": TensorProto.INT32, "pads": TensorProto.INT64}, mode="reflect")


@settings(deadline=None, max_examples=500)
@given(dividend=st.integers(0, 2**31 - 1), divisor=st.integers(1, 2**31 - 1))
def test_fast_division(maths: ctypes.CDLL, dividend: int, divisor: int) -> None:
    for n in (dividend, dividend // divisor * divisor, max(dividend // divisor * divisor - 1, 0)):
        assert maths.host_fast_divide(ctypes.c_uint32(n), ctypes.c_uint32(divisor)) == n // divisor


@st.composite
def pad_cases(draw: st.DrawFn, max_size: int = 9, max_rank: int = 5) -> tuple[list[int], list[int]]:
    sizes = draw(st.lists(st.integers(1, max_size), min_size=1, max_size=max_rank))
    is_padded = draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes)))
    limits = [size - 1 if padded else 0 for size, padded in zip(sizes, is_padded, strict=True)]
    pads = [draw(st.integers(0, limit)) for limit in limits * 2]
    return sizes, pads


def pad_on_host(
    maths: ctypes.CDLL, x: npt.NDArray[np.int32], pads: list[int], offset: int, vector_size: int, fast: bool
) -> npt.NDArray[np.int32]:
    rank = x.ndim
    output_shape = [size + pads[axis] + pads[rank + axis] for axis, size in enumerate(x.shape)]
    y = np.zeros(output_shape, dtype=np.int32)
    sizes = np.array(x.shape, dtype=np.int64)
    pads64 = np.array(pads, dtype=np.int64)
    maths.host_reflect_pad(
        rank, pointer(sizes), pointer(pads64), offset % vector_size, vector_size, int(fast), pointer(x), pointer(y)
    )
    return y


def pad_planes_on_host(maths: ctypes.CDLL, x: npt.NDArray[np.int32], pads: list[int]) -> npt.NDArray[np.int32] | None:
    """Return what a launch by planes writes, or None where the pads do not allow one."""
    y = np.zeros([size + pads[axis] + pads[x.ndim + axis] for axis, size in enumerate(x.shape)], dtype=np.int32)
    sizes, pads64 = np.array(x.shape, dtype=np.int64), np.array(pads, dtype=np.int64)
    is_done = maths.host_reflect_pad_planes(x.ndim, pointer(sizes), pointer(pads64), pointer(x), pointer(y))
    return y if is_done else None


@settings(deadline=None, max_examples=300)
@given(
    case=pad_cases(),
    offset=st.integers(0, 15),
    vector_size=st.sampled_from([1, 2, 4, 8, 16]),
    fast=st.booleans(),
)
def test_reflect_pad_agrees_with_reference_and_onnx_runtime(
    maths: ctypes.CDLL, case: tuple[list[int], list[int]], offset: int, vector_size: int, fast: bool
) -> None:
    sizes, pads = case
    x = np.arange(1, math.prod(sizes) + 1, dtype=np.int32).reshape(sizes)
    y = pad_on_host(maths, x, pads, offset, vector_size, fast)
    assert np.array_equal(y, reflect_pad_reference(x, pads))
    (expected,) = PAD_SESSION.run(None, {"x": x, "pads": np.array(pads, dtype=np.int64)})
    assert np.array_equal(y, expected)


@settings(deadline=None, max_examples=300)
@given(case=pad_cases())
def test_planes_are_padded_alike(maths: ctypes.CDLL, case: tuple[list[int], list[int]]) -> None:
    sizes, pads = case
    x = np.arange(1, math.prod(sizes) + 1, dtype=np.int32).reshape(sizes)
    y = pad_planes_on_host(maths, x, pads)
    if pads[0] or pads[len(sizes)] or not any(pads):
        assert y is None
    else:
        assert y is not None
        assert np.array_equal(y, reflect_pad_reference(x, pads))


IMAGE_PADS = [0, 0, 3, 3, 0, 0, 3, 3]


@pytest.mark.parametrize(
    ("element_bytes", "sizes", "pads", "by_planes"),
    [
        (4, [1, 64, 256, 256], IMAGE_PADS, True),
        (4, [8, 64, 512, 506], IMAGE_PADS, False),  # rows of 512 words
        (4, [8, 64, 512, 505], IMAGE_PADS, True),
        (2, [8, 64, 512, 249], IMAGE_PADS, True),
        (2, [8, 64, 512, 250], IMAGE_PADS, False),
        (1, [8, 64, 512, 121], IMAGE_PADS, True),
        (1, [8, 64, 512, 122], IMAGE_PADS, False),
        (4, [1, 3, 506, 618], IMAGE_PADS, True),  # fewer than 2^20 words
        (4, [1, 1, 2000, 1018], IMAGE_PADS, False),
        (4, [1, 1, 9000, 250], IMAGE_PADS, False),  # one plane
        (4, [1, 1, 250, 250], IMAGE_PADS, True),
        (4, [1, 1, 1000, 1000], IMAGE_PADS, False),
        (4, [1, 480000], [0, 200, 0, 200], False),
        (4, [64, 256, 8, 8], IMAGE_PADS, False),  # planes of fewer words than a block has threads
        (4, [64, 256, 10, 10], IMAGE_PADS, True),
        (4, [2, 8, 16, 16], [1, 0, 3, 3, 0, 0, 3, 3], False),  # padded images
        (4, [1, 256, 44100], [0, 0, 512, 0, 0, 512], False),
        (4, [1, 16, 128, 128, 128], [0, 0, 1, 1, 1, 0, 0, 1, 1, 1], True),
        (4, [7], [3, 3], False),
        (4, [5, 7], [0, 0, 0, 0], False),
    ],
)
def test_choice_between_planes_and_vectors(
    maths: ctypes.CDLL, element_bytes: int, sizes: list[int], pads: list[int], by_planes: bool
) -> None:
    arguments = pointer(np.array(sizes, dtype=np.int64)), pointer(np.array(pads, dtype=np.int64))
    assert maths.host_pads_by_planes(element_bytes, len(sizes), *arguments) == by_planes


@pytest.mark.parametrize("width", [1, 7, 8, 9, 15, 16, 17, 255, 256, 257, 4095, 4096, 4097])
def test_reflect_pad_around_vector_and_block_edges(maths: ctypes.CDLL, width: int) -> None:
    x = np.arange(1, 3 * width + 1, dtype=np.int32).reshape(3, width)
    pad = min(3, width - 1)
    for pads in ([0, pad, 0, pad], [2, 0, 1, pad], [1, 0, 0, 0]):
        for vector_size in (1, 4, 8, 16):
            y = pad_on_host(maths, x, pads, vector_size - 1, vector_size, True)
            assert np.array_equal(y, reflect_pad_reference(x, pads))


@settings(deadline=None, max_examples=200)
@given(
    sizes=st.lists(st.integers(1, 4000), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_pad_source_of_huge_tensors(maths: ctypes.CDLL, sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    pads = [int(rng.integers(0, size)) for size in sizes * 2]
    rank = len(sizes)
    outputs = [size + pads[axis] + pads[rank + axis] for axis, size in enumerate(sizes)]
    sizes64, pads64 = np.array(sizes, dtype=np.int64), np.array(pads, dtype=np.int64)
    fits = maths.host_fits_fast_index(rank, pointer(sizes64), pointer(pads64))
    assert fits == (math.prod(outputs) < 2**31 - 32)
    for _ in range(5):
        coordinates = [int(rng.integers(0, size)) for size in outputs]
        coordinates[-1] = outputs[-1] - 1 if rng.random() < 0.3 else coordinates[-1]
        flat_output = flat_index(coordinates, outputs)
        mirrored = [abs(c - pads[axis]) for axis, c in enumerate(coordinates)]
        source = [min(m, 2 * (size - 1) - m) for m, size in zip(mirrored, sizes, strict=True)]
        for fast in range(fits + 1):
            found = maths.host_pad_source(rank, pointer(sizes64), pointer(pads64), ctypes.c_int64(flat_output), fast)
            assert found == flat_index(source, sizes)


def test_an_axis_may_be_longer_than_half_of_the_index_range(maths: ctypes.CDLL) -> None:
    size = (1 << 30) + 7  # twice that is more than a signed 32-bit number holds
    sizes64, pads64 = np.array([size], dtype=np.int64), np.array([2, 3], dtype=np.int64)
    assert maths.host_fits_fast_index(1, pointer(sizes64), pointer(pads64))
    for output, source in {0: 2, 1: 1, 2: 0, 7: 5, size + 1: size - 1, size + 4: size - 4}.items():
        for fast in range(2):
            assert maths.host_pad_source(1, pointer(sizes64), pointer(pads64), ctypes.c_int64(output), fast) == source


def flat_index(coordinates: list[int], sizes: list[int]) -> int:
    index = 0
    for coordinate, size in zip(coordinates, sizes, strict=True):
        index = index * size + coordinate
    return index


LINEAR, CHANNELS_LAST, BLOCKS_OF_4, BLOCKS_OF_32 = range(4)


def pad_words(
    maths: ctypes.CDLL, layout: int, element_bytes: int, sizes: list[int], pads: list[int], alignment: int
) -> tuple[list[tuple[int, int, int]], int]:
    """Return size, begin and end pad of each axis in memory order, and the bytes of the words that they count."""
    result = np.zeros(32, dtype=np.int64)
    maths.host_pad_words(
        layout,
        element_bytes,
        len(sizes),
        pointer(np.array(sizes, dtype=np.int64)),
        pointer(np.array(pads, dtype=np.int64)),
        ctypes.c_int64(alignment),
        pointer(result),
    )
    rank, *rest = result.tolist()
    return [tuple(rest[3 * axis : 3 * axis + 3]) for axis in range(rank)], rest[3 * rank]


@pytest.mark.parametrize(
    ("sizes", "pads", "rank"),
    [
        ([2, 3, 4, 5], [0, 0, 1, 1, 0, 0, 1, 1], 3),
        ([2, 3, 4, 5], [0] * 8, 1),
        ([2, 3, 4, 5], [0, 1, 0, 0, 0, 0, 0, 0], 3),
        ([2, 3, 4, 5], [1, 1, 1, 1, 1, 1, 1, 1], 4),
    ],
)
def test_unpadded_neighbours_become_one_axis(maths: ctypes.CDLL, sizes: list[int], pads: list[int], rank: int) -> None:
    assert len(pad_words(maths, LINEAR, 4, sizes, pads, alignment=4)[0]) == rank


SPATIAL = [0, 0, 1, 2, 0, 0, 3, 4]


@pytest.mark.parametrize(
    ("layout", "element_bytes", "sizes", "pads", "alignment", "axes", "word_bytes"),
    [
        (LINEAR, 2, [2, 3, 6, 8], SPATIAL, 256, [(6, 0, 0), (6, 1, 3), (8, 2, 4)], 2),
        (LINEAR, 2, [2, 3, 6, 8], [0, 1, 0, 0, 0, 0, 0, 0], 256, [(2, 0, 0), (3, 1, 0), (6, 0, 0)], 16),
        (LINEAR, 2, [2, 3, 6, 8], [0, 1, 0, 0, 0, 0, 0, 0], 4, [(2, 0, 0), (3, 1, 0), (24, 0, 0)], 4),
        (LINEAR, 1, [3, 2], [1, 0, 1, 0], 256, [(3, 1, 1)], 2),
        (LINEAR, 8, [4], [0, 0], 256, [(2, 0, 0)], 16),
        (LINEAR, 4, [3], [0, 0], 256, [(3, 0, 0)], 4),
        (CHANNELS_LAST, 2, [2, 20, 6, 8], SPATIAL, 256, [(2, 0, 0), (6, 1, 3), (8, 2, 4), (3, 0, 0)], 16),
        (CHANNELS_LAST, 2, [2, 3, 6, 8], SPATIAL, 256, [(2, 0, 0), (6, 1, 3), (8, 2, 4)], 16),
        (CHANNELS_LAST, 4, [1, 8, 6, 8], [0, 0, 1, 0, 0, 0, 1, 0], 256, [(1, 0, 0), (6, 1, 1), (16, 0, 0)], 16),
        (CHANNELS_LAST, 1, [2, 20, 6, 8], SPATIAL, 256, [(2, 0, 0), (6, 1, 3), (8, 2, 4), (2, 0, 0)], 16),
        (BLOCKS_OF_4, 1, [2, 5, 6, 8], SPATIAL, 256, [(4, 0, 0), (6, 1, 3), (8, 2, 4)], 4),
        (BLOCKS_OF_32, 1, [2, 65, 6, 8], SPATIAL, 256, [(6, 0, 0), (6, 1, 3), (8, 2, 4), (2, 0, 0)], 16),
    ],
)
def test_layouts_are_padded_as_words_in_memory_order(
    maths: ctypes.CDLL,
    layout: int,
    element_bytes: int,
    sizes: list[int],
    pads: list[int],
    alignment: int,
    axes: list[tuple[int, int, int]],
    word_bytes: int,
) -> None:
    assert pad_words(maths, layout, element_bytes, sizes, pads, alignment) == (axes, word_bytes)


@pytest.mark.parametrize("layout", [CHANNELS_LAST, BLOCKS_OF_4, BLOCKS_OF_32])
@pytest.mark.parametrize(
    ("pads", "is_possible"),
    [(SPATIAL, True), ([2, 0, 1, 1, 2, 0, 1, 1], True), ([0, 1, 0, 0, 0, 0, 0, 0], False), ([0, 0, 0, 0], False)],
)
def test_channels_that_lie_together_are_not_padded(
    maths: ctypes.CDLL, layout: int, pads: list[int], is_possible: bool
) -> None:
    pads64 = np.array(pads, dtype=np.int64)
    assert bool(maths.host_can_pad_in(layout, len(pads) // 2, pointer(pads64))) == is_possible
    assert maths.host_can_pad_in(LINEAR, len(pads) // 2, pointer(pads64))


@pytest.mark.parametrize(
    ("sizes", "pads", "bad_axis"),
    [
        ([4, 5], [3, 4, 3, 4], -1),
        ([4, 5], [0, 5, 0, 0], 1),
        ([4, 5], [0, 0, 4, 0], 0),
        ([1], [0, 0], -1),
        ([1], [1, 0], 0),
        ([4], [-1, 0], 0),
        ([0, 5], [0, 1, 0, 1], -1),
        ([0, 5], [1, 1, 0, 1], 0),
    ],
)
def test_pads_that_reach_beyond_their_axis_are_found(
    maths: ctypes.CDLL, sizes: list[int], pads: list[int], bad_axis: int
) -> None:
    sizes64, pads64 = np.array(sizes, dtype=np.int64), np.array(pads, dtype=np.int64)
    assert maths.host_find_bad_pad(len(sizes), pointer(sizes64), pointer(pads64)) == bad_axis
