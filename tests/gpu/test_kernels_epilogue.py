"""The norm with residual and activation, and with scales of each image, through its C launcher, on a GPU."""

from __future__ import annotations

import dataclasses
import math

import pytest

from tests.gpu.cuda_torch import torch
from tests.gpu.fused_checks import (
    FusedCase,
    check_fused,
    make_tensors,
    options_of,
    reference_of,
    run_fused,
)
from tests.gpu.kernel_library import DTYPES, FORMAT_CHANNELS_LAST, FORMAT_LINEAR, TorchKernels
from tests.gpu.kernel_tensors import guarded_tensor, to_numpy
from tests.gpu.norm_checks import EPSILON, normalise, workspace_for
from tests.support.fused_references import ACTIVATIONS
from tests.support.references import worst_excess

pytestmark = pytest.mark.gpu

FORMATS = pytest.mark.parametrize("format_", [FORMAT_LINEAR, FORMAT_CHANNELS_LAST], ids=["linear", "channels_last"])
EACH_DTYPE = pytest.mark.parametrize("dtype", DTYPES)

# What an H100 launches differently: parts of a warp, a block, clusters in registers and in shared memory, a grid,
# streams of several blocks and of one, and two readings; ranks 3 to 5; sizes that vectors do not divide.
SHAPES = (
    (2, 9, 7, 7),
    (3, 20, 64),
    (1, 70, 33, 31),
    (2, 64, 40, 40),
    (1, 5, 9, 16, 23),
    (2, 6, 128, 128),
    (1, 60, 256, 256),
    (1, 3, 128, 256),
    (1, 9, 70001),
    (1, 140, 40000),
    (1, 60, 300, 301),
    (1, 5, 400003),
)


@FORMATS
@EACH_DTYPE
@pytest.mark.parametrize("has_residual", [False, True], ids=["alone", "residual"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_epilogue_of_every_launch(
    kernels: TorchKernels, activation: str, has_residual: bool, dtype: str, format_: int
) -> None:
    for shape in SHAPES:
        check_fused(kernels, FusedCase(shape, dtype, format_, activation, has_residual))


@EACH_DTYPE
@pytest.mark.parametrize("size", [1, 3, 15, 1023, 4097, 32768, 65536, 17000001])
def test_epilogue_of_all_sizes(kernels: TorchKernels, size: int, dtype: str) -> None:
    channels = 1 if size > 1 << 20 else 3
    for activation, has_residual in (("prelu", True), ("silu", False)):
        check_fused(kernels, FusedCase((1, channels, size), dtype, FORMAT_LINEAR, activation, has_residual))


@FORMATS
@EACH_DTYPE
def test_scale_and_bias_of_each_image(kernels: TorchKernels, dtype: str, format_: int) -> None:
    for shape in ((3, 10, 7, 7), (2, 40, 50, 50), (5, 3, 70001), (2, 60, 300, 301)):
        for activation, has_residual in (("none", False), ("prelu", True)):
            check_fused(kernels, FusedCase(shape, dtype, format_, activation, has_residual, is_affine_per_image=True))


@EACH_DTYPE
@pytest.mark.parametrize("misalignment", [(1, 1, 1), (0, 0, 1), (3, 1, 3), (0, 1, 0)])
def test_epilogue_of_all_alignments(kernels: TorchKernels, misalignment: tuple[int, int, int], dtype: str) -> None:
    """Of x, of the residual and of the result."""
    for size in (999, 50001):
        case = FusedCase((1, 2, size), dtype, activation="relu", has_residual=True)
        tensors = make_tensors(case)
        moved = [guarded_tensor(case.shape, tensors.x.dtype, offset)[0] for offset in misalignment[:2]]
        for target, source in zip(moved, (tensors.x, tensors.residual), strict=True):
            target.copy_(source)
        tensors = dataclasses.replace(tensors, x=moved[0], residual=moved[1])
        y = run_fused(kernels, case, tensors, misalignment[2])
        assert worst_excess(to_numpy(y), reference_of(case, tensors), dtype) <= 1


@FORMATS
@EACH_DTYPE
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pixels", [60, 3000, 100003])
def test_infinity_and_nan(kernels: TorchKernels, pixels: int, activation: str, dtype: str, format_: int) -> None:
    """In x they spoil their slice, in the residual their element: whatever the formula makes of them."""
    case = FusedCase((2, 5, pixels), dtype, format_, activation, has_residual=True)
    tensors = make_tensors(case)
    tensors.x[0, 1, pixels // 2] = math.nan
    tensors.x[1, 2, 0] = -math.inf
    for place, special in enumerate((math.inf, -math.inf, math.nan)):
        tensors.residual[0, 0, place] = special
        tensors.residual[1, 4, pixels - 1 - place] = special
    y = run_fused(kernels, case, tensors)
    assert worst_excess(to_numpy(y), reference_of(case, tensors), dtype) <= 1
    assert torch.isnan(y[0, 0, 2])
    assert torch.isfinite(y[1, 3]).all()


@FORMATS
@EACH_DTYPE
@pytest.mark.parametrize("activation", ["silu", "elu", "tanh"])
def test_curves_over_their_whole_range(kernels: TorchKernels, activation: str, dtype: str, format_: int) -> None:
    """A residual on a slice without variance and bias gives the curve itself: near zero to the last digits."""
    ladder = 10.0 ** torch.linspace(-7, 4.5, 4000)
    values = torch.cat([ladder, -ladder, torch.zeros(8)])
    case = FusedCase((1, 8, len(values)), dtype, format_, activation, has_residual=True)
    tensors = make_tensors(case)
    residual = values.expand(case.shape).to(tensors.x.dtype).cuda().contiguous()
    tensors = dataclasses.replace(
        tensors, x=torch.zeros_like(tensors.x), bias=torch.zeros_like(tensors.bias), residual=residual
    )
    y = run_fused(kernels, case, tensors)
    assert worst_excess(to_numpy(y), reference_of(case, tensors), dtype) <= 1


@FORMATS
@EACH_DTYPE
def test_zeros_as_residual_give_the_plain_norm(kernels: TorchKernels, dtype: str, format_: int) -> None:
    """But for the order of sums, by which a result near the middle between two numbers may be rounded the other way."""
    for shape in SHAPES:
        case = FusedCase(shape, dtype, format_, has_residual=True)
        tensors = make_tensors(case)
        tensors = dataclasses.replace(tensors, residual=torch.zeros_like(tensors.x))
        plain = normalise(kernels, tensors.x, tensors.scale, tensors.bias, format_)
        fused = run_fused(kernels, case, tensors)
        epsilon = torch.finfo(plain.dtype).eps
        assert torch.allclose(plain.double(), fused.double(), rtol=epsilon, atol=epsilon), shape
        assert (plain != fused).float().mean() < (1e-3 if dtype != "float32" else 0.5), shape


@FORMATS
@pytest.mark.parametrize("shape", [(2, 8, 900), (1, 16, 200000), (1, 64, 256, 256)])
def test_epilogue_in_a_cuda_graph(kernels: TorchKernels, shape: tuple[int, ...], format_: int) -> None:
    case = FusedCase(shape, "float32", format_, "silu", has_residual=True)
    tensors = make_tensors(case)
    if format_ == FORMAT_CHANNELS_LAST:
        x, residual = (each.movedim(1, -1).contiguous() for each in (tensors.x, tensors.residual))
    else:
        x, residual = tensors.x, tensors.residual
    y = torch.empty_like(x)
    workspace = workspace_for(kernels, x, shape, format_)
    options = options_of(case, residual, None)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        stream = torch.cuda.current_stream().cuda_stream
        kernels.instance_norm(
            x, tensors.scale, tensors.bias, y, EPSILON, workspace, stream, shape=shape, format_=format_, options=options
        )
    expected = run_fused(kernels, case, tensors)
    for _ in range(3):
        y.zero_()
        graph.replay()
        torch.cuda.synchronize()
        assert torch.equal(y.movedim(-1, 1) if format_ == FORMAT_CHANNELS_LAST else y, expected)
