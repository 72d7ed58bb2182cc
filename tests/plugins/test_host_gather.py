"""The gathers of output maps, kernels included, built for the host and held against numpy's own pad and repeat."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
import pytest
from host_gathers import BLOCKS_OF_4, BLOCKS_OF_32, CHANNELS_LAST, DTYPES, LINEAR, counting, gather
from host_tools import pointer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.extent import num_examples
from tests.support.map_references import ACTIVATIONS, PAD_MODES, activated, mapped


@pytest.mark.parametrize("mode", PAD_MODES)
def test_every_small_line(gathers: ctypes.CDLL, mode: str) -> None:
    """Each size, factor and pair of pads of one axis, by all numbers of both kinds."""
    for size, factor, begin, end in itertools.product((1, 2, 3, 5), (1, 2, 3), (0, 1, 2, 5), (0, 1, 3)):
        if mode == "reflect" and max(begin, end) >= size * factor and max(begin, end) > 0:
            continue
        x = counting((size,), np.int32)
        expected = mapped(x, (begin, end), (factor,), mode)
        assert (gather(gathers, x, (begin, end), (factor,), mode) == expected).all()
        y = np.zeros_like(expected)
        sizes, pads, factors = (np.array(values, dtype=np.int64) for values in ((size,), (begin, end), (factor,)))
        gathers.host_gather_large(
            pointer(x), pointer(y), 1, pointer(sizes), pointer(pads), pointer(factors), None, PAD_MODES.index(mode)
        )
        assert (y == expected).all()


@st.composite
def map_cases(
    draw: st.DrawFn, min_rank: int = 1, max_rank: int = 5, max_size: int = 6, *, maps_channels: bool = True
) -> tuple[list[int], list[int], list[int], str]:
    """Return sizes, pads, factors and mode of a map."""
    sizes = draw(st.lists(st.integers(1, max_size), min_size=min_rank, max_size=max_rank))
    mode = draw(st.sampled_from(PAD_MODES))
    factors, begins, ends = [], [], []
    for axis, size in enumerate(sizes):
        is_mapped = draw(st.booleans()) and (axis != 1 or maps_channels)
        factors.append(draw(st.sampled_from((1, 2, 2, 3))) if is_mapped else 1)
        limit = min(size * factors[-1] - 1 if mode == "reflect" else 5, 5) if is_mapped else 0
        begins.append(draw(st.integers(0, limit)))
        ends.append(draw(st.integers(0, limit)))
    return sizes, begins + ends, factors, mode


@settings(deadline=None, max_examples=num_examples(300))
@given(case=map_cases(), dtype=st.sampled_from(("int8", "int16", "int32", "int64")))
def test_words_of_linear_tensors(
    gathers: ctypes.CDLL, case: tuple[list[int], list[int], list[int], str], dtype: str
) -> None:
    sizes, pads, factors, mode = case
    x = counting(sizes, dtype)
    assert (gather(gathers, x, pads, factors, mode) == mapped(x, pads, factors, mode)).all()


@settings(deadline=None, max_examples=60)
@given(case=map_cases(2, 4, 24), dtype=st.sampled_from(("int8", "int16", "int32")))
def test_words_of_large_planes(
    gathers: ctypes.CDLL, case: tuple[list[int], list[int], list[int], str], dtype: str
) -> None:
    sizes, pads, factors, mode = case
    x = counting(sizes, dtype)
    assert (gather(gathers, x, pads, factors, mode) == mapped(x, pads, factors, mode)).all()


@settings(deadline=None, max_examples=num_examples(300))
@given(
    case=map_cases(3, 5, 5, maps_channels=False),
    channels=st.sampled_from((1, 3, 7, 8, 9, 17)),
    form=st.sampled_from(
        (
            *(((CHANNELS_LAST, CHANNELS_LAST), dtype) for dtype in ("int8", "int16", "int32", "int64")),
            *(((LINEAR, CHANNELS_LAST), dtype) for dtype in ("int8", "int16", "int32")),
            *(((CHANNELS_LAST, LINEAR), dtype) for dtype in ("int8", "int16", "int32")),
            ((BLOCKS_OF_4, BLOCKS_OF_4), "int8"),
            ((BLOCKS_OF_32, BLOCKS_OF_32), "int8"),
        )
    ),
)
def test_words_in_all_layouts(
    gathers: ctypes.CDLL,
    case: tuple[list[int], list[int], list[int], str],
    channels: int,
    form: tuple[tuple[int, int], str],
) -> None:
    (sizes, pads, factors, mode), (layouts, dtype) = case, form
    x = counting((sizes[0], channels, *sizes[2:]), dtype)
    y = gather(gathers, x, pads, factors, mode, layouts=layouts)
    assert (y == mapped(x, pads, factors, mode)).all()


@settings(deadline=None, max_examples=num_examples(400))
@given(
    case=map_cases(3, 5, 5, maps_channels=False),
    channels=st.sampled_from((1, 3, 4, 8, 12, 17)),
    layouts=st.tuples(st.sampled_from((LINEAR, CHANNELS_LAST)), st.sampled_from((LINEAR, CHANNELS_LAST))),
    types=st.tuples(st.sampled_from(DTYPES), st.sampled_from(DTYPES)),
    activation=st.sampled_from(tuple(ACTIVATIONS)),
    seed=st.integers(0, 2**32 - 1),
)
def test_activations_and_types(
    gathers: ctypes.CDLL,
    case: tuple[list[int], list[int], list[int], str],
    channels: int,
    layouts: tuple[int, int],
    types: tuple[np.dtype, np.dtype],
    activation: str,
    seed: int,
) -> None:
    sizes, pads, factors, mode = case
    x = (np.random.default_rng(seed).standard_normal((sizes[0], channels, *sizes[2:])) * 4).astype(types[0])
    y = gather(gathers, x, pads, factors, mode, layouts=layouts, to=types[1], activation=activation, alpha=0.3).astype(
        np.float64
    )
    expected = mapped(activated(x, activation, 0.3), pads, factors, mode)
    spacing = np.spacing(np.abs(expected).astype(types[1])).astype(np.float64)
    assert (np.abs(y - expected) <= spacing / 2 + 2e-6 * np.abs(expected) + 1e-7).all()


@pytest.mark.parametrize("planes", [1, 5, 9, 17])
@pytest.mark.parametrize("columns", [32, 34, 35])
@pytest.mark.parametrize("types", list(itertools.product(DTYPES[:2], repeat=2)))
def test_types_of_large_planes(
    gathers: ctypes.CDLL, types: tuple[np.dtype, np.dtype], columns: int, planes: int
) -> None:
    """Rows that are whole runs of 4, of 2 and of neither; whole and broken groups of planes."""
    x = (counting((planes, 9, columns), np.float32) % 100 - 50).astype(types[0])
    for pads, upsample in (((0, 0, 0, 0, 0, 0), (1, 2, 2)), ((0, 1, 2, 0, 3, 2), (1, 1, 1))):
        y = gather(gathers, x, pads, upsample, "edge", to=types[1], activation="relu")
        assert (y == mapped(np.maximum(x, 0), pads, upsample, "edge")).all()
        assert gathers.host_last_launch() == b"launch of gatherPlanes"


@pytest.mark.parametrize("channels", [4, 8, 17, 64])
@pytest.mark.parametrize(
    ("layouts", "kernel"),
    [((LINEAR, CHANNELS_LAST), "gatherToChannels"), ((CHANNELS_LAST, LINEAR), "gatherFromChannels")],
)
def test_channels_change_their_layout(
    gathers: ctypes.CDLL, layouts: tuple[int, int], kernel: str, channels: int
) -> None:
    """Images and volumes of more pixels than a warp takes, in whole warps and not, by a kernel of their own."""
    for sizes in ((70,), (5, 19), (3, 5, 6)):
        for upsample, pad in itertools.product((1, 2), (0, 1)):
            x = counting((2, channels, *sizes), np.int16)
            pads = (0, 0, *(pad,) * len(sizes)) * 2
            factors = (1, 1, *(upsample,) * len(sizes))
            y = gather(gathers, x, pads, factors, "reflect", layouts=layouts)
            assert (y == mapped(x, pads, factors, "reflect")).all()
            assert gathers.host_last_launch().decode() == f"launch of {kernel}"


@pytest.mark.parametrize(
    ("channels", "sizes", "pads", "kernel"),
    [
        (3, (5, 36), (0, 0, 0, 0), "gatherThinRows"),
        (3, (4, 35), (0, 0, 0, 0), "gatherThinRows"),
        (3, (5, 36), (2, 0, 1, 0), "gatherThinRows"),
        (3, (4, 3, 140), (0, 0, 0, 0, 0, 0), "gatherThinRows"),
        (3, (5, 35), (0, 0, 0, 0), "gatherFromChannels"),
        (3, (5, 34), (0, 1, 0, 1), "gatherFromChannels"),
        (4, (5, 36), (0, 0, 0, 0), "gatherFromChannels"),
    ],
)
def test_thin_images(
    gathers: ctypes.CDLL, channels: int, sizes: tuple[int, ...], pads: tuple[int, ...], kernel: str
) -> None:
    x = counting((2, channels, *sizes), np.float16)
    half = len(sizes)
    both_pads, factors = (0, 0, *pads[:half], 0, 0, *pads[half:]), (1,) * x.ndim
    y = gather(gathers, x, both_pads, factors, "zero", layouts=(CHANNELS_LAST, LINEAR), to=np.dtype(np.float32))
    assert (y == mapped(x, both_pads, factors, "zero")).all()
    assert gathers.host_last_launch().decode() == f"launch of {kernel}"


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_stays(gathers: ctypes.CDLL, activation: str) -> None:
    x = np.array([np.nan, 1.0, -np.inf, np.inf], dtype=np.float32)
    y = gather(gathers, x, (0, 0), (1,), "zero", activation=activation)
    assert np.isnan(y[0])
    assert activation != "relu" or list(y[1:]) == [1.0, 0.0, np.inf]
