"""Both ops in the formats whose channels lie together, through their C launchers, on a GPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from tests.gpu.kernel_library import (
    DTYPES,
    FORMAT_CHANNELS_LAST,
    FORMAT_CHW4,
    FORMAT_CHW32,
    KernelLibrary,
    Tensor,
    dtype_name,
    padded_shape,
)
from tests.references import instance_norm_reference, reflect_pad_reference, worst_excess

torch = pytest.importorskip("torch", reason="the kernel tests put their tensors on the GPU with torch")
if not torch.cuda.is_available():
    pytest.skip("no CUDA device", allow_module_level=True)

from tests.gpu.kernel_tensors import POISON, guarded_tensor, guards_are_intact, to_numpy  # noqa: E402 - needs torch
from tests.gpu.layouts import from_layout, to_layout  # noqa: E402 - needs torch

pytestmark = pytest.mark.gpu

EPSILON = 1e-5
CHANNELS = (1, 3, 7, 8, 9, 24, 40, 64, 320)


@pytest.fixture(scope="module")
def kernels() -> KernelLibrary:
    return KernelLibrary()


def parameters(channels: int, dtype: torch.dtype, bias_size: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator("cpu").manual_seed(3)
    scale, bias = torch.randn(2, channels, generator=generator).to(dtype).cuda()
    return scale, bias * bias_size


def workspace_for(kernels: KernelLibrary, shape: Sequence[int]) -> Tensor:
    count = kernels.workspace_bytes(shape[0], shape[1], math.prod(shape[2:]), FORMAT_CHANNELS_LAST)
    return torch.full((count,), POISON, dtype=torch.uint8, device="cuda")


def normalise(kernels: KernelLibrary, x: Tensor, scale: Tensor, bias: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Return InstanceNorm(x), computed channels-last, after checking all that was written."""
    stored = to_layout(x, FORMAT_CHANNELS_LAST, math.nan)
    y, buffer = guarded_tensor(stored.shape, x.dtype)
    workspace = workspace_for(kernels, x.shape)
    kernels.instance_norm(stored, scale, bias, y, epsilon, workspace, shape=x.shape, format_=FORMAT_CHANNELS_LAST)
    torch.cuda.synchronize()
    assert guards_are_intact(y, buffer)
    result, filling = from_layout(y, x.shape[1], FORMAT_CHANNELS_LAST)
    assert (filling == 0).all()
    return result


def assert_normalised(x: Tensor, scale: Tensor, bias: Tensor, y: Tensor, epsilon: float = EPSILON) -> None:
    reference = instance_norm_reference(to_numpy(x), to_numpy(scale), to_numpy(bias), epsilon)
    assert worst_excess(to_numpy(y), reference, dtype_name(x)) <= 1


# Around each place where the launch changes: pixels of a thread, a block, a cluster, and split columns; and primes.
PIXELS = sorted(
    {size + delta for size in (2, 8, 64, 256, 512, 4096, 16384, 32768) for delta in (-1, 0, 1)} | {49, 997, 100003}
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pixels", PIXELS)
def test_instance_norm_of_all_sizes(kernels: KernelLibrary, pixels: int, dtype: str) -> None:
    type_ = getattr(torch, dtype)
    for batch, channels in ((1, 20), (3, 5), (2, 70)):
        x = torch.randn(batch, channels, pixels, device="cuda").to(type_)
        scale, bias = parameters(channels, type_)
        assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("sizes", [(1, 7), (17, 19), (5, 17, 19), (131, 257)])
def test_instance_norm_of_all_channels(
    kernels: KernelLibrary, sizes: tuple[int, ...], channels: int, dtype: str
) -> None:
    type_ = getattr(torch, dtype)
    x = torch.randn(2, channels, *sizes, device="cuda").to(type_)
    scale, bias = parameters(channels, type_)
    assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias))


@pytest.mark.parametrize("dtype", DTYPES)
def test_instance_norm_of_columns_in_turn_with_few_blocks_each(kernels: KernelLibrary, dtype: str) -> None:
    type_ = getattr(torch, dtype)
    x = torch.randn(60, 90, 8352, device="cuda").to(type_)
    scale, bias = parameters(90, type_)
    y = normalise(kernels, x, scale, bias)
    for image in (0, 29, 59):  # of the first round, one in the middle, and the last
        assert_normalised(x[image : image + 1], scale, bias, y[image : image + 1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_border_of_an_image_costs_no_digits(kernels: KernelLibrary, dtype: str) -> None:
    type_ = getattr(torch, dtype)
    x = torch.randn(1, 5, 512, 512, device="cuda") + 100
    x[..., 0] = 0
    x = x.to(type_)
    scale, bias = parameters(5, type_)
    assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias))


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
    kernels: KernelLibrary, dtype: str, name: str, pixels: int, bias_size: float
) -> None:
    type_ = getattr(torch, dtype)
    x = adversarial(name, type_, pixels)
    scale, bias = parameters(3, type_, bias_size)
    for epsilon in (EPSILON, 1e-12):
        assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias, epsilon), epsilon)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pixels", [1, 5, 1000, 20011, 100003])
def test_constant_slice_gives_exactly_the_bias(kernels: KernelLibrary, pixels: int, dtype: str) -> None:
    type_ = getattr(torch, dtype)
    scale, bias = parameters(11, type_)
    for value in (0.0, 0.1, -1234.5, 60000.0):
        x = torch.full((2, 11, pixels), value, device="cuda").to(type_)
        y = normalise(kernels, x, scale, bias)
        assert torch.equal(y, bias[None, :, None].expand_as(y))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("special", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("pixels", [20, 1500, 90000])
def test_infinity_and_nan_spoil_only_their_slice(
    kernels: KernelLibrary, pixels: int, special: float, dtype: str
) -> None:
    type_ = getattr(torch, dtype)
    x = torch.randn(2, 3, pixels, device="cuda").to(type_)
    x[0, 1, pixels // 2] = special
    x[1, 2, 0] = special
    scale, bias = parameters(3, type_)
    y = normalise(kernels, x, scale, bias)
    assert_normalised(x, scale, bias, y)
    assert torch.isnan(y[0, 1]).all()
    assert torch.isfinite(y[0, 0]).all()


@pytest.mark.parametrize("shape", [(0, 3, 8), (2, 0, 8), (2, 3, 0)])
def test_empty_instance_norm_launches_nothing(kernels: KernelLibrary, shape: tuple[int, ...]) -> None:
    scale, bias = parameters(max(shape[1], 1), torch.float32)
    normalise(kernels, torch.empty(*shape, device="cuda"), scale, bias)


def test_instance_norm_of_more_columns_than_one_grid_holds(kernels: KernelLibrary) -> None:
    x = torch.randn((1 << 20) + 5, 9, 2, device="cuda", dtype=torch.float16)
    scale, bias = parameters(9, torch.float16)
    y = normalise(kernels, x, scale, bias)
    for part in (slice(0, 1000), slice(-1000, None)):
        assert_normalised(x[part], scale, bias, y[part])


def test_instance_norm_of_more_than_2_31_elements(kernels: KernelLibrary) -> None:
    shape = (2, 20, (1 << 26) + 77)  # 24 channels in memory
    stored = torch.randn(shape[0], shape[2], 24, device="cuda", dtype=torch.float16).add_(3)
    scale, bias = parameters(20, torch.float16)
    y = torch.empty_like(stored)
    workspace = workspace_for(kernels, shape)
    kernels.instance_norm(stored, scale, bias, y, EPSILON, workspace, shape=shape, format_=FORMAT_CHANNELS_LAST)
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
def test_instance_norm_repeats_bit_for_bit(kernels: KernelLibrary, shape: tuple[int, ...]) -> None:
    x = torch.randn(*shape, device="cuda", dtype=torch.float16)
    scale, bias = parameters(shape[1], torch.float16)
    stored = to_layout(x, FORMAT_CHANNELS_LAST, math.nan)
    first = to_layout(normalise(kernels, x, scale, bias), FORMAT_CHANNELS_LAST, 0)
    streams = [torch.cuda.Stream() for _ in range(2)]
    results = [torch.empty_like(stored) for _ in streams]
    workspaces = [workspace_for(kernels, shape) for _ in streams]
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
                    format_=FORMAT_CHANNELS_LAST,
                )
        torch.cuda.synchronize()
        assert all(torch.equal(first, y) for y in results)


@pytest.mark.parametrize("shape", [(2, 4, 900), (1, 256, 4096), (1, 2, 200000)])
def test_instance_norm_in_a_cuda_graph(kernels: KernelLibrary, shape: tuple[int, ...]) -> None:
    x = torch.randn(*shape, device="cuda")
    scale, bias = parameters(shape[1], torch.float32)
    stored = to_layout(x, FORMAT_CHANNELS_LAST, math.nan)
    y = torch.empty_like(stored)
    workspace = workspace_for(kernels, shape)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        stream = torch.cuda.current_stream().cuda_stream
        kernels.instance_norm(
            stored, scale, bias, y, EPSILON, workspace, stream, shape=shape, format_=FORMAT_CHANNELS_LAST
        )
    for _ in range(3):
        stored.copy_(torch.randn_like(stored) * 3 + 1)
        graph.replay()
        torch.cuda.synchronize()
        x, _ = from_layout(stored, shape[1], FORMAT_CHANNELS_LAST)
        assert_normalised(x, scale, bias, from_layout(y, shape[1], FORMAT_CHANNELS_LAST)[0])


def counting(shape: Sequence[int], dtype: str) -> Tensor:
    """Return a tensor whose elements differ as far as their type allows, and are not zero."""
    numbers = torch.arange(math.prod(shape), device="cuda")
    modulus = {"int8": 125, "float16": 2039, "bfloat16": 251}.get(dtype, 1 << 24)
    return (numbers % modulus + 1).to(getattr(torch, dtype)).view(*shape)


def pad(kernels: KernelLibrary, x: Tensor, pads: Sequence[int], format_: int) -> Tensor:
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
    kernels: KernelLibrary, sizes: tuple[int, ...], pads: tuple[int, ...], channels: int, dtype: str, format_: int
) -> None:
    x = counting((2, channels, *sizes), dtype)
    y = pad(kernels, x, pads, format_)
    assert (to_numpy(y) == reflect_pad_reference(to_numpy(x), pads)).all()


def test_reflect_pad_of_more_than_2_31_elements(kernels: KernelLibrary) -> None:
    shape, pads = (1, 9, 1 << 15, 8200), spatial(1, 2, 2, 1)  # 4.3e9 elements in memory
    x = torch.empty(1, 1 << 15, 8200, 16, dtype=torch.float16, device="cuda")
    x.view(torch.uint8).random_(0, 100)
    y = torch.empty(1, (1 << 15) + 3, 8203, 16, dtype=torch.float16, device="cuda")
    kernels.reflect_pad(x, y, pads, shape=shape, format_=FORMAT_CHANNELS_LAST)
    assert torch.equal(y[:, 1:-2, 2:-1, :9], x[..., :9])
    assert torch.equal(y[:, 1:-2, :2, :9], x[:, :, 1:3, :9].flip(2))
    assert torch.equal(y[:, -2:, 2:-1, :9], x[:, -3:-1, :, :9].flip(1))
    assert (y[..., 9:] == 0).all()


def test_reflect_pad_in_a_cuda_graph(kernels: KernelLibrary) -> None:
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
