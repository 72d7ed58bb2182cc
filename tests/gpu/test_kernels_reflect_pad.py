"""ReflectPad through its C launcher, on a GPU: types, sizes, alignments, graphs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from tests.gpu.cuda_torch import torch
from tests.gpu.kernel_library import Tensor, TorchKernels, padded_shape
from tests.gpu.kernel_tensors import guarded_tensor, guards_are_intact, to_numpy
from tests.support.references import reflect_pad_reference

pytestmark = pytest.mark.gpu


PAD_DTYPES = ("uint8", "bool", "float16", "bfloat16", "int32", "float32", "int64")


def pad(kernels: TorchKernels, x: Tensor, pads: Sequence[int], misalignment: int = 0) -> Tensor:
    """Return ReflectPad(x) after checking that nothing beside it was written."""
    y, buffer = guarded_tensor(padded_shape(x.shape, pads), x.dtype, misalignment)
    kernels.reflect_pad(x, y, pads)
    torch.cuda.synchronize()
    assert guards_are_intact(y, buffer)
    return y


def counting(shape: Sequence[int], dtype: str) -> Tensor:
    """Return a tensor whose elements differ as far as their type allows."""
    numbers = torch.arange(math.prod(shape), device="cuda")
    modulus = {"uint8": 251, "bool": 2, "float16": 2039, "bfloat16": 251}.get(dtype, 1 << 24)
    return (numbers % modulus).to(getattr(torch, dtype)).view(*shape)


def assert_padded(x: Tensor, pads: Sequence[int], y: Tensor) -> None:
    assert np.array_equal(to_numpy(y), reflect_pad_reference(to_numpy(x), pads))


PAD_CASES = [
    ((5,), (4, 3)),
    ((1,), (0, 0)),
    ((1, 3, 17, 19), (0, 0, 4, 4, 0, 0, 4, 4)),
    ((2, 3, 64, 64), (0, 0, 1, 1, 0, 0, 1, 1)),
    ((2, 3, 64, 64), (0, 0, 0, 63, 0, 0, 0, 63)),
    ((4, 7, 33), (0, 0, 32, 0, 0, 0)),
    ((4, 7, 33), (0, 0, 0, 0, 0, 32)),
    ((4, 7, 33), (0, 6, 0, 0, 5, 0)),
    ((4, 7, 33), (3, 0, 0, 2, 0, 0)),
    ((3, 17, 19), (1, 4, 4, 2, 4, 4)),  # a padded first axis: by vectors, whatever the size
    ((2, 3, 17, 19), (1, 0, 4, 4, 0, 0, 4, 4)),
    ((3, 4, 5, 6, 7), (1, 2, 3, 4, 5, 2, 3, 4, 5, 6)),
    ((3, 5, 9, 8, 7, 6), (0, 0, 2, 3, 4, 5, 0, 0, 1, 2, 3, 4)),
    ((2, 2, 2, 2, 2, 2, 2, 2), (1,) * 16),
    ((1, 2, 44100), (0, 0, 512, 0, 0, 512)),
    ((3, 1, 100003), (0, 0, 7, 0, 0, 1)),
    ((6, 10), (0, 0, 0, 0)),
]


@pytest.mark.parametrize("dtype", PAD_DTYPES)
@pytest.mark.parametrize(("shape", "pads"), PAD_CASES)
def test_reflect_pad(kernels: TorchKernels, shape: tuple[int, ...], pads: tuple[int, ...], dtype: str) -> None:
    x = counting(shape, dtype)
    assert_padded(x, pads, pad(kernels, x, pads))


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "int64"])
@pytest.mark.parametrize(
    ("rows", "width"),
    [(5, width) for width in (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 255, 256, 257, 4095, 4096, 4097)]
    + [((1 << 20) // width + 1, width) for width in (1023, 1024, 1025, 4095, 4096, 4097)],  # long rows, by vectors
)
def test_reflect_pad_of_all_widths_and_alignments(kernels: TorchKernels, rows: int, width: int, dtype: str) -> None:
    values = counting((rows, width), dtype)
    reach = min(width - 1, 9)
    for pads in ((0, reach, 0, reach), (1, 0, 2, reach), (0, reach, 3, 0), (0, 0, 0, 0)):
        for input_misalignment, output_misalignment in ((0, 0), (1, 0), (0, 1), (3, 3), (5, 7)):
            x, buffer = guarded_tensor(values.shape, values.dtype, input_misalignment)
            x.copy_(values)
            assert_padded(x, pads, pad(kernels, x, pads, output_misalignment))
            assert guards_are_intact(x, buffer)


def test_reflect_pad_reads_nothing_outside_its_input(kernels: TorchKernels) -> None:
    # A tensor of its own allocation, for compute-sanitizer: whole vectors at its borders would reach beyond it.
    for count in (1, 3, 15, 16, 17, 250):
        x = torch.arange(count, dtype=torch.uint8, device="cuda")
        assert_padded(x, (count - 1, count - 1), pad(kernels, x, (count - 1, count - 1)))


@pytest.mark.parametrize("shape", [(0, 3, 8), (2, 0, 8)])
def test_empty_reflect_pad_launches_nothing(kernels: TorchKernels, shape: tuple[int, ...]) -> None:
    pad(kernels, torch.empty(*shape, device="cuda"), (0, 0, 2, 0, 0, 2))


# Large and with long rows: by vectors, which know the rank.
@pytest.mark.parametrize("dtype", PAD_DTYPES)
@pytest.mark.parametrize("shape", [(3, 300, 1201), (3, 5, 70, 1201)])
def test_reflect_pad_of_large_images_and_volumes(kernels: TorchKernels, shape: tuple[int, ...], dtype: str) -> None:
    pads = (0, *range(3, 2 + len(shape))) * 2
    x = counting(shape, dtype)
    assert x.numel() >= 1 << 20
    assert_padded(x, pads, pad(kernels, x, pads))


@pytest.mark.parametrize("count", [70001, 300001])  # a thread pads four: more than 65535 of those, too
def test_reflect_pad_of_more_than_65535_planes(kernels: TorchKernels, count: int) -> None:
    x = counting((count, 2, 3, 3), "float32")
    pads = (0, 0, 1, 2, 0, 0, 2, 1)
    assert_padded(x, pads, pad(kernels, x, pads))


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "int64"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9])
def test_reflect_pad_of_few_and_many_planes(kernels: TorchKernels, count: int, dtype: str) -> None:
    for shape in ((count, 7, 11), (count, 300, 71), (count, 4, 5, 6)):
        pads = (0,) + (2,) * (len(shape) - 1)
        x = counting(shape, dtype)
        assert_padded(x, pads * 2, pad(kernels, x, pads * 2))


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_reflect_pad_of_more_than_2_31_elements(kernels: TorchKernels, dtype: str) -> None:
    shape, pads = (3, 1 << 15, 22003), (0, 2, 5, 0, 3, 7)
    x = torch.empty(*shape, dtype=getattr(torch, dtype), device="cuda")
    x.view(torch.uint8).random_(0, 100)
    y = pad(kernels, x, pads)
    assert y.numel() > 1 << 31
    assert torch.equal(y[:, 2:-3, 5:-7], x)
    assert torch.equal(y[:, 2:-3, :5], x[..., 1:6].flip(-1))
    assert torch.equal(y[:, 2:-3, -7:], x[..., -8:-1].flip(-1))
    assert torch.equal(y[:, :2, 5:-7], x[:, 1:3].flip(1))
    assert torch.equal(y[:, -3:, 5:-7], x[:, -4:-1].flip(1))


def test_reflect_pad_in_a_cuda_graph_and_on_two_streams(kernels: TorchKernels) -> None:
    pads = (0, 3, 3, 0, 3, 3)
    x = torch.randn(8, 100, 101, device="cuda")
    y = torch.empty(padded_shape(x.shape, pads), device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kernels.reflect_pad(x, y, pads, torch.cuda.current_stream().cuda_stream)
    x.copy_(torch.randn_like(x))
    graph.replay()
    torch.cuda.synchronize()
    assert_padded(x, pads, y)

    streams = [torch.cuda.Stream() for _ in range(2)]
    results = [torch.empty_like(y) for _ in streams]
    torch.cuda.synchronize()
    for _ in range(100):
        for stream, result in zip(streams, results, strict=True):
            kernels.reflect_pad(x, result, pads, stream.cuda_stream)
    torch.cuda.synchronize()
    assert all(torch.equal(y, result) for result in results)
