"""References of the output maps: nearest upsampling, pads of three modes and activations, by numpy's own functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.support import fused_references

Array = npt.NDArray[Any]

PAD_MODES = ("reflect", "edge", "zero")
ACTIVATIONS = tuple(name for name in fused_references.ACTIVATIONS if name != "prelu")
_NUMPY_MODES: Mapping[str, Any] = {"reflect": "reflect", "edge": "edge", "zero": "constant"}


def mapped(x: Array, pads: Sequence[int], upsample: Sequence[int], pad_mode: str = "reflect") -> Array:
    """Return x, each axis upsampled to nearest neighbours by its factor, then padded; `pads` in ONNX order."""
    for axis, factor in enumerate(upsample):
        x = np.repeat(x, factor, axis)
    rank = x.ndim
    both = [(pads[axis], pads[axis + rank]) for axis in range(rank)]
    return np.pad(x, both, mode=_NUMPY_MODES[pad_mode])


def spatially_mapped(x: Array, pads: Sequence[int], upsample: Sequence[int], pad_mode: str = "reflect") -> Array:
    """Return the same of x [N, C, D1..Dk] for pads and factors of D1..Dk alone."""
    half = len(pads) // 2
    return mapped(x, (0, 0, *pads[:half], 0, 0, *pads[half:]), (1, 1, *upsample), pad_mode)


def phased(x: Array, phases: Sequence[int], crop: Sequence[int]) -> Array:
    """Return x [N, B * C, d1..dk] with its phases interleaved, and cropped; the lists speak of d1..dk.

    Element p of axis a and element i of the input become i * phases[a] + p, as by DepthToSpace(mode=DCR).
    """
    split = x.reshape(x.shape[0], *phases, -1, *x.shape[2:])
    num_axes = len(phases)
    order = [0, 1 + num_axes]
    for axis in range(num_axes):
        order += [2 + num_axes + axis, 1 + axis]
    sizes = [size * factor for size, factor in zip(x.shape[2:], phases, strict=True)]
    whole = split.transpose(order).reshape(x.shape[0], x.shape[1] // int(np.prod(phases)), *sizes)
    kept = (slice(size - left_out) for size, left_out in zip(sizes, crop, strict=True))
    return whole[(slice(None), slice(None), *kept)]


def phased_shape(shape: Sequence[int], phases: Sequence[int], crop: Sequence[int]) -> list[int]:
    """Return the shape of a tensor with its phases interleaved; the lists have an entry for each axis."""
    sizes = [size * factor - out for size, factor, out in zip(shape, phases, crop, strict=True)]
    if len(sizes) > 1:
        sizes[1] = shape[1] // int(np.prod(phases))
    return sizes


def activated(x: Array, activation: str, alpha: float) -> Array:
    """Return the activation of x, in float64; alpha as a plugin has it, in fp32."""
    return fused_references.activated(x.astype(np.float64), activation, float(np.float32(alpha)), None)[0]
