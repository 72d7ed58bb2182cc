"""What output maps take and refuse; crops; and that norms, which scatter and then fill pads, do as gathers."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
import numpy.typing as npt
import pytest
from host_gathers import BLOCKS_OF_4, CHANNELS_LAST, LINEAR, aligned, counting, gather
from host_tools import pointer

from tests.support.map_references import PAD_MODES, mapped

WORDS_OF_VECTOR = 4


def test_negative_pads_crop(gathers: ctypes.CDLL) -> None:
    """As the norm reads the inside of a padded residual."""
    x = counting((2, 9, 7, 8), np.int16)
    for layout in (LINEAR, CHANNELS_LAST):
        y = gather(gathers, x, (0, 0, -1, -3, 0, 0, -2, 0), (1,) * 4, "zero", layouts=(layout, layout))
        assert (y == x[:, :, 1:5, 3:]).all()


@pytest.mark.parametrize("mode", PAD_MODES)
def test_scattering_and_filling_pads_is_gathering(gathers: ctypes.CDLL, mode: str) -> None:
    """Each vector inside is the target of one input, and each pad is made of the inside, for all small images."""
    lines = [
        (size, factor, begin, end)
        for size, factor, begin, end in itertools.product((1, 2, 3, 5), (1, 2, 3), (0, 1, 2, 4), (0, 1, 3))
        if mode != "reflect" or max(begin, end) < size * factor
    ]
    for number, row in enumerate(lines):
        column = lines[(number * 37 + 5) % len(lines)]
        (rows, row_factor, *row_pads), (columns, column_factor, *column_pads) = row, column
        check_scattered(
            gathers,
            counting((3, rows, columns, 1 + number % 3, WORDS_OF_VECTOR), np.int32),
            (row_pads[0], column_pads[0], row_pads[1], column_pads[1]),
            (row_factor, column_factor),
            mode,
        )


@pytest.mark.parametrize("mode", PAD_MODES)
def test_pads_of_many_blocks_are_filled(gathers: ctypes.CDLL, mode: str) -> None:
    for pads in ((40, 50, 30, 60), (40, 0, 0, 0), (0, 0, 0, 60), (0, 50, 0, 0)):
        check_scattered(gathers, counting((2, 41, 61, 2, WORDS_OF_VECTOR), np.int32), pads, (1, 1), mode)


def check_scattered(
    gathers: ctypes.CDLL, x: npt.NDArray, pads: tuple[int, ...], factors: tuple[int, int], mode: str
) -> None:
    """Hold x [N, H, W, vectors, words], scattered and then padded, against numpy; pads in ONNX order."""
    top, left, bottom, right = pads
    expected = mapped(x, (0, top, left, 0, 0, 0, bottom, right, 0, 0), (1, *factors, 1, 1), mode)
    y = aligned(expected.shape, expected.dtype)
    counts = np.zeros(expected.shape[:-1], dtype=np.int32)
    numbers = np.array([x.shape[1], factors[0], top, bottom, x.shape[2], factors[1], left, right], dtype=np.int32)
    gathers.host_scatter(pointer(x), pointer(y), pointer(counts), x.shape[0], x.shape[3], pointer(numbers))
    inside = (slice(None), slice(top, y.shape[1] - bottom), slice(left, y.shape[2] - right))
    assert (counts[inside] == 1).all()
    assert counts.sum() == counts[inside].size
    assert (y[inside] == expected[inside]).all()
    gathers.host_fill_pads(pointer(y), x.shape[0], x.shape[3], pointer(numbers), PAD_MODES.index(mode), 16)
    assert (y == expected).all()


@pytest.mark.parametrize(
    ("sizes", "pads", "upsample", "mode", "bad_axis"),
    [
        ([4, 5], [3, 4, 3, 4], [1, 1], "reflect", -1),
        ([4, 5], [3, 5, 3, 4], [1, 1], "reflect", 1),
        ([4, 5], [7, 4, 3, 4], [2, 1], "reflect", -1),
        ([4, 5], [0, 9, 0, 9], [1, 1], "edge", -1),
        ([4, 5], [0, 9, 0, 9], [1, 1], "zero", -1),
        ([4, 5], [0, 0, 0, -1], [1, 1], "zero", 1),
        ([4, 5], [0, 0, 0, 0], [0, 1], "zero", 0),
        ([0, 5], [1, 0, 1, 0], [1, 1], "zero", -1),
        ([0, 5], [1, 0, 1, 0], [1, 1], "edge", 0),
        ([0, 5], [0, 1, 0, 1], [2, 2], "reflect", -1),
    ],
)
def test_bad_axes_are_found(
    gathers: ctypes.CDLL, sizes: list[int], pads: list[int], upsample: list[int], mode: str, bad_axis: int
) -> None:
    arrays = [np.array(values, dtype=np.int64) for values in (sizes, pads, upsample)]
    found = gathers.host_find_bad_axis(len(sizes), *map(pointer, arrays), PAD_MODES.index(mode))
    assert found == bad_axis


def test_zero_pads_of_nothing_are_zero(gathers: ctypes.CDLL) -> None:
    x = np.zeros((2, 0), dtype=np.float32)
    assert not gather(gathers, x, (0, 3, 0, 2), (1, 1), "zero").any()


@pytest.mark.parametrize(
    ("pads", "upsample", "layouts", "is_possible"),
    [
        ([0, 0, 1, 0, 0, 1], [1, 1, 2], (CHANNELS_LAST, CHANNELS_LAST), True),
        ([0, 0, 1, 0, 0, 1], [1, 1, 2], (LINEAR, CHANNELS_LAST), True),
        ([0, 1, 1, 0, 0, 1], [1, 1, 2], (LINEAR, CHANNELS_LAST), False),
        ([0, 1, 1, 0, 0, 1], [1, 2, 2], (LINEAR, LINEAR), True),
        ([0, 0, 1, 0, 0, 1], [1, 2, 2], (CHANNELS_LAST, CHANNELS_LAST), False),
        ([0, 0, 1, 0, 0, 1], [1, 1, 2], (BLOCKS_OF_4, BLOCKS_OF_4), True),
        ([0, 0, 1, 0, 0, 1], [1, 1, 2], (BLOCKS_OF_4, CHANNELS_LAST), False),
        ([0, 0, 0, 0], [1, 1], (CHANNELS_LAST, CHANNELS_LAST), False),
        ([0] * 16, [1] * 8, (LINEAR, CHANNELS_LAST), False),
    ],
)
def test_layouts_that_can_be_mapped(
    gathers: ctypes.CDLL, pads: list[int], upsample: list[int], layouts: tuple[int, int], is_possible: bool
) -> None:
    arrays = [np.array(values, dtype=np.int64) for values in (pads, upsample)]
    assert bool(gathers.host_can_map_between(len(upsample), *map(pointer, arrays), *layouts)) == is_possible
