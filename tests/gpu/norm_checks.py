"""What the tests of InstanceNorm's kernels share: parameters, a launch that sees what it writes, and the bound."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.gpu.cuda_torch import torch
from tests.gpu.kernel_library import BY_NAME, FORMAT_LINEAR, Tensor, TorchKernels, dtype_name
from tests.gpu.kernel_tensors import POISON, guarded_tensor, guards_are_intact, to_numpy
from tests.gpu.layouts import from_layout, to_layout
from tests.support.references import instance_norm_reference, worst_excess

EPSILON = 1e-5


def parameters(channels: int, dtype: torch.dtype, bias_size: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return scale and bias."""
    generator = torch.Generator("cpu").manual_seed(3)
    scale, bias = torch.randn(2, channels, generator=generator).to(dtype).cuda()
    return scale, bias * bias_size


def workspace_for(
    kernels: TorchKernels, x: Tensor, shape: Sequence[int], format_: int = FORMAT_LINEAR, groups: int = 0
) -> Tensor:
    """Return poisoned scratch memory for a norm of x, whose `shape` is [N, C, D1..Dk] in any format."""
    count = kernels.workspace_bytes(shape, format_, groups, None, BY_NAME[dtype_name(x)])
    return torch.full((count,), POISON, dtype=torch.uint8, device="cuda")


def normalise(
    kernels: TorchKernels,
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    format_: int = FORMAT_LINEAR,
    *,
    misalignment: int = 0,
    epsilon: float = EPSILON,
) -> Tensor:
    """Return InstanceNorm(x), computed in that format, after checking all that was written."""
    stored = to_layout(x, format_, math.nan)
    y, buffer = guarded_tensor(stored.shape, x.dtype, misalignment)
    workspace = workspace_for(kernels, x, x.shape, format_)
    kernels.instance_norm(stored, scale, bias, y, epsilon, workspace, shape=x.shape, format_=format_)
    torch.cuda.synchronize()
    assert guards_are_intact(y, buffer)
    result, filling = from_layout(y, x.shape[1], format_)
    assert (filling == 0).all()
    return result


def assert_normalised(x: Tensor, scale: Tensor, bias: Tensor, y: Tensor, epsilon: float = EPSILON) -> None:
    """Hold every element against the float64 reference."""
    reference = instance_norm_reference(to_numpy(x), to_numpy(scale), to_numpy(bias), epsilon)
    assert worst_excess(to_numpy(y), reference, dtype_name(x)) <= 1
