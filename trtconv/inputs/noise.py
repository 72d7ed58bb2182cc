"""What stands for a user's data in a calibration: white noise, noise as in pictures and sounds, and zeros."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

KINDS = ("white noise", "natural noise", "zeros")

_MAX_PIXEL = 255.0
_IMAGE_CHANNELS = (1, 3, 4)
_MIN_IMAGE_SIDE = 16
_TINY = 1e-30


def noises(shape: tuple[int, ...], dtype: np.dtype[Any], rng: np.random.Generator) -> Iterator[npt.NDArray[Any]]:
    """Yield the values of one input for each of KINDS.

    An input that looks like an image ([N, 1|3|4, H, W] or channels last) gets pixels of 0 to 255, any other float input
    white noise of variance 1 and the other in [-1, 1]; whole numbers are 0 or 1, text is empty.
    """
    if dtype.kind in "iub":
        for _ in KINDS:
            yield rng.integers(0, 2, shape).astype(dtype)
        return
    if dtype.kind == "O":  # text
        for _ in KINDS:
            yield np.full(shape, "", dtype)
        return
    natural = _natural(shape, rng)
    if _is_image(shape):
        yield rng.uniform(0, _MAX_PIXEL, shape).astype(dtype)
        yield ((natural + 1) * np.float32(_MAX_PIXEL / 2)).astype(dtype)
    else:
        yield rng.standard_normal(shape, dtype=np.float32).astype(dtype)
        yield natural.astype(dtype)
    yield np.zeros(shape, dtype)


def _is_image(shape: tuple[int, ...]) -> bool:
    if len(shape) != 4:
        return False
    channels, sides = (shape[1], shape[2:]) if shape[1] in _IMAGE_CHANNELS else (shape[3], shape[1:3])
    return channels in _IMAGE_CHANNELS and min(sides) >= _MIN_IMAGE_SIDE


def _natural(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return noise in [-1, 1] whose amplitude falls with its frequency, as in pictures and sounds.

    Unlike white noise it does not average out in a convolution.
    """
    white = rng.standard_normal(shape)
    if not white.size or not shape:
        return white.astype(np.float32)
    axes = tuple(range(min(2, len(shape) - 1), len(shape)))
    grid = np.meshgrid(*(np.fft.fftfreq(shape[axis]) for axis in axes), indexing="ij")
    frequency = np.sqrt(sum(np.square(along) for along in grid))
    falling = np.fft.fftn(white, axes=axes) / np.maximum(frequency, 1 / max(shape))
    pink = np.fft.ifftn(falling, axes=axes).real
    result: npt.NDArray[np.float32] = (pink / max(np.abs(pink).max(), _TINY)).astype(np.float32)
    return result
