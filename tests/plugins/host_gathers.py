"""The gathers of output maps, built for the host: their call, and tensors as they lie in memory."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import ml_dtypes
import numpy as np
import numpy.typing as npt
from host_tools import pointer

from tests.support.map_references import PAD_MODES, phased_shape

LINEAR, CHANNELS_LAST, BLOCKS_OF_4, BLOCKS_OF_32 = range(4)
DTYPES = (np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))
WORDS = -1


def lanes_of(layout: int, dtype: np.dtype) -> int:
    return {LINEAR: 1, CHANNELS_LAST: 16 // dtype.itemsize, BLOCKS_OF_4: 4, BLOCKS_OF_32: 32}[layout]


def stored(x: npt.NDArray, layout: int, filling: float) -> npt.NDArray:
    """Return x as it lies in memory, aligned to 16 bytes."""
    if layout != LINEAR:
        lanes = lanes_of(layout, x.dtype)
        groups = -(-x.shape[1] // lanes)
        filled = np.full((x.shape[0], groups * lanes, *x.shape[2:]), filling, dtype=x.dtype)
        filled[:, : x.shape[1]] = x
        x = np.moveaxis(filled, 1, -1)
        if layout != CHANNELS_LAST:
            x = np.moveaxis(filled.reshape(x.shape[0], groups, lanes, *x.shape[1:-1]), 2, -1)
    return aligned_copy(x)


def aligned_copy(x: npt.NDArray) -> npt.NDArray:
    """Return a copy of x at an address that 16 divides."""
    result = aligned(x.shape, x.dtype)
    result[...] = x
    return result


def aligned(shape: Sequence[int], dtype: np.dtype) -> npt.NDArray:
    """Return an array of 0x5A bytes at an address that 16 divides."""
    size = int(np.prod(shape)) * dtype.itemsize
    buffer = np.full(size + 16, 0x5A, dtype=np.uint8)
    begin = -buffer.ctypes.data % 16
    return buffer[begin : begin + size].view(dtype).reshape(shape)


def gather(
    gathers: ctypes.CDLL,
    x: npt.NDArray,
    pads: Sequence[int],
    upsample: Sequence[int],
    mode: str,
    *,
    layouts: tuple[int, int] = (LINEAR, LINEAR),
    to: np.dtype | None = None,
    activation: str | None = None,
    alpha: float = 0.0,
    phases: Sequence[int] = (),
    crop: Sequence[int] = (),
) -> npt.NDArray:
    """Return Y as the kernels write it, after checking that all of it was written and its filling is zero.

    All lists have an entry for each axis; without `phases` there is one of each, without `crop` nothing is cropped.
    """
    target_type = x.dtype if to is None else to
    is_moved = to is None and activation is None
    phases, crop = phases or (1,) * x.ndim, crop or (0,) * x.ndim
    inside = phased_shape(x.shape, phases, crop)
    shape = [
        size * factor + pads[axis] + pads[axis + x.ndim]
        for axis, (size, factor) in enumerate(zip(inside, upsample, strict=True))
    ]
    source = stored(x, layouts[0], 7 if is_moved else np.nan)
    expected = stored(np.zeros(shape, dtype=target_type), layouts[1], 0)
    y = aligned(expected.shape, target_type)
    sizes, both_pads, factors, both_phases = (
        np.array(values, dtype=np.int64) for values in (x.shape, pads, upsample, (*phases, *crop))
    )
    num_misaligned_reads = gathers.host_gather(
        pointer(source),
        pointer(y),
        x.ndim,
        pointer(sizes),
        pointer(both_pads),
        pointer(factors),
        pointer(both_phases),
        PAD_MODES.index(mode),
        *layouts,
        x.dtype.itemsize,
        *((WORDS, WORDS) if is_moved else (DTYPES.index(x.dtype), DTYPES.index(target_type))),
        ("none", "relu", "leaky_relu", "prelu", "silu", "elu", "tanh").index(activation or "none"),
        ctypes.c_float(alpha),
    )
    assert num_misaligned_reads == 0
    return unstored(y, shape, layouts[1])


def unstored(y: npt.NDArray, shape: Sequence[int], layout: int) -> npt.NDArray:
    if layout == LINEAR:
        return y
    if layout == CHANNELS_LAST:
        filled = np.moveaxis(y, -1, 1)
    else:
        filled = np.moveaxis(y, -1, 2).reshape(shape[0], -1, *shape[2:])
    if layout == CHANNELS_LAST:
        assert not filled[:, shape[1] :].astype(np.float32).any()
    return filled[:, : shape[1]]


def counting(shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray:
    count = np.arange(int(np.prod(shape)))
    modulus = {2: 251, 1: 125}.get(np.dtype(dtype).itemsize, 1 << 20)
    return (count % modulus + 1).astype(dtype).reshape(shape)
