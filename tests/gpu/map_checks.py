"""The check of output maps, which may read phases: shared by their tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.gpu.cuda_torch import torch
from tests.gpu.kernel_library import BY_NAME, FORMAT_LINEAR, Tensor, TorchKernels, dtype_name
from tests.gpu.kernel_tensors import guarded_tensor, guards_are_intact, to_numpy
from tests.gpu.layouts import from_layout, in_phases, to_layout
from tests.support.map_references import spatially_mapped
from trtconv.plugins.kernels import OutputMap

UNITS = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}  # half of the spacing of numbers near 1
SMALLEST = {"float32": 2.0**-149, "float16": 2.0**-24, "bfloat16": 2.0**-133}


def gather(
    kernels: TorchKernels,
    x: Tensor,
    pads: Sequence[int],
    upsample: Sequence[int],
    pad_mode: str,
    *,
    to: str | None = None,
    activation: str | None = None,
    alpha: float = 0.0,
    formats: tuple[int, int] = (FORMAT_LINEAR, FORMAT_LINEAR),
    misalignment: int = 0,
    phases: Sequence[int] = (),
) -> Tensor:
    """Return Y, after checking that nothing beside it was written and its vectors are filled up with zeros.

    Without `to` and `activation` elements are moved bit for bit. `pads`, `upsample` and `phases` are those of the
    spatial axes; with phases the kernels are given `x` in them.
    """
    is_moved = to is None and activation is None
    y_name = to or dtype_name(x)
    shape = [*x.shape[:2], *(s * f for s, f in zip(x.shape[2:], upsample, strict=True))]
    half = len(pads) // 2
    for axis in range(half):
        shape[2 + axis] += pads[axis] + pads[half + axis]
    filling = float("nan") if x.dtype.is_floating_point else 1
    given, crop = in_phases(x, phases or (1,) * len(upsample), filling)
    target = to_layout(torch.zeros(*shape, dtype=getattr(torch, y_name), device="cuda"), formats[1], 0)
    y, buffer = guarded_tensor(target.shape, target.dtype, misalignment)
    output_map = OutputMap(
        upsample=(1, 1, *upsample),
        pad_mode=pad_mode,
        x_type=None if is_moved else BY_NAME[dtype_name(x)],
        y_type=None if is_moved else BY_NAME[y_name],
        y_layout=formats[1],
        activation=activation or "none",
        alpha=alpha,
        phases=(1, 1, *phases),
        crop=(0, 0, *crop),
    )
    both = (0, 0, *pads[:half], 0, 0, *pads[half:])
    stored = to_layout(given, formats[0], filling)
    kernels.reflect_pad(stored, y, both, shape=given.shape, format_=formats[0], output_map=output_map)
    torch.cuda.synchronize()
    assert guards_are_intact(y, buffer)
    result, beside = from_layout(y, x.shape[1], formats[1])
    assert (beside == 0).all()
    return result


def reference(x: Tensor, pads: Sequence[int], upsample: Sequence[int], pad_mode: str) -> npt.NDArray[Any]:
    return spatially_mapped(to_numpy(x), pads, upsample, pad_mode)


def counting(shape: Sequence[int], dtype: str) -> Tensor:
    """Return a tensor whose elements differ as far as their type allows, and are not zero."""
    numbers = torch.arange(int(np.prod(shape)), device="cuda")
    modulus = {"int8": 125, "uint8": 251, "float16": 2039, "bfloat16": 251}.get(dtype, 1 << 24)
    return (numbers % modulus + 1).to(getattr(torch, dtype)).view(*shape)


def normal(shape: Sequence[int], dtype: str, seed: int = 0) -> Tensor:
    generator = torch.Generator("cuda").manual_seed(seed)
    return (torch.randn(*shape, device="cuda", generator=generator) * 4).to(getattr(torch, dtype))


def assert_near(y: Tensor, expected: npt.NDArray[np.float64], y_type: str) -> None:
    """Each element is within half a unit of its type, and 2e-6 of it, of the reference."""
    error = np.abs(to_numpy(y).astype(np.float64) - expected)
    assert (error <= np.abs(expected) * (UNITS[y_type] + 2e-6) + SMALLEST[y_type] + 1e-7).all()
