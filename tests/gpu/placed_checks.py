"""The check of norms that go through an output map, or read phases: shared by their tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tests.gpu.cuda_torch import torch
from tests.gpu.fused_checks import FusedCase, make_tensors, options_of, reference_of
from tests.gpu.kernel_library import BY_NAME, Tensor, TorchKernels
from tests.gpu.kernel_tensors import POISON, guarded_tensor, guards_are_intact, to_numpy
from tests.gpu.layouts import from_layout, in_phases, to_layout
from tests.gpu.norm_checks import EPSILON
from tests.support.map_references import spatially_mapped
from tests.support.references import InstanceNormReference, worst_excess
from trtconv.plugins.kernels import NormPlace

_GUARD_BYTES = 4096  # behind the workspace


@dataclass(frozen=True)
class Place:
    """Factors, pads (begins, then ends) and phases of all spatial axes; X is cropped where phases do not divide one."""

    upsample: tuple[int, ...]
    pads: tuple[int, ...]
    mode: str = "reflect"
    residual_pads: tuple[int, ...] = ()
    to: str | None = None
    phases: tuple[int, ...] = ()


def check_placed(kernels: TorchKernels, case: FusedCase, place: Place) -> None:
    """Hold every element of Y against the float64 reference, and watch what is written beside it.

    The shape of the case is that of what is normalised: where X has phases, their elements that are cropped are NaN.
    """
    tensors = make_tensors(case)
    x, crop = in_phases(tensors.x, place.phases or (1,) * (len(case.shape) - 2), math.nan)
    reference = reference_of(case, tensors)
    spread = (place.pads, place.upsample, place.mode)
    expected = InstanceNormReference(
        spatially_mapped(reference.y, *spread), spatially_mapped(reference.magnitude, *spread)
    )
    residual = None if tensors.residual is None else framed(tensors.residual, place.residual_pads)
    stored_residual = None if residual is None else to_layout(residual, case.format_, math.nan)
    y_type = place.to or case.dtype
    target = to_layout(torch.empty(expected.y.shape, dtype=getattr(torch, y_type), device="cuda"), case.format_, 0)
    y, buffer = guarded_tensor(target.shape, target.dtype)
    given = NormPlace(place.upsample, place.pads, place.mode, place.residual_pads, BY_NAME[y_type], place.phases, crop)
    num_bytes = kernels.workspace_bytes(x.shape, case.format_, case.groups, given, BY_NAME[case.dtype])
    workspace = torch.full((num_bytes + _GUARD_BYTES,), POISON, dtype=torch.uint8, device="cuda")
    kernels.instance_norm(
        to_layout(x, case.format_, math.nan),
        tensors.scale,
        tensors.bias,
        y,
        EPSILON,
        workspace[:num_bytes],
        shape=x.shape,
        format_=case.format_,
        options=options_of(case, stored_residual, tensors.slope)._replace(place=given),
    )
    torch.cuda.synchronize()
    assert guards_are_intact(y, buffer)
    assert (workspace[num_bytes:] == POISON).all()
    result, filling = from_layout(y, case.shape[1], case.format_)
    assert (filling == 0).all()
    assert worst_excess(to_numpy(result), expected, y_type) <= 1, (case, place)


def framed(inside: Tensor, pads: Sequence[int]) -> Tensor:
    """Return a tensor of NaN around `inside`."""
    if not pads:
        return inside
    half = len(pads) // 2
    sizes = [size + pads[axis] + pads[half + axis] for axis, size in enumerate(inside.shape[2:])]
    whole = torch.full((*inside.shape[:2], *sizes), math.nan, dtype=inside.dtype, device="cuda")
    inner = [slice(pads[axis], pads[axis] + size) for axis, size in enumerate(inside.shape[2:])]
    whole[(slice(None), slice(None), *inner)] = inside
    return whole
