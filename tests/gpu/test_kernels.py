"""Every kernel through the C launchers, on a GPU: types, sizes, alignments, adversarial values, graphs, determinism."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from tests.gpu.kernel_library import DTYPES, KernelLibrary, Tensor, dtype_name, padded_shape
from tests.references import instance_norm_reference, reflect_pad_reference, worst_excess

torch = pytest.importorskip("torch", reason="the kernel tests put their tensors on the GPU with torch")
if not torch.cuda.is_available():
    pytest.skip("no CUDA device", allow_module_level=True)

pytestmark = pytest.mark.gpu

EPSILON = 1e-5
GUARD = 64  # elements before and after a tensor that no kernel may touch
POISON = 0x5A


@pytest.fixture(scope="module")
def kernels() -> KernelLibrary:
    return KernelLibrary()


def guarded_tensor(shape: Sequence[int], dtype: torch.dtype, misalignment: int = 0) -> tuple[Tensor, Tensor]:
    """Return a tensor inside a poisoned buffer, `misalignment` elements past an aligned address, and the buffer."""
    buffer = torch.empty(GUARD * 2 + misalignment + math.prod(shape), dtype=dtype, device="cuda")
    buffer.view(torch.uint8).fill_(POISON)
    begin = GUARD + misalignment
    return buffer[begin : begin + math.prod(shape)].view(*shape), buffer


def guards_are_intact(tensor: Tensor, buffer: Tensor) -> bool:
    begin = (tensor.data_ptr() - buffer.data_ptr()) // tensor.element_size()
    outside = torch.cat([buffer[:begin], buffer[begin + tensor.numel() :]])
    return bool((outside.view(torch.uint8) == POISON).all())


def to_numpy(tensor: Tensor) -> np.ndarray:
    """Return the values; bfloat16, which numpy lacks, as float32."""
    return tensor.float().cpu().numpy() if tensor.dtype == torch.bfloat16 else tensor.cpu().numpy()


def parameters(channels: int, dtype: torch.dtype, bias_size: float = 1.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator("cpu").manual_seed(3)
    scale, bias = torch.randn(2, channels, generator=generator).to(dtype).cuda()
    return scale, bias * bias_size


def normalise(
    kernels: KernelLibrary, x: Tensor, scale: Tensor, bias: Tensor, misalignment: int = 0, epsilon: float = EPSILON
) -> Tensor:
    """Return InstanceNorm(x) after checking that nothing beside it was written."""
    y, buffer = guarded_tensor(x.shape, x.dtype, misalignment)
    workspace = workspace_for(kernels, x)
    kernels.instance_norm(x, scale, bias, y, epsilon, workspace)
    torch.cuda.synchronize()
    assert guards_are_intact(y, buffer)
    return y


def workspace_for(kernels: KernelLibrary, x: Tensor) -> Tensor:
    count = kernels.workspace_bytes(x.shape[0], x.shape[1], math.prod(x.shape[2:]))
    return torch.full((count,), POISON, dtype=torch.uint8, device="cuda")


def assert_normalised(x: Tensor, scale: Tensor, bias: Tensor, y: Tensor, epsilon: float = EPSILON) -> None:
    reference = instance_norm_reference(to_numpy(x), to_numpy(scale), to_numpy(bias), epsilon)
    assert worst_excess(to_numpy(y), reference, dtype_name(x)) <= 1


# Around each place where the launch changes: vectors, tiles, warps, blocks, one block and several; and primes.
SLICE_SIZES = sorted(
    {size + delta for size in (2, 4, 8, 32, 128, 256, 1024, 4096, 8192, 16384, 32768, 65536) for delta in (-1, 0, 1)}
    | {7 * 7, 997, 55 * 55, 100003, 1 << 20}
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("slice_size", SLICE_SIZES)
def test_instance_norm_of_all_sizes(kernels: KernelLibrary, slice_size: int, dtype: str) -> None:
    type_ = getattr(torch, dtype)
    scale, bias = parameters(3, type_)
    for batch in (1, 5):
        x = torch.randn(batch, 3, slice_size, device="cuda").to(type_)
        assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 8, 7), (1, 64, 56, 56), (3, 5, 17, 19, 23), (1, 300, 1), (1, 1, 1080, 1920)])
def test_instance_norm_of_all_ranks(kernels: KernelLibrary, shape: tuple[int, ...], dtype: str) -> None:
    type_ = getattr(torch, dtype)
    x = torch.randn(*shape, device="cuda").to(type_)
    scale, bias = parameters(shape[1], type_)
    assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("slice_size", [5, 999, 4099, 50001])
def test_instance_norm_of_all_alignments(kernels: KernelLibrary, slice_size: int, dtype: str) -> None:
    type_ = getattr(torch, dtype)
    scale, bias = parameters(2, type_)
    values = torch.randn(1, 2, slice_size, device="cuda").to(type_)
    for input_misalignment, output_misalignment in [(1, 1), (3, 3), (7, 7), (0, 1), (1, 0), (5, 2)]:
        x, buffer = guarded_tensor(values.shape, type_, input_misalignment)
        x.copy_(values)
        assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias, output_misalignment))
        assert guards_are_intact(x, buffer)


def adversarial(name: str, dtype: torch.dtype, slice_size: int) -> Tensor:
    noise = torch.randn(1, 2, slice_size, device="cuda", dtype=torch.float64)
    outlier = noise.clone()
    outlier[..., 0] = 1000.0
    values = {
        "mean 1e4 variance 1": 1e4 + noise,
        "mean 1e3 std 30": 1e3 + 30 * noise,
        "+-512": torch.sign(noise) * 512,
        "60000": 60000 + 30 * noise,
        "mean 100 std 10": 100 + 10 * noise,
        "magnitude 1e18": 1e18 * torch.clamp(noise, -1, 1),
        "magnitude 1e-15": 1e-15 * noise,
        "first element an outlier": outlier,
    }
    return values[name].to(dtype)


ADVERSARIAL = [
    *(("float32", name) for name in ("mean 1e4 variance 1", "magnitude 1e18", "magnitude 1e-15", "+-512")),
    *(("float16", name) for name in ("mean 1e3 std 30", "+-512", "60000", "mean 100 std 10")),
    *(("bfloat16", name) for name in ("mean 100 std 10", "magnitude 1e18", "+-512")),
    *((dtype, "first element an outlier") for dtype in DTYPES),
]


@pytest.mark.parametrize("bias_size", [0.0, 1.0])
@pytest.mark.parametrize("slice_size", [31, 1024, 30000, 300007])
@pytest.mark.parametrize(("dtype", "name"), ADVERSARIAL)
def test_instance_norm_of_adversarial_values(
    kernels: KernelLibrary, dtype: str, name: str, slice_size: int, bias_size: float
) -> None:
    type_ = getattr(torch, dtype)
    x = adversarial(name, type_, slice_size)
    scale, bias = parameters(2, type_, bias_size)
    for epsilon in (EPSILON, 1e-12):
        assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias, epsilon=epsilon), epsilon)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("slice_size", [1, 5, 1000, 20011, 100003])
def test_constant_slice_gives_exactly_the_bias(kernels: KernelLibrary, slice_size: int, dtype: str) -> None:
    type_ = getattr(torch, dtype)
    scale, bias = parameters(2, type_)
    for value in (0.0, 0.1, -1234.5, 60000.0):
        x = torch.full((2, 2, slice_size), value, device="cuda").to(type_)
        y = normalise(kernels, x, scale, bias)
        assert torch.equal(y, bias[None, :, None].expand_as(y))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("special", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("slice_size", [20, 1500, 90000])
def test_infinity_and_nan_spoil_only_their_slice(
    kernels: KernelLibrary, slice_size: int, special: float, dtype: str
) -> None:
    type_ = getattr(torch, dtype)
    x = torch.randn(2, 3, slice_size, device="cuda").to(type_)
    x[0, 1, slice_size // 2] = special
    x[1, 2, 0] = special
    scale, bias = parameters(3, type_)
    y = normalise(kernels, x, scale, bias)
    assert_normalised(x, scale, bias, y)
    assert torch.isnan(y[0, 1]).all()
    assert torch.isfinite(y[0, 0]).all()


@pytest.mark.parametrize("shape", [(0, 3, 8), (2, 0, 8), (2, 3, 0)])
def test_empty_instance_norm_launches_nothing(kernels: KernelLibrary, shape: tuple[int, ...]) -> None:
    x = torch.empty(*shape, device="cuda")
    scale, bias = parameters(max(shape[1], 1), torch.float32)
    normalise(kernels, x, scale, bias)


def test_instance_norm_of_more_than_65535_slices(kernels: KernelLibrary) -> None:
    for dtype, slice_size in ((torch.float16, 3), (torch.float32, 40)):
        x = torch.randn(70001, 3, slice_size, device="cuda").to(dtype)
        scale, bias = parameters(3, dtype)
        assert_normalised(x, scale, bias, normalise(kernels, x, scale, bias))


def test_instance_norm_of_more_slices_than_one_grid_holds(kernels: KernelLibrary) -> None:
    x = torch.randn(2, (1 << 24) + 7, 3, device="cuda", dtype=torch.float16)  # 32 of these slices share a block
    scale, bias = parameters(x.shape[1], torch.float16)
    y = normalise(kernels, x, scale, bias)
    for part in (slice(0, 1000), slice(-1000, None)):
        assert_normalised(x[:, part], scale[part], bias[part], y[:, part])


@pytest.mark.parametrize("shape", [(1, 1, (1 << 31) + 77), (3, 1 << 16, 11003)], ids=["one slice", "many slices"])
def test_instance_norm_of_more_than_2_31_elements(kernels: KernelLibrary, shape: tuple[int, ...]) -> None:
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
def test_instance_norm_repeats_bit_for_bit(kernels: KernelLibrary, shape: tuple[int, ...]) -> None:
    x = torch.randn(*shape, device="cuda")
    scale, bias = parameters(shape[1], torch.float32)
    first = normalise(kernels, x, scale, bias)
    streams = [torch.cuda.Stream() for _ in range(2)]
    results = [torch.empty_like(x) for _ in streams]
    workspaces = [workspace_for(kernels, x) for _ in streams]
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


def test_instance_norm_in_a_cuda_graph(kernels: KernelLibrary) -> None:
    for shape in ((2, 4, 900), (1, 2, 200000)):
        x = torch.randn(*shape, device="cuda")
        scale, bias = parameters(shape[1], torch.float32)
        y = torch.empty_like(x)
        workspace = workspace_for(kernels, x)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            stream = torch.cuda.current_stream().cuda_stream
            kernels.instance_norm(x, scale, bias, y, EPSILON, workspace, stream)
        for _ in range(3):
            x.copy_(torch.randn_like(x) * 3 + 1)
            graph.replay()
            torch.cuda.synchronize()
            assert_normalised(x, scale, bias, y)


PAD_DTYPES = ("uint8", "bool", "float16", "bfloat16", "int32", "float32", "int64")


def pad(kernels: KernelLibrary, x: Tensor, pads: Sequence[int], misalignment: int = 0) -> Tensor:
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
    ((3, 4, 5, 6, 7), (1, 2, 3, 4, 5, 2, 3, 4, 5, 6)),
    ((2, 2, 2, 2, 2, 2, 2, 2), (1,) * 16),
    ((1, 2, 44100), (0, 0, 512, 0, 0, 512)),
    ((3, 1, 100003), (0, 0, 7, 0, 0, 1)),
    ((6, 10), (0, 0, 0, 0)),
]


@pytest.mark.parametrize("dtype", PAD_DTYPES)
@pytest.mark.parametrize(("shape", "pads"), PAD_CASES)
def test_reflect_pad(kernels: KernelLibrary, shape: tuple[int, ...], pads: tuple[int, ...], dtype: str) -> None:
    x = counting(shape, dtype)
    assert_padded(x, pads, pad(kernels, x, pads))


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "int64"])
@pytest.mark.parametrize("width", [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 255, 256, 257, 4095, 4096, 4097])
def test_reflect_pad_of_all_widths_and_alignments(kernels: KernelLibrary, width: int, dtype: str) -> None:
    values = counting((5, width), dtype)
    reach = min(width - 1, 9)
    for pads in ((0, reach, 0, reach), (1, 0, 2, reach), (0, reach, 3, 0), (0, 0, 0, 0)):
        for input_misalignment, output_misalignment in ((0, 0), (1, 0), (0, 1), (3, 3), (5, 7)):
            x, buffer = guarded_tensor(values.shape, values.dtype, input_misalignment)
            x.copy_(values)
            assert_padded(x, pads, pad(kernels, x, pads, output_misalignment))
            assert guards_are_intact(x, buffer)


def test_reflect_pad_reads_nothing_outside_its_input(kernels: KernelLibrary) -> None:
    # A tensor of its own allocation, for compute-sanitizer: whole vectors at its borders would reach beyond it.
    for count in (1, 3, 15, 16, 17, 250):
        x = torch.arange(count, dtype=torch.uint8, device="cuda")
        assert_padded(x, (count - 1, count - 1), pad(kernels, x, (count - 1, count - 1)))


@pytest.mark.parametrize("shape", [(0, 3, 8), (2, 0, 8)])
def test_empty_reflect_pad_launches_nothing(kernels: KernelLibrary, shape: tuple[int, ...]) -> None:
    pad(kernels, torch.empty(*shape, device="cuda"), (0, 0, 2, 0, 0, 2))


def test_reflect_pad_of_more_than_65535_planes(kernels: KernelLibrary) -> None:
    x = counting((70001, 2, 3, 3), "float32")
    pads = (0, 0, 1, 2, 0, 0, 2, 1)
    assert_padded(x, pads, pad(kernels, x, pads))


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
def test_reflect_pad_of_more_than_2_31_elements(kernels: KernelLibrary, dtype: str) -> None:
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


def test_reflect_pad_in_a_cuda_graph_and_on_two_streams(kernels: KernelLibrary) -> None:
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
