"""Channels normalised in groups, through the C launcher, on a GPU."""

from __future__ import annotations

import pytest

from tests.gpu.cuda_torch import torch
from tests.gpu.fused_checks import FusedCase, check_fused, make_tensors, reference_of, run_fused
from tests.gpu.kernel_library import DTYPES, FORMAT_CHANNELS_LAST, FORMAT_LINEAR, TorchKernels
from tests.gpu.kernel_tensors import to_numpy
from tests.gpu.norm_checks import normalise
from tests.support.references import worst_excess

pytestmark = pytest.mark.gpu

FORMATS = pytest.mark.parametrize("format_", [FORMAT_LINEAR, FORMAT_CHANNELS_LAST], ids=["linear", "channels_last"])
EACH_DTYPE = pytest.mark.parametrize("dtype", DTYPES)

# Groups within a vector, of whole vectors, across vectors and columns; one group; a channel each; odd sizes.
GROUPED = (
    ((2, 8, 9), 4),
    ((2, 12, 7, 7), 3),
    ((1, 20, 15, 17), 1),
    ((1, 20, 15, 17), 20),
    ((3, 64, 16, 16), 32),
    ((1, 64, 5, 9, 11), 8),
    ((1, 96, 33, 31), 32),
    ((2, 320, 16, 16), 32),
    ((1, 512, 64, 64), 32),
    ((1, 130, 40, 41), 13),
    ((1, 48, 300, 301), 6),
    ((2, 320, 64, 64), 32),
    ((1, 128, 256, 256), 32),
    ((1, 6, 400003), 2),
    ((1, 40, 100, 1000), 4),
    ((1, 2, 9000001), 1),
)


@FORMATS
@EACH_DTYPE
@pytest.mark.parametrize(("shape", "groups"), GROUPED)
def test_groups_of_every_launch(
    kernels: TorchKernels, shape: tuple[int, ...], groups: int, dtype: str, format_: int
) -> None:
    check_fused(kernels, FusedCase(shape, dtype, format_, groups=groups))


@FORMATS
@EACH_DTYPE
@pytest.mark.parametrize("activation", ["relu", "prelu", "silu", "elu", "tanh"])
def test_groups_with_an_epilogue(kernels: TorchKernels, activation: str, dtype: str, format_: int) -> None:
    for shape, groups in (((2, 12, 7, 7), 3), ((2, 320, 16, 16), 32), ((1, 64, 128, 128), 16), ((1, 48, 300, 301), 6)):
        check_fused(kernels, FusedCase(shape, dtype, format_, activation, True, groups, is_affine_per_image=True))


@FORMATS
@EACH_DTYPE
def test_groups_of_channels_with_means_far_apart(kernels: TorchKernels, dtype: str, format_: int) -> None:
    case = FusedCase((2, 24, 50, 50), dtype, format_, groups=4)
    tensors = make_tensors(case)
    tensors.x.add_(torch.arange(24, device="cuda").view(1, -1, 1, 1) * 8)
    y = run_fused(kernels, case, tensors)
    assert worst_excess(to_numpy(y), reference_of(case, tensors), dtype) <= 1


@FORMATS
@EACH_DTYPE
def test_a_group_for_each_channel_is_the_plain_norm(kernels: TorchKernels, dtype: str, format_: int) -> None:
    case = FusedCase((2, 24, 31, 33), dtype, format_, groups=24)
    tensors = make_tensors(case)
    plain = normalise(kernels, tensors.x, tensors.scale, tensors.bias, format_)
    assert torch.equal(plain, run_fused(kernels, case, tensors))


@FORMATS
@EACH_DTYPE
def test_constant_group_gives_exactly_the_bias(kernels: TorchKernels, dtype: str, format_: int) -> None:
    for shape, groups in (((2, 24, 31, 33), 4), ((2, 320, 16, 16), 32), ((1, 64, 256, 256), 8)):
        case = FusedCase(shape, dtype, format_, groups=groups)
        tensors = make_tensors(case)
        tensors.x.fill_(0.3)
        y = run_fused(kernels, case, tensors)
        expected = tensors.bias.view(1, -1, *(1,) * (len(shape) - 2))
        assert torch.equal(y, expected.expand_as(y)), shape
