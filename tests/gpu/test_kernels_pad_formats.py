"""ReflectPad in the formats whose channels lie together, through its C launcher, on a GPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from tests.gpu.cuda_torch import torch
from tests.gpu.kernel_library import (
    FORMAT_CHANNELS_LAST,
    FORMAT_CHW4,
    FORMAT_CHW32,
    Tensor,
    TorchKernels,
    padded_shape,
)
from tests.gpu.kernel_tensors import guarded_tensor, guards_are_intact, to_numpy
from tests.gpu.layouts import CHANNELS, from_layout, to_layout
from tests.support.references import reflect_pad_reference

pytestmark = pytest.mark.gpu


def counting(shape: Sequence[int], dtype: str) -> Tensor:
    """Return a tensor whose elements differ as far as their type allows, and are not zero."""
    numbers = torch.arange(math.prod(shape), device="cuda")
    modulus = {"int8": 125, "float16": 2039, "bfloat16": 251}.get(dtype, 1 << 24)
    return (numbers % modulus + 1).to(getattr(torch, dtype)).view(*shape)


def pad(kernels: TorchKernels, x: Tensor, pads: Sequence[int], format_: int) -> Tensor:
    """Return ReflectPad(x), computed in that format, after checking all that was written."""
    filling = math.nan if x.dtype.is_floating_point else 0
    stored = to_layout(x, format_, filling)
    target = to_layout(torch.empty(padded_shape(x.shape, pads), dtype=x.dtype, device="cuda"), format_, 0)
    y, buffer = guarded_tensor(target.shape, x.dtype)
    kernels.reflect_pad(stored, y, pads, shape=x.shape, format_=format_)
    torch.cuda.synchronize()
    assert guards_are_intact(y, buffer)
    result, filling_of_y = from_layout(y, x.shape[1], format_)
    assert (filling_of_y == 0).all()
    return result


def spatial(*pads: int) -> tuple[int, ...]:
    """Return ONNX pads of two unpadded axes and these: all begins, then all ends."""
    half = len(pads) // 2
    return (0, 0, *pads[:half], 0, 0, *pads[half:])


PAD_CASES = [
    ((17, 19), spatial(4, 4, 4, 4)),
    ((64, 64), spatial(1, 1, 1, 1)),
    ((9, 33), spatial(0, 32, 0, 0)),
    ((9, 33), spatial(8, 0, 3, 0)),
    ((5, 6, 7), spatial(3, 4, 5, 1, 0, 6)),
    ((4, 5), spatial(0, 0, 0, 0)),
    ((7, 6), (1, 0, 2, 0, 1, 0, 0, 3)),
    ((130, 131), spatial(3, 3, 3, 3)),
]
PAD_FORMATS = [
    *((dtype, FORMAT_CHANNELS_LAST) for dtype in ("int8", "float16", "bfloat16", "float32")),
    ("int8", FORMAT_CHW4),
    ("int8", FORMAT_CHW32),
]


@pytest.mark.parametrize(("dtype", "format_"), PAD_FORMATS)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize(("sizes", "pads"), PAD_CASES)
def test_reflect_pad(
    kernels: TorchKernels, sizes: tuple[int, ...], pads: tuple[int, ...], channels: int, dtype: str, format_: int
) -> None:
    x = counting((2, channels, *sizes), dtype)
    y = pad(kernels, x, pads, format_)
    assert (to_numpy(y) == reflect_pad_reference(to_numpy(x), pads)).all()


def test_reflect_pad_of_more_than_2_31_elements(kernels: TorchKernels) -> None:
    shape, pads = (1, 9, 1 << 15, 8200), spatial(1, 2, 2, 1)  # 4.3e9 elements in memory
    x = torch.empty(1, 1 << 15, 8200, 16, dtype=torch.float16, device="cuda")
    x.view(torch.uint8).random_(0, 100)
    y = torch.empty(1, (1 << 15) + 3, 8203, 16, dtype=torch.float16, device="cuda")
    kernels.reflect_pad(x, y, pads, shape=shape, format_=FORMAT_CHANNELS_LAST)
    assert torch.equal(y[:, 1:-2, 2:-1, :9], x[..., :9])
    assert torch.equal(y[:, 1:-2, :2, :9], x[:, :, 1:3, :9].flip(2))
    assert torch.equal(y[:, -2:, 2:-1, :9], x[:, -3:-1, :, :9].flip(1))
    assert (y[..., 9:] == 0).all()


def test_reflect_pad_in_a_cuda_graph(kernels: TorchKernels) -> None:
    pads = spatial(3, 3, 3, 3)
    x = torch.randn(1, 64, 100, 101, device="cuda", dtype=torch.float16)
    stored = to_layout(x, FORMAT_CHANNELS_LAST, 0)
    y = torch.empty(1, 106, 107, 64, device="cuda", dtype=torch.float16)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        stream = torch.cuda.current_stream().cuda_stream
        kernels.reflect_pad(stored, y, pads, stream, shape=x.shape, format_=FORMAT_CHANNELS_LAST)
    stored.copy_(torch.randn_like(stored))
    graph.replay()
    torch.cuda.synchronize()
    x, _ = from_layout(stored, 64, FORMAT_CHANNELS_LAST)
    y, _ = from_layout(y, 64, FORMAT_CHANNELS_LAST)
    assert (to_numpy(y) == reflect_pad_reference(to_numpy(x), pads)).all()
