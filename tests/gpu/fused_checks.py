"""What the tests of the fused norm share: a case, its launch with all that is written watched, and the check."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tests.gpu.cuda_torch import torch
from tests.gpu.kernel_library import FORMAT_LINEAR, Tensor, TorchKernels, dtype_name
from tests.gpu.kernel_tensors import guarded_tensor, guards_are_intact, to_numpy
from tests.gpu.layouts import from_layout, to_layout
from tests.gpu.norm_checks import EPSILON, workspace_for
from tests.support.fused_references import fused_norm_reference
from tests.support.references import InstanceNormReference, worst_excess
from trtconv.plugins.kernels import NormOptions

ALPHAS = {"leaky_relu": 0.2, "elu": 1.3}


@dataclass(frozen=True)
class FusedCase:
    """A norm of `shape` [N, C, D1..Dk] and what is fused into it."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    format_: int = FORMAT_LINEAR
    activation: str = "none"
    has_residual: bool = False
    groups: int = 0
    is_affine_per_image: bool = False


@dataclass(frozen=True)
class FusedTensors:
    x: Tensor
    scale: Tensor
    bias: Tensor
    residual: Tensor | None
    slope: Tensor | None


def make_tensors(case: FusedCase, seed: int = 5) -> FusedTensors:
    generator = torch.Generator("cuda").manual_seed(seed)
    type_ = getattr(torch, case.dtype)

    def values(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device="cuda").to(type_)

    channels = case.shape[1]
    affine = case.shape[:2] if case.is_affine_per_image else (channels,)
    x = values(*case.shape) * 2 + 0.5
    residual = values(*case.shape) if case.has_residual else None
    slope = values(channels) if case.activation == "prelu" else None
    return FusedTensors(x, values(*affine), values(*affine), residual, slope)


def options_of(case: FusedCase, residual: Tensor | None, slope: Tensor | None) -> NormOptions:
    """Return the launcher's options; the tensors are as they lie in memory."""
    return NormOptions(
        case.groups,
        case.is_affine_per_image,
        case.activation,
        ALPHAS.get(case.activation, 0.0),
        0 if residual is None else residual.data_ptr(),
        0 if slope is None else slope.data_ptr(),
    )


def run_fused(kernels: TorchKernels, case: FusedCase, tensors: FusedTensors, misalignment: int = 0) -> Tensor:
    """Return the result, after checking that nothing beside it was written."""
    stored = to_layout(tensors.x, case.format_, math.nan)
    residual = None if tensors.residual is None else to_layout(tensors.residual, case.format_, math.nan)
    y, buffer = guarded_tensor(stored.shape, tensors.x.dtype, misalignment)
    workspace = workspace_for(kernels, tensors.x, case.shape, case.format_, case.groups)
    kernels.instance_norm(
        stored,
        tensors.scale,
        tensors.bias,
        y,
        EPSILON,
        workspace,
        shape=case.shape,
        format_=case.format_,
        options=options_of(case, residual, tensors.slope),
    )
    torch.cuda.synchronize()
    assert guards_are_intact(y, buffer)
    result, filling = from_layout(y, case.shape[1], case.format_)
    assert (filling == 0).all()
    return result


def reference_of(case: FusedCase, tensors: FusedTensors) -> InstanceNormReference:
    residual, slope = (None if each is None else to_numpy(each) for each in (tensors.residual, tensors.slope))
    return fused_norm_reference(
        *map(to_numpy, (tensors.x, tensors.scale, tensors.bias)),
        EPSILON,
        groups=case.groups,
        residual=residual,
        activation=case.activation,
        alpha=ALPHAS.get(case.activation, 0.0),
        slope=slope,
    )


def check_fused(kernels: TorchKernels, case: FusedCase) -> None:
    """Hold every element of a case's result against the float64 reference."""
    tensors = make_tensors(case)
    y = run_fused(kernels, case, tensors)
    assert worst_excess(to_numpy(y), reference_of(case, tensors), dtype_name(tensors.x)) <= 1, case
