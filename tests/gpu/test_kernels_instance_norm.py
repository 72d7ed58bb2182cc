"""InstanceNorm through its C launcher, on a GPU: types, sizes, alignments, adversarial values, graphs, determinism."""

from __future__ import annotations

import math

import pytest

from tests.gpu.cuda_torch import torch
from tests.gpu.kernel_library import DTYPES, FORMAT_CHANNELS_LAST, FORMAT_LINEAR, Tensor, TorchKernels
from tests.gpu.kernel_tensors import guarded_tensor, guards_are_intact
from tests.gpu.norm_checks import EPSILON, assert_normalised, normalise, parameters, workspace_for

pytestmark = pytest.mark.gpu


# Around each place where the launch changes: vectors, tiles, warps, blocks, one block and several; and primes.
SLICE_SIZES = sorted(
    {size + delta for size in (2, 4, 8, 32, 128, 256, 1024, 4096, 8192, 16384, 32768, 65536) for delta in (-1, 0, 1)}
    | {7 * 7, 997, 55 * 55, 100003, 1 << 20}
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("slice_size", SLICE_SIZES)
def test_instance_norm_of_all_sizes(kernels: TorchKernels, slice_size: int, dtype: str) -> None:
    type_ = getattr(torch, dtype)
    scale, bias = parameters(3, type_)
    for batch in (1, 5):
        x = torch.randn(batch, 3, slice_size, device="cuda").to(type_)
        assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 8, 7), (1, 64, 56, 56), (3, 5, 17, 19, 23), (1, 300, 1), (1, 1, 1080, 1920)])
def test_instance_norm_of_all_ranks(kernels: TorchKernels, shape: tuple[int, ...], dtype: str) -> None:
    type_ = getattr(torch, dtype)
    x = torch.randn(*shape, device="cuda").to(type_)
    scale, bias = parameters(shape[1], type_)
    assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("slice_size", [5, 999, 4099, 50001])
def test_instance_norm_of_all_alignments(kernels: TorchKernels, slice_size: int, dtype: str) -> None:
    type_ = getattr(torch, dtype)
    scale, bias = parameters(2, type_)
    values = torch.randn(1, 2, slice_size, device="cuda").to(type_)
    for input_misalignment, output_misalignment in [(1, 1), (3, 3), (7, 7), (0, 1), (1, 0), (5, 2)]:
        x, buffer = guarded_tensor(values.shape, type_, input_misalignment)
        x.copy_(values)
        assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias, misalignment=output_misalignment))
        assert guards_are_intact(x, buffer)


# Slices shared by several blocks, more of them than are at work at once; with and without single elements at the ends.
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 100, 70001), (2, 50, 65536), (2, 40, 300000), (1, 5, 2000003), (1, 3, 20000000)])
def test_instance_norm_of_slices_in_turn(kernels: TorchKernels, shape: tuple[int, ...], dtype: str) -> None:
    type_ = getattr(torch, dtype)
    x = torch.randn(*shape, device="cuda").to(type_)
    scale, bias = parameters(shape[1], type_)
    y = normalise(kernels, x, scale, bias)
    for part in (slice(0, 2), slice(-2, None)):
        assert_normalised(x[:, part], scale[part], bias[part], y[:, part])
    mean = y.float().mean(dim=-1)
    assert torch.allclose(mean, bias.float().expand_as(mean), atol=1e-2)


def adversarial(name: str, dtype: torch.dtype, slice_size: int) -> Tensor:
    noise = torch.randn(1, 2, slice_size, device="cuda", dtype=torch.float64)
    outlier = noise.clone()
    outlier[..., 0] = 1000.0
    large_outlier = noise.clone()
    large_outlier[..., 0] = 1e5
    values = {
        "mean 1e4 variance 1": 1e4 + noise,
        "mean 1e3 std 30": 1e3 + 30 * noise,
        "+-512": torch.sign(noise) * 512,
        "60000": 60000 + 30 * noise,
        "mean 100 std 10": 100 + 10 * noise,
        "magnitude 1e18": 1e18 * torch.clamp(noise, -1, 1),
        "magnitude 1e-15": 1e-15 * noise,
        "first element an outlier": outlier,
        "first element a large outlier": large_outlier,
    }
    return values[name].to(dtype)


ADVERSARIAL = [
    *(("float32", name) for name in ("mean 1e4 variance 1", "magnitude 1e18", "magnitude 1e-15", "+-512")),
    ("float32", "first element a large outlier"),
    *(("float16", name) for name in ("mean 1e3 std 30", "+-512", "60000", "mean 100 std 10")),
    *(("bfloat16", name) for name in ("mean 100 std 10", "magnitude 1e18", "+-512")),
    *((dtype, "first element an outlier") for dtype in DTYPES),
]


@pytest.mark.parametrize("bias_size", [0.0, 1.0])
@pytest.mark.parametrize("slice_size", [31, 1024, 30000, 65536, 70001, 300007])
@pytest.mark.parametrize(("dtype", "name"), ADVERSARIAL)
def test_instance_norm_of_adversarial_values(
    kernels: TorchKernels, dtype: str, name: str, slice_size: int, bias_size: float
) -> None:
    type_ = getattr(torch, dtype)
    x = adversarial(name, type_, slice_size)
    scale, bias = parameters(2, type_, bias_size)
    for epsilon in (EPSILON, 1e-12):
        assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias, epsilon=epsilon), epsilon)


BOTH_LAYOUTS = pytest.mark.parametrize(
    "format_", [FORMAT_LINEAR, FORMAT_CHANNELS_LAST], ids=["linear", "channels_last"]
)


@BOTH_LAYOUTS
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("slice_size", [1, 5, 1000, 20011, 100003])
def test_constant_slice_gives_exactly_the_bias(
    kernels: TorchKernels, slice_size: int, dtype: str, format_: int
) -> None:
    type_ = getattr(torch, dtype)
    scale, bias = parameters(11, type_)
    for value in (0.0, 0.1, -1234.5, 60000.0):
        x = torch.full((2, 11, slice_size), value, device="cuda").to(type_)
        y = normalise(kernels, x, scale, bias, format_)
        assert torch.equal(y, bias[None, :, None].expand_as(y))


@BOTH_LAYOUTS
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("special", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("slice_size", [20, 1500, 90000])
def test_infinity_and_nan_spoil_only_their_slice(
    kernels: TorchKernels, slice_size: int, special: float, dtype: str, format_: int
) -> None:
    type_ = getattr(torch, dtype)
    x = torch.randn(2, 3, slice_size, device="cuda").to(type_)
    x[0, 1, slice_size // 2] = special
    x[1, 2, 0] = special
    scale, bias = parameters(3, type_)
    y = normalise(kernels, x, scale, bias, format_)
    assert_normalised(x, scale, bias, y)
    assert torch.isnan(y[0, 1]).all()
    assert torch.isfinite(y[0, 0]).all()


@BOTH_LAYOUTS
@pytest.mark.parametrize("shape", [(0, 3, 8), (2, 0, 8), (2, 3, 0)])
def test_empty_instance_norm_launches_nothing(kernels: TorchKernels, shape: tuple[int, ...], format_: int) -> None:
    scale, bias = parameters(max(shape[1], 1), torch.float32)
    normalise(kernels, torch.empty(*shape, device="cuda"), scale, bias, format_)


def test_instance_norm_of_more_than_65535_slices(kernels: TorchKernels) -> None:
    for dtype, slice_size in ((torch.float16, 3), (torch.float32, 40)):
        x = torch.randn(70001, 3, slice_size, device="cuda").to(dtype)
        scale, bias = parameters(3, dtype)
        assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias))


def test_instance_norm_of_more_slices_than_one_grid_holds(kernels: TorchKernels) -> None:
    x = torch.randn(2, (1 << 24) + 7, 3, device="cuda", dtype=torch.float16)  # 32 of these slices share a block
    scale, bias = parameters(x.shape[1], torch.float16)
    y = normalise(kernels, x, scale, bias)
    for part in (slice(0, 1000), slice(-1000, None)):
        assert_normalised(x[:, part], scale[part], bias[part], y[:, part])


@pytest.mark.parametrize("shape", [(1, 1, (1 << 31) + 77), (3, 1 << 16, 11003)], ids=["one slice", "many slices"])
def test_instance_norm_of_more_than_2_31_elements(kernels: TorchKernels, shape: tuple[int, ...]) -> None:
    x = torch.randn(*shape, device="cuda", dtype=torch.float16).add_(3)
    scale, bias = parameters(shape[1], torch.float16)
    y = normalise(kernels, x, scale, bias)
    if shape[1] == 1:
        mean = x.view(-1)[: 1 << 31].view(1 << 10, -1).mean(dim=1, dtype=torch.float64).mean()
        variance = (x.view(-1)[: 1 << 22].double() - mean).square().mean()
        expected = (x[..., -5000:].double() - mean) / (variance + EPSILON).sqrt() * scale.double() + bias.double()
        assert torch.allclose(y[..., -5000:].double(), expected, atol=6e-3)
    else:
        assert_normalised(x[-1:, -20:], scale[-20:], bias[-20:], y[-1:, -20:])
        assert_normalised(x[:1, :20], scale[:20], bias[:20], y[:1, :20])


@pytest.mark.parametrize("shape", [(1, 3, 500000), (4, 16, 1000), (2, 2, 30000)])
def test_instance_norm_repeats_bit_for_bit(kernels: TorchKernels, shape: tuple[int, ...]) -> None:
    x = torch.randn(*shape, device="cuda")
    scale, bias = parameters(shape[1], torch.float32)
    first = normalise(kernels, x, scale, bias)
    streams = [torch.cuda.Stream() for _ in range(2)]
    results = [torch.empty_like(x) for _ in streams]
    workspaces = [workspace_for(kernels, x, x.shape) for _ in streams]
    torch.cuda.synchronize()
    for _ in range(10):
        for _ in range(50):
            for stream, y, workspace in zip(streams, results, workspaces, strict=True):
                kernels.instance_norm(x, scale, bias, y, EPSILON, workspace, stream.cuda_stream)
        torch.cuda.synchronize()
        assert all(torch.equal(first, y) for y in results)
    # Where slices meet in memory or in a block does not change their result.
    alone = normalise(kernels, x[:1, :1].contiguous(), scale[:1], bias[:1])
    assert torch.allclose(alone, first[:1, :1], rtol=1e-5, atol=1e-5)


def test_instance_norm_in_a_cuda_graph(kernels: TorchKernels) -> None:
    for shape in ((2, 4, 900), (1, 2, 200000)):
        x = torch.randn(*shape, device="cuda")
        scale, bias = parameters(shape[1], torch.float32)
        y = torch.empty_like(x)
        workspace = workspace_for(kernels, x, x.shape)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            stream = torch.cuda.current_stream().cuda_stream
            kernels.instance_norm(x, scale, bias, y, EPSILON, workspace, stream)
        for _ in range(3):
            x.copy_(torch.randn_like(x) * 3 + 1)
            graph.replay()
            torch.cuda.synchronize()
            assert_normalised(x, scale, bias, y)
