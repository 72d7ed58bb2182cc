"""Output maps through the C launcher of ReflectPad, on a GPU: modes, upsampling, activations, types and layouts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.gpu.cuda_torch import torch
from tests.gpu.kernel_library import (
    FORMAT_CHANNELS_LAST,
    FORMAT_CHW4,
    FORMAT_CHW32,
    FORMAT_LINEAR,
    TorchKernels,
)
from tests.gpu.kernel_tensors import guarded_tensor, guards_are_intact, to_numpy
from tests.gpu.layouts import from_layout, to_layout
from tests.gpu.map_checks import assert_near, counting, gather, normal, reference
from tests.support.map_references import ACTIVATIONS, PAD_MODES, activated, mapped
from trtconv.plugins.kernels import OutputMap

pytestmark = pytest.mark.gpu

FLOATS = ("float32", "float16", "bfloat16")
LAYOUTS = (FORMAT_LINEAR, FORMAT_CHANNELS_LAST)

# Sizes, pads (begins, then ends) and factors of the spatial axes, of one to three dimensions.
CASES = [
    ((17, 19), (1, 1, 1, 1), (2, 2)),
    ((33, 40), (0, 0, 0, 0), (2, 2)),
    ((16, 21), (2, 3, 1, 0), (2, 2)),
    ((64, 66), (4, 4, 4, 4), (1, 1)),
    ((31, 7), (0, 3, 5, 0), (1, 3)),
    ((20, 20), (0, 0, 0, 0), (1, 1)),
    ((301,), (7, 5), (2,)),
    ((9, 10, 11), (1, 1, 1, 1, 1, 1), (2, 2, 2)),
    ((9, 10, 11), (0, 2, 1, 2, 0, 1), (1, 2, 1)),
]


@pytest.mark.parametrize("pad_mode", PAD_MODES)
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "int64"])
@pytest.mark.parametrize(("sizes", "pads", "upsample"), CASES)
def test_words_are_moved(
    kernels: TorchKernels,
    sizes: tuple[int, ...],
    pads: tuple[int, ...],
    upsample: tuple[int, ...],
    dtype: str,
    pad_mode: str,
) -> None:
    for batch, channels in ((1, 1), (2, 3), (1, 9), (2, 24)):
        x = counting((batch, channels, *sizes), dtype)
        expected = reference(x, pads, upsample, pad_mode)
        layouts = LAYOUTS if dtype != "int64" else (FORMAT_LINEAR,)
        for formats in itertools.product(layouts, layouts):
            assert (to_numpy(gather(kernels, x, pads, upsample, pad_mode, formats=formats)) == expected).all()
        y = gather(kernels, x, pads, upsample, pad_mode, misalignment=3)
        assert (to_numpy(y) == expected).all()


@pytest.mark.parametrize("pad_mode", PAD_MODES)
@pytest.mark.parametrize("format_", [FORMAT_CHW4, FORMAT_CHW32])
@pytest.mark.parametrize(("sizes", "pads", "upsample"), CASES)
def test_blocks_of_channels_are_moved(
    kernels: TorchKernels,
    sizes: tuple[int, ...],
    pads: tuple[int, ...],
    upsample: tuple[int, ...],
    format_: int,
    pad_mode: str,
) -> None:
    x = counting((2, 37, *sizes), "int8")
    stored = to_layout(x, format_, 0)
    both = (0, 0, *pads[: len(sizes)], 0, 0, *pads[len(sizes) :])
    expected = reference(x, pads, upsample, pad_mode)
    target = to_layout(torch.zeros(*expected.shape, dtype=torch.int8, device="cuda"), format_, 0)
    y, buffer = guarded_tensor(target.shape, torch.int8)
    kernels.reflect_pad(
        stored,
        y,
        both,
        shape=x.shape,
        format_=format_,
        output_map=OutputMap((1, 1, *upsample), pad_mode, y_layout=format_),
    )
    torch.cuda.synchronize()
    assert guards_are_intact(y, buffer)
    assert (to_numpy(from_layout(y, 37, format_)[0]) == expected).all()


@pytest.mark.parametrize("formats", list(itertools.product(LAYOUTS, LAYOUTS)))
@pytest.mark.parametrize("y_type", FLOATS)
@pytest.mark.parametrize("x_type", FLOATS)
def test_activations_and_types(kernels: TorchKernels, x_type: str, y_type: str, formats: tuple[int, int]) -> None:
    for number, (activation, pad_mode) in enumerate(itertools.product(ACTIVATIONS, PAD_MODES)):
        for offset, channels in enumerate((3, 8, 20)):
            sizes, pads, upsample = CASES[(number + offset * 4) % len(CASES)]
            x = normal((2, channels, *sizes), x_type, number)
            y = gather(
                kernels, x, pads, upsample, pad_mode, to=y_type, activation=activation, alpha=0.3, formats=formats
            )
            expected = activated(reference(x, pads, upsample, pad_mode), activation, 0.3)
            assert_near(y, expected, y_type)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_and_infinity(kernels: TorchKernels, dtype: str, activation: str) -> None:
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0], device="cuda", dtype=getattr(torch, dtype))
    y = gather(kernels, x.view(1, 1, 4), (0, 0), (1,), "zero", to=dtype, activation=activation, alpha=0.5).flatten()
    assert torch.isnan(y[0])
    assert y[1] == (1 if activation == "tanh" else float("inf"))
    lowest = {"relu": 0.0, "tanh": -1.0, "elu": -0.5}
    assert activation == "silu" or y[2] == lowest.get(activation, -float("inf"))
    assert y[3] == 0


# What networks have at their ends.
@pytest.mark.parametrize("sizes", [(1080, 1920), (61, 67), (1, 1), (5, 4)])
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_first_and_last_map_of_a_network(kernels: TorchKernels, half: str, sizes: tuple[int, int]) -> None:
    x = normal((1, 3, *sizes), "float32")
    pads = tuple(min(4, size - 1) for size in sizes) * 2
    first = gather(kernels, x, pads, (1, 1), "reflect", to=half, formats=(FORMAT_LINEAR, FORMAT_CHANNELS_LAST))
    assert_near(first, reference(x, pads, (1, 1), "reflect").astype(np.float64), half)
    last = gather(
        kernels,
        first,
        (0, 0, 0, 0),
        (1, 1),
        "reflect",
        to="float32",
        activation="tanh",
        formats=(FORMAT_CHANNELS_LAST, FORMAT_LINEAR),
    )
    assert_near(last, activated(to_numpy(first), "tanh", 0), "float32")


@pytest.mark.parametrize("pad_mode", PAD_MODES)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_large_images(kernels: TorchKernels, dtype: str, pad_mode: str) -> None:
    for shape, pads, upsample in (
        ((1, 64, 300, 401), (1, 1, 1, 1), (2, 2)),
        ((3, 40, 500, 700), (4, 4, 4, 4), (1, 1)),
        ((1, 2, 2000, 1001), (0, 0, 0, 0), (2, 2)),
    ):
        x = counting(shape, dtype)
        expected = reference(x, pads, upsample, pad_mode)
        for format_ in LAYOUTS:
            y = gather(kernels, x, pads, upsample, pad_mode, formats=(format_, format_))
            assert (to_numpy(y) == expected).all()


@pytest.mark.parametrize("channels", [8, 24, 64, 100])
@pytest.mark.parametrize("formats", [LAYOUTS, LAYOUTS[::-1]])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_channels_change_their_layout(
    kernels: TorchKernels, dtype: str, formats: tuple[int, int], channels: int
) -> None:
    """Images and volumes of more pixels than a block has threads."""
    for sizes in ((301,), (67, 93), (9, 20, 31)):
        for pad, factor in ((0, 1), (1, 1), (2, 2)):
            x = counting((2, channels, *sizes), dtype)
            pads, upsample = (pad,) * (2 * len(sizes)), (factor,) * len(sizes)
            y = gather(kernels, x, pads, upsample, "reflect", formats=formats)
            assert (to_numpy(y) == reference(x, pads, upsample, "reflect")).all()


def test_all_axes_of_linear_tensors(kernels: TorchKernels) -> None:
    x = counting((3, 4, 5, 6), "float32")
    for pad_mode in PAD_MODES:
        pads, upsample = (1, 2, 3, 1, 2, 0, 1, 3), (2, 1, 3, 2)
        expected = mapped(to_numpy(x), pads, upsample, pad_mode)
        y = torch.empty(expected.shape, device="cuda")
        kernels.reflect_pad(x, y, pads, output_map=OutputMap(upsample, pad_mode))
        assert (to_numpy(y) == expected).all()


@pytest.mark.parametrize("count", [70001, 300001])  # a thread writes four planes: more than 65535 of those, too
def test_many_planes(kernels: TorchKernels, count: int) -> None:
    x = counting((count, 1, 9, 9), "float16")
    y = gather(kernels, x, (1, 1, 1, 1), (2, 2), "reflect")
    assert (to_numpy(y) == reference(x, (1, 1, 1, 1), (2, 2), "reflect")).all()


def test_more_than_2_31_elements(kernels: TorchKernels) -> None:
    x = torch.randint(0, 100, (1, 1, 1 << 15, 17000), dtype=torch.uint8, device="cuda")
    y = torch.empty(1, 1, 1 << 16, 34003, dtype=torch.uint8, device="cuda")
    kernels.reflect_pad(x, y, (0, 0, 0, 1, 0, 0, 0, 2), output_map=OutputMap((1, 1, 2, 2), "zero"))
    torch.cuda.synchronize()
    assert y.numel() > 1 << 31
    for row, column in itertools.product(range(2), range(2)):
        assert torch.equal(y[..., row::2, 1 + column : -2 : 2], x)
    assert not y[..., 0].any()
    assert not y[..., -2:].any()


def test_in_a_cuda_graph(kernels: TorchKernels) -> None:
    x = normal((1, 64, 50, 51), "float16")
    stored = to_layout(x, FORMAT_CHANNELS_LAST, 0)
    y = torch.empty(1, 102, 104, 64, device="cuda", dtype=torch.float16)
    output_map = OutputMap((1, 1, 2, 2), "edge", y_layout=FORMAT_CHANNELS_LAST)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        stream = torch.cuda.current_stream().cuda_stream
        pads = (0, 0, 1, 1, 0, 0, 1, 1)
        kernels.reflect_pad(stored, y, pads, stream, shape=x.shape, format_=FORMAT_CHANNELS_LAST, output_map=output_map)
    stored.copy_(torch.randn_like(stored))
    graph.replay()
    torch.cuda.synchronize()
    x, _ = from_layout(stored, 64, FORMAT_CHANNELS_LAST)
    y, _ = from_layout(y, 64, FORMAT_CHANNELS_LAST)
    assert (to_numpy(y) == reference(x, (1, 1, 1, 1), (2, 2), "edge")).all()
