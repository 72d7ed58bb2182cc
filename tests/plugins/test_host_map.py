"""What output maps take and refuse; crops; and that scattering, as norms do it, is the inverse of gathering."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
import pytest
from host_gathers import BLOCKS_OF_4, CHANNELS_LAST, LINEAR, counting, gather
from host_tools import pointer

from tests.support.map_references import PAD_MODES, mapped


def test_negative_pads_crop(gathers: ctypes.CDLL) -> None:
    """As the norm reads the inside of a padded residual."""
    x = counting((2, 9, 7, 8), np.int16)
    for layout in (LINEAR, CHANNELS_LAST):
        y = gather(gathers, x, (0, 0, -1, -3, 0, 0, -2, 0), (1,) * 4, "zero", layouts=(layout, layout))
        assert (y == x[:, :, 1:5, 3:]).all()


@pytest.mark.parametrize("mode", PAD_MODES)
def test_scattering_is_the_inverse_of_gathering(gathers: ctypes.CDLL, mode: str) -> None:
    """Each output is the target of one input, for all small images."""
    lines = [
        (size, factor, begin, end)
        for size, factor, begin, end in itertools.product((1, 2, 3, 5), (1, 2, 3), (0, 1, 2, 4), (0, 1, 3))
        if mode != "reflect" or max(begin, end) < size * factor
    ]
    for number, row in enumerate(lines):
        column = lines[(number * 37 + 5) % len(lines)]
        (rows, row_factor, *row_pads), (columns, column_factor, *column_pads) = row, column
        x = counting((2, rows, columns, 3), np.int32)
        pads = (0, row_pads[0], column_pads[0], 0, 0, row_pads[1], column_pads[1], 0)
        expected = mapped(x, pads, (1, row_factor, column_factor, 1), mode)
        y, counts = np.zeros_like(expected), np.zeros_like(expected)
        numbers = np.array([*row, *column], dtype=np.int32)
        gathers.host_scatter(
            pointer(x), pointer(y), pointer(counts), x.shape[0], x.shape[3], pointer(numbers), PAD_MODES.index(mode)
        )
        assert (counts == 1).all()
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
