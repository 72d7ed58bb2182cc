"""The gathers of output maps, kernels included, built for the host and held against numpy's own pad and repeat."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Sequence
from pathlib import Path

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from host_compiler import compile_cpp
from host_tools import pointer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.map_references import ACTIVATIONS, PAD_MODES, activated, mapped

LINEAR, CHANNELS_LAST, BLOCKS_OF_4, BLOCKS_OF_32 = range(4)
DTYPES = (np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))
WORDS = -1
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def gathers(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    cuda = HERE / "host_cuda"
    warnings = ("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas")
    output = tmp_path_factory.mktemp("host_gather") / "libhost_gather.so"
    options = ("-O0", "-fPIC", "-shared", "-iquote", str(cuda), f"-I{cuda}", *warnings)
    return ctypes.CDLL(str(compile_cpp(HERE / "host_gather.cpp", output, *options)))


def lanes_of(layout: int, dtype: np.dtype) -> int:
    return {LINEAR: 1, CHANNELS_LAST: 16 // dtype.itemsize, BLOCKS_OF_4: 4, BLOCKS_OF_32: 32}[layout]


def stored(x: npt.NDArray, layout: int, filling: float) -> npt.NDArray:
    """Return x as it lies in memory, aligned to 16 bytes."""
    if layout != LINEAR:
        lanes = lanes_of(layout, x.dtype)
        groups = -(-x.shape[1] // lanes)
        filled = np.full((x.shape[0], groups * lanes, *x.shape[2:]), filling, dtype=x.dtype)
        filled[:, : x.shape[1]] = x
        x = np.moveaxis(filled, 1, -1)
        if layout != CHANNELS_LAST:
            x = np.moveaxis(filled.reshape(x.shape[0], groups, lanes, *x.shape[1:-1]), 2, -1)
    result = aligned(x.shape, x.dtype)
    result[...] = x
    return result


def aligned(shape: Sequence[int], dtype: np.dtype) -> npt.NDArray:
    """Return an array of 0x5A bytes at an address that 16 divides."""
    size = int(np.prod(shape)) * dtype.itemsize
    buffer = np.full(size + 16, 0x5A, dtype=np.uint8)
    begin = -buffer.ctypes.data % 16
    return buffer[begin : begin + size].view(dtype).reshape(shape)


def gather(
    gathers: ctypes.CDLL,
    x: npt.NDArray,
    pads: Sequence[int],
    upsample: Sequence[int],
    mode: str,
    *,
    layouts: tuple[int, int] = (LINEAR, LINEAR),
    to: np.dtype | None = None,
    activation: str | None = None,
    alpha: float = 0.0,
) -> npt.NDArray:
    """Return Y as the kernels write it, after checking that all of it was written and its filling is zero."""
    target_type = x.dtype if to is None else to
    is_moved = to is None and activation is None
    shape = [
        size * factor + pads[axis] + pads[axis + x.ndim]
        for axis, (size, factor) in enumerate(zip(x.shape, upsample, strict=True))
    ]
    source = stored(x, layouts[0], 7 if is_moved else np.nan)
    expected = stored(np.zeros(shape, dtype=target_type), layouts[1], 0)
    y = aligned(expected.shape, target_type)
    sizes, both_pads, factors = (np.array(values, dtype=np.int64) for values in (x.shape, pads, upsample))
    gathers.host_gather(
        pointer(source),
        pointer(y),
        x.ndim,
        pointer(sizes),
        pointer(both_pads),
        pointer(factors),
        PAD_MODES.index(mode),
        *layouts,
        x.dtype.itemsize,
        *((WORDS, WORDS) if is_moved else (DTYPES.index(x.dtype), DTYPES.index(target_type))),
        ("none", "relu", "leaky_relu", "prelu", "silu", "elu", "tanh").index(activation or "none"),
        ctypes.c_float(alpha),
    )
    return unstored(y, shape, layouts[1])


def unstored(y: npt.NDArray, shape: Sequence[int], layout: int) -> npt.NDArray:
    if layout == LINEAR:
        return y
    if layout == CHANNELS_LAST:
        filled = np.moveaxis(y, -1, 1)
    else:
        filled = np.moveaxis(y, -1, 2).reshape(shape[0], -1, *shape[2:])
    if layout == CHANNELS_LAST:
        assert not filled[:, shape[1] :].astype(np.float32).any()
    return filled[:, : shape[1]]


def counting(shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray:
    count = np.arange(int(np.prod(shape)))
    modulus = {2: 251, 1: 125}.get(np.dtype(dtype).itemsize, 1 << 20)
    return (count % modulus + 1).astype(dtype).reshape(shape)


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
            pointer(x), pointer(y), 1, pointer(sizes), pointer(pads), pointer(factors), PAD_MODES.index(mode)
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


@settings(deadline=None, max_examples=300)
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


@settings(deadline=None, max_examples=300)
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


@settings(deadline=None, max_examples=400)
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


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_stays(gathers: ctypes.CDLL, activation: str) -> None:
    x = np.array([np.nan, 1.0, -np.inf, np.inf], dtype=np.float32)
    y = gather(gathers, x, (0, 0), (1,), "zero", activation=activation)
    assert np.isnan(y[0])
    assert activation != "relu" or list(y[1:]) == [1.0, 0.0, np.inf]


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
