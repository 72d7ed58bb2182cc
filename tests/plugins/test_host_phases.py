"""Maps that read phases, kernels included, built for the host and held against numpy's reshape and transpose."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
import pytest
from host_gathers import BLOCKS_OF_4, CHANNELS_LAST, DTYPES, LINEAR, aligned, aligned_copy, counting, gather
from host_tools import pointer
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from onnx.reference import ReferenceEvaluator

from tests.support.map_references import ACTIVATIONS, PAD_MODES, activated, phased, spatially_mapped

WORDS_OF_VECTOR = 4
LAYOUTS = tuple(itertools.product((LINEAR, CHANNELS_LAST), repeat=2))


def test_the_reference_is_depth_to_space() -> None:
    """For images with equal phases ONNX has an operator."""
    x = counting((2, 12, 3, 5), np.float32)
    node = helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=2, mode="DCR")
    (expected,) = ReferenceEvaluator(node).run(None, {"x": x})
    assert (phased(x, (2, 2), (0, 0)) == expected).all()
    assert (phased(x, (2, 2), (1, 0)) == expected[:, :, :-1]).all()


@pytest.mark.parametrize("num_axes", [1, 2, 3])
@pytest.mark.parametrize("layouts", LAYOUTS)
def test_every_small_shape(gathers: ctypes.CDLL, layouts: tuple[int, int], num_axes: int) -> None:
    """All phases up to 3 and all crops of one to three axes, of channels that fill vectors and that do not."""
    for phases in itertools.product((1, 2, 3), repeat=num_axes):
        for number, crop in enumerate(itertools.product(*map(range, phases))):
            for channels in (1, 3, 8) if num_axes < 3 else ((3, 8)[number % 2],):
                sizes = (2, 1, 3)[:num_axes]
                x = counting((2, channels * int(np.prod(phases)), *sizes), np.int16)
                y = gather(
                    gathers,
                    x,
                    (0,) * (2 * x.ndim),
                    (1,) * x.ndim,
                    "zero",
                    layouts=layouts,
                    phases=(1, 1, *phases),
                    crop=(0, 0, *crop),
                )
                assert (y == phased(x, phases, crop)).all()


@st.composite
def phased_cases(
    draw: st.DrawFn, max_axes: int = 3, max_size: int = 5
) -> tuple[list[int], list[int], list[int], list[int], list[int], str]:
    """Return sizes, phases, crop, pads and factors of the spatial axes, and the mode of the pads."""
    sizes = draw(st.lists(st.integers(1, max_size), min_size=1, max_size=max_axes))
    mode = draw(st.sampled_from(PAD_MODES))
    phases, crop, factors, begins, ends = [], [], [], [], []
    for size in sizes:
        phases.append(draw(st.integers(1, 4)))
        crop.append(draw(st.integers(0, phases[-1] - 1)))
        factors.append(draw(st.sampled_from((1, 1, 2, 3))))
        inside = (size * phases[-1] - crop[-1]) * factors[-1]
        limit = draw(st.sampled_from((0, min(inside - 1, 4) if mode == "reflect" else 4)))
        begins.append(draw(st.integers(0, limit)))
        ends.append(draw(st.integers(0, limit)))
    return sizes, phases, crop, begins + ends, factors, mode


def check_phased(
    gathers: ctypes.CDLL,
    case: tuple[list[int], list[int], list[int], list[int], list[int], str],
    batch: int,
    channels: int,
    layouts: tuple[int, int],
    dtype: str,
) -> None:
    sizes, phases, crop, pads, factors, mode = case
    half = len(sizes)
    x = counting((batch, channels * int(np.prod(phases)), *sizes), dtype)
    y = gather(
        gathers,
        x,
        (0, 0, *pads[:half], 0, 0, *pads[half:]),
        (1, 1, *factors),
        mode,
        layouts=layouts,
        phases=(1, 1, *phases),
        crop=(0, 0, *crop),
    )
    assert (y == spatially_mapped(phased(x, phases, crop), pads, factors, mode)).all()


@settings(deadline=None, max_examples=200)
@given(
    case=phased_cases(),
    batch=st.integers(1, 3),
    channels=st.sampled_from((1, 3, 4, 8, 12, 17)),
    layouts=st.sampled_from(LAYOUTS),
    dtype=st.sampled_from(("int8", "int16", "int32", "int64")),
)
def test_phases_crop_upsampling_and_pads(
    gathers: ctypes.CDLL,
    case: tuple[list[int], list[int], list[int], list[int], list[int], str],
    batch: int,
    channels: int,
    layouts: tuple[int, int],
    dtype: str,
) -> None:
    check_phased(gathers, case, batch, channels, layouts, dtype)


@settings(deadline=None, max_examples=80)
@given(
    case=phased_cases(2, 24),
    batch=st.integers(1, 3),
    channels=st.sampled_from((1, 3, 8)),
    layouts=st.sampled_from(LAYOUTS),
    dtype=st.sampled_from(("int16", "int32")),
)
def test_planes_of_more_than_a_block(
    gathers: ctypes.CDLL,
    case: tuple[list[int], list[int], list[int], list[int], list[int], str],
    batch: int,
    channels: int,
    layouts: tuple[int, int],
    dtype: str,
) -> None:
    check_phased(gathers, case, batch, channels, layouts, dtype)


@settings(deadline=None, max_examples=100)
@given(
    case=phased_cases(),
    channels=st.sampled_from((3, 8, 17)),
    layouts=st.sampled_from(LAYOUTS),
    types=st.tuples(st.sampled_from(DTYPES), st.sampled_from(DTYPES)),
    activation=st.sampled_from(tuple(ACTIVATIONS)),
    seed=st.integers(0, 2**32 - 1),
)
def test_activations_and_types(
    gathers: ctypes.CDLL,
    case: tuple[list[int], list[int], list[int], list[int], list[int], str],
    channels: int,
    layouts: tuple[int, int],
    types: tuple[np.dtype, np.dtype],
    activation: str,
    seed: int,
) -> None:
    sizes, phases, crop, pads, factors, mode = case
    half = len(sizes)
    shape = (2, channels * int(np.prod(phases)), *sizes)
    x = (np.random.default_rng(seed).standard_normal(shape) * 4).astype(types[0])
    y = gather(
        gathers,
        x,
        (0, 0, *pads[:half], 0, 0, *pads[half:]),
        (1, 1, *factors),
        mode,
        layouts=layouts,
        to=types[1],
        activation=activation,
        alpha=0.3,
        phases=(1, 1, *phases),
        crop=(0, 0, *crop),
    ).astype(np.float64)
    expected = spatially_mapped(activated(phased(x, phases, crop), activation, 0.3), pads, factors, mode)
    spacing = np.spacing(np.abs(expected).astype(types[1])).astype(np.float64)
    assert (np.abs(y - expected) <= spacing / 2 + 2e-6 * np.abs(expected) + 1e-7).all()


@pytest.mark.parametrize(
    ("channels", "phases", "crop", "pads", "layouts", "kernel"),
    [
        (32, (2, 2, 2), (0, 0, 0), 0, (CHANNELS_LAST, CHANNELS_LAST), "gatherCells"),
        (8, (2, 1, 3), (1, 0, 2), 1, (CHANNELS_LAST, CHANNELS_LAST), "gatherCells"),
        (8, (2, 2), (0, 1), 0, (CHANNELS_LAST, CHANNELS_LAST), "gatherCells"),
        (3, (4, 4), (0, 0), 0, (CHANNELS_LAST, LINEAR), "gatherThinRows"),
        (3, (4, 2), (3, 0), 0, (CHANNELS_LAST, LINEAR), "gatherThinRows"),
        (3, (4,), (0,), 0, (CHANNELS_LAST, LINEAR), "gatherThinRows"),
        (3, (4, 4), (0, 1), 0, (CHANNELS_LAST, LINEAR), "gatherFromPhases"),
        (3, (4, 4), (0, 0), 1, (CHANNELS_LAST, LINEAR), "gatherFromPhases"),
        (3, (2, 3), (0, 0), 0, (CHANNELS_LAST, LINEAR), "gatherFromPhases"),
        (4, (4, 4), (0, 0), 0, (CHANNELS_LAST, LINEAR), "gatherFromPhases"),
        (3, (4, 1), (0, 0), 0, (CHANNELS_LAST, LINEAR), "gatherFromPhases"),
    ],
)
def test_networks_get_a_fast_kernel(
    gathers: ctypes.CDLL,
    channels: int,
    phases: tuple[int, ...],
    crop: tuple[int, ...],
    pads: int,
    layouts: tuple[int, int],
    kernel: str,
) -> None:
    """More pixels in a row than a warp takes; pads are those of each spatial axis."""
    sizes = (2, 3, 36)[-len(phases) :]
    x = counting((2, channels * int(np.prod(phases)), *sizes), np.float16) / 64
    both_pads = (0, 0, *(pads,) * len(phases)) * 2
    y = gather(
        gathers,
        x.astype(np.float16),
        both_pads,
        (1,) * x.ndim,
        "zero",
        layouts=layouts,
        to=np.dtype(np.float32),
        activation="tanh",
        phases=(1, 1, *phases),
        crop=(0, 0, *crop),
    )
    expected = activated(phased(x, phases, crop), "tanh", 0)
    expected = spatially_mapped(expected, (pads,) * (2 * len(phases)), (1,) * len(phases), "zero")
    assert (np.abs(y - expected) <= 2e-6).all()
    assert gathers.host_last_launch().decode() == f"launch of {kernel}"


@settings(deadline=None, max_examples=60)
@given(case=phased_cases())
def test_by_numbers_of_64_bits(
    gathers: ctypes.CDLL, case: tuple[list[int], list[int], list[int], list[int], list[int], str]
) -> None:
    sizes, phases, crop, pads, factors, mode = case
    half = len(sizes)
    x = counting((2, 3 * int(np.prod(phases)), *sizes), np.int32)
    expected = spatially_mapped(phased(x, phases, crop), pads, factors, mode)
    y = np.zeros_like(expected)
    lists = (x.shape, (0, 0, *pads[:half], 0, 0, *pads[half:]), (1, 1, *factors), (1, 1, *phases, 0, 0, *crop))
    arrays = [np.array(values, dtype=np.int64) for values in lists]
    gathers.host_gather_large(pointer(x), pointer(y), x.ndim, *map(pointer, arrays), PAD_MODES.index(mode))
    assert (y == expected).all()


@pytest.mark.parametrize("num_axes", [1, 2, 3])
def test_runs_are_scattered_as_they_are_gathered(gathers: ctypes.CDLL, num_axes: int) -> None:
    """As the norm stores them: each run of channels once, in the place that numpy finds, for all small shapes."""
    small = {1: (1, 2, 3, 5), 2: (1, 2, 3), 3: (1, 2)}[num_axes]
    for phases in itertools.product((1, 2, 3), repeat=num_axes):
        for sizes in itertools.product(small, repeat=num_axes):
            for images, vectors in ((1, 1), (2, 1), (3, 2)):
                channels = vectors * WORDS_OF_VECTOR
                x = aligned_copy(counting((images, *sizes, int(np.prod(phases)), channels), np.int32))
                planes = np.moveaxis(x.reshape(images, *sizes, -1), -1, 1)
                expected = np.moveaxis(phased(planes, phases, (0,) * num_axes), 1, -1)
                y = aligned(expected.shape, expected.dtype)
                counts = np.zeros(y.size // WORDS_OF_VECTOR, dtype=np.int32)
                both = [np.array(values, dtype=np.int64) for values in (sizes, phases)]
                levels = gathers.host_scatter_phases(
                    pointer(x), pointer(y), pointer(counts), images, num_axes, *map(pointer, both), vectors
                )
                assert 0 <= levels <= 2 * num_axes - 1
                assert levels == 0 or any(factor != 1 for factor in phases[:-1])
                assert (counts == 1).all()
                assert (y == expected).all()


@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 7)),
    phases=st.tuples(st.sampled_from((1, 2, 4)), st.sampled_from((1, 2, 4))),
    factors=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    run=st.sampled_from((1, 4, 8, 64)),
    mode=st.sampled_from(PAD_MODES),
    dtype=st.sampled_from((np.int32, np.int16)),
)
def test_planes_are_scattered_as_they_are_gathered(
    gathers: ctypes.CDLL,
    sizes: tuple[int, int, int],
    phases: tuple[int, int],
    factors: tuple[int, int],
    pads: tuple[int, int, int, int],
    run: int,
    mode: str,
    dtype: type[np.signedinteger],
) -> None:
    """As the linear norms store them: runs of all phases, each output of the inside once, then the pads around it."""
    slices, (images, height, width) = 3, sizes
    x = counting((slices, phases[0] * phases[1], images, height, width), np.int32)
    whole = phased(x, (1, *phases), (0, 0, 0))[:, 0]
    rows, columns = whole.shape[2:]
    limits = (rows * factors[0] - 1, columns * factors[1] - 1) * 2
    spread = [min(pad, limit) for pad, limit in zip(pads, limits, strict=True)]
    expected = spatially_mapped(whole, spread, factors, mode)
    y, counts = np.zeros(expected.shape, dtype=np.int32), np.zeros(expected.shape, dtype=np.int32)
    top, left, bottom, right = spread
    axes = np.array([rows, factors[0], top, bottom, columns, factors[1], left, right], dtype=np.int32)
    gathers.host_scatter_planes(pointer(x), pointer(y), pointer(counts), slices, images, *phases, pointer(axes), run)
    inside = (..., slice(top, y.shape[2] - bottom), slice(left, y.shape[3] - right))
    assert (counts[inside] == 1).all()
    assert counts.sum() == counts[inside].size
    assert (y[inside] == expected[inside]).all()
    stored, words = aligned_copy(y.astype(dtype)), np.dtype(dtype).itemsize
    gathers.host_fill_pads(pointer(stored), slices * images, 1, pointer(axes), PAD_MODES.index(mode), words)
    assert (stored == expected.astype(dtype)).all()


@pytest.mark.parametrize(
    ("sizes", "phases", "crop", "is_good"),
    [
        ([1, 8, 3, 3], [1, 1, 2, 2], [0, 0, 1, 0], True),
        ([1, 8, 3, 3], [1, 1, 2, 2], [0, 0, 2, 0], False),
        ([1, 8, 3, 3], [1, 1, 1, 1], [0, 0, 1, 0], False),
        ([1, 8, 3, 3], [1, 1, 2, 2], [0, 0, 0, -1], False),
        ([1, 8, 3, 3], [1, 1, 0, 2], [0, 0, 0, 0], False),
        ([1, 6, 3, 3], [1, 1, 2, 2], [0, 0, 0, 0], False),
        ([2, 8, 3, 3], [2, 1, 2, 2], [0, 0, 0, 0], False),
        ([2, 8, 3, 3], [1, 2, 2, 2], [0, 0, 0, 0], False),
        ([1, 8, 0, 3], [1, 1, 2, 2], [0, 0, 0, 0], True),
        ([1, 8, 0, 3], [1, 1, 2, 2], [0, 0, 1, 0], False),
        ([8, 3], [1, 2], [0, 0], False),
        ([8, 3], [1, 1], [0, 0], True),
        ([8], [1], [0], True),
    ],
)
def test_phases_that_can_be(
    gathers: ctypes.CDLL, sizes: list[int], phases: list[int], crop: list[int], is_good: bool
) -> None:
    arrays = [np.array(values, dtype=np.int64) for values in (sizes, [*phases, *crop])]
    assert bool(gathers.host_has_good_phases(len(sizes), *map(pointer, arrays))) == is_good


@pytest.mark.parametrize(
    ("layouts", "is_possible"), [((BLOCKS_OF_4, BLOCKS_OF_4), False), ((CHANNELS_LAST, LINEAR), True)]
)
def test_blocks_of_channels_are_not_read_by_phases(
    gathers: ctypes.CDLL, layouts: tuple[int, int], is_possible: bool
) -> None:
    arrays = [np.array(values, dtype=np.int64) for values in ([0] * 6, [1] * 3, [1, 1, 2, 0, 0, 0])]
    assert bool(gathers.host_can_map_phases(3, *map(pointer, arrays), *layouts)) == is_possible
