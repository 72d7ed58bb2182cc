"""InstanceNorm on tensors whose channels lie together, through its C launcher, on a GPU."""

from __future__ import annotations

import math

import pytest

from tests.gpu.cuda_torch import torch
from tests.gpu.kernel_library import DTYPES, Tensor, TorchKernels
from tests.gpu.kernel_library import FORMAT_CHANNELS_LAST as CHANNELS_LAST
from tests.gpu.layouts import CHANNELS, from_layout, to_layout
from tests.gpu.norm_checks import EPSILON, assert_normalised, normalise, parameters, workspace_for

pytestmark = pytest.mark.gpu

# Around each place where the launch changes: pixels of a thread, a block, a cluster, and split columns; and primes.
PIXELS = sorted(
    {size + delta for size in (2, 8, 64, 256, 512, 4096, 16384, 32768) for delta in (-1, 0, 1)} | {49, 997, 100003}
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pixels", PIXELS)
def test_instance_norm_of_all_sizes(kernels: TorchKernels, pixels: int, dtype: str) -> None:
    type_ = getattr(torch, dtype)
    for batch, channels in ((1, 20), (3, 5), (2, 70)):
        x = torch.randn(batch, channels, pixels, device="cuda").to(type_)
        scale, bias = parameters(channels, type_)
        assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias, CHANNELS_LAST))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("sizes", [(1, 7), (17, 19), (5, 17, 19), (131, 257)])
def test_instance_norm_of_all_channels(
    kernels: TorchKernels, sizes: tuple[int, ...], channels: int, dtype: str
) -> None:
    type_ = getattr(torch, dtype)
    x = torch.randn(2, channels, *sizes, device="cuda").to(type_)
    scale, bias = parameters(channels, type_)
    assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias, CHANNELS_LAST))


@pytest.mark.parametrize("dtype", DTYPES)
def test_instance_norm_of_columns_in_turn_with_few_blocks_each(kernels: TorchKernels, dtype: str) -> None:
    type_ = getattr(torch, dtype)
    x = torch.randn(60, 90, 8352, device="cuda").to(type_)
    scale, bias = parameters(90, type_)
    y = normalise(kernels, x, scale, bias, CHANNELS_LAST)
    for image in (0, 29, 59):  # of the first round, one in the middle, and the last
        assert_normalised(x[image : image + 1], scale, bias, y[image : image + 1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_border_of_an_image_costs_no_digits(kernels: TorchKernels, dtype: str) -> None:
    type_ = getattr(torch, dtype)
    x = torch.randn(1, 5, 512, 512, device="cuda") + 100
    x[..., 0] = 0
    x = x.to(type_)
    scale, bias = parameters(5, type_)
    assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias, CHANNELS_LAST))


def adversarial(name: str, dtype: torch.dtype, pixels: int) -> Tensor:
    """Return [2, 3, pixels] values of a kind that careless statistics get wrong."""
    torch.manual_seed(11)
    noise = torch.randn(2, 3, pixels, device="cuda", dtype=torch.float64)
    outlier = noise.clone()
    outlier[..., 0] = 1e4
    early = torch.full_like(noise, 1e4) + noise
    early[..., : max(pixels // 1000, 1)] = 0
    values = {
        "mean 1e4 variance 1": noise + 1e4,
        "mean 1e3 std 30": noise * 30 + 1e3,
        "mean 100 std 10": noise * 10 + 100,
        "+-512": noise.sign() * 512,
        "60000": noise * 20 + 60000,
        "magnitude 1e18": noise.clamp(-1, 1) * 1e18,
        "magnitude 1e-15": noise * 1e-15,
        "first element an outlier": outlier,
        "another mean at first": early,
    }
    return values[name].to(dtype)


ADVERSARIAL = [
    *(
        ("float32", name)
        for name in ("mean 1e4 variance 1", "magnitude 1e18", "magnitude 1e-15", "+-512", "another mean at first")
    ),
    *(("float16", name) for name in ("mean 1e3 std 30", "+-512", "60000", "mean 100 std 10")),
    *(("bfloat16", name) for name in ("mean 100 std 10", "magnitude 1e18", "+-512")),
    *((dtype, "first element an outlier") for dtype in DTYPES),
]


@pytest.mark.parametrize("bias_size", [0.0, 1.0])
@pytest.mark.parametrize("pixels", [31, 1024, 30000, 300007])
@pytest.mark.parametrize(("dtype", "name"), ADVERSARIAL)
def test_instance_norm_of_adversarial_values(
    kernels: TorchKernels, dtype: str, name: str, pixels: int, bias_size: float
) -> None:
    type_ = getattr(torch, dtype)
    x = adversarial(name, type_, pixels)
    scale, bias = parameters(3, type_, bias_size)
    for epsilon in (EPSILON, 1e-12):
        assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias, CHANNELS_LAST, epsilon=epsilon), epsilon)


def test_instance_norm_of_more_columns_than_one_grid_holds(kernels: TorchKernels) -> None:
    x = torch.randn((1 << 20) + 5, 9, 2, device="cuda", dtype=torch.float16)
    scale, bias = parameters(9, torch.float16)
    y = normalise(kernels, x, scale, bias, CHANNELS_LAST)
    for part in (slice(0, 1000), slice(-1000, None)):
        assert_normalised(x[part], scale, bias, y[part])


def test_instance_norm_of_more_than_2_31_elements(kernels: TorchKernels) -> None:
    shape = (2, 20, (1 << 26) + 77)  # 24 channels in memory
    stored = torch.randn(shape[0], shape[2], 24, device="cuda", dtype=torch.float16).add_(3)
    scale, bias = parameters(20, torch.float16)
    y = torch.empty_like(stored)
    workspace = workspace_for(kernels, stored, shape, CHANNELS_LAST)
    kernels.instance_norm(stored, scale, bias, y, EPSILON, workspace, shape=shape, format_=CHANNELS_LAST)
    x = stored[1, :, 19].double()
    expected = (x - x.mean()) / (x.var(correction=0) + EPSILON).sqrt() * scale[19].double() + bias[19].double()
    assert (y[1, :, 19].double() - expected).abs().max() < 6e-3
    assert (y[:, -1000:, 20:] == 0).all()


@pytest.mark.parametrize(
    "shape",
    [
        (1, 8, 500000),
        (4, 16, 1000),
        (1, 256, 4096),
        (2, 2, 30000),
        (1, 64, 65536),
        (3, 60, 200000),
        (27, 96, 8352),  # streamed in turn, few blocks a column
    ],
)
def test_instance_norm_repeats_bit_for_bit(kernels: TorchKernels, shape: tuple[int, ...]) -> None:
    x = torch.randn(*shape, device="cuda", dtype=torch.float16)
    scale, bias = parameters(shape[1], torch.float16)
    stored = to_layout(x, CHANNELS_LAST, math.nan)
    first = to_layout(normalise(kernels, x, scale, bias, CHANNELS_LAST), CHANNELS_LAST, 0)
    streams = [torch.cuda.Stream() for _ in range(2)]
    results = [torch.empty_like(stored) for _ in streams]
    workspaces = [workspace_for(kernels, stored, shape, CHANNELS_LAST) for _ in streams]
    torch.cuda.synchronize()
    for _ in range(10):
        for _ in range(50):
            for stream, y, workspace in zip(streams, results, workspaces, strict=True):
                kernels.instance_norm(
                    stored,
                    scale,
                    bias,
                    y,
                    EPSILON,
                    workspace,
                    stream.cuda_stream,
                    shape=shape,
                    format_=CHANNELS_LAST,
                )
        torch.cuda.synchronize()
        assert all(torch.equal(first, y) for y in results)


@pytest.mark.parametrize("shape", [(2, 4, 900), (1, 256, 4096), (1, 2, 200000)])
def test_instance_norm_in_a_cuda_graph(kernels: TorchKernels, shape: tuple[int, ...]) -> None:
    x = torch.randn(*shape, device="cuda")
    scale, bias = parameters(shape[1], torch.float32)
    stored = to_layout(x, CHANNELS_LAST, math.nan)
    y = torch.empty_like(stored)
    workspace = workspace_for(kernels, stored, shape, CHANNELS_LAST)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        stream = torch.cuda.current_stream().cuda_stream
        kernels.instance_norm(stored, scale, bias, y, EPSILON, workspace, stream, shape=shape, format_=CHANNELS_LAST)
    for _ in range(3):
        stored.copy_(torch.randn_like(stored) * 3 + 1)
        graph.replay()
        torch.cuda.synchronize()
        x, _ = from_layout(stored, shape[1], CHANNELS_LAST)
        assert_normalised(x, scale, bias, from_layout(y, shape[1], CHANNELS_LAST)[0])
