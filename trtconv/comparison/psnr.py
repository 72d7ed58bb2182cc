"""The peak signal-to-noise ratio of outputs that are images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_CHANNELS = (1, 3)
_MIN_SIDE = 8  # smaller maps are features, not images


def is_image(shape: Sequence[int]) -> bool:
    """Say whether an output of this shape is an image: [N, C, H, W] or [N, H, W, C] with 1 or 3 channels."""
    if len(shape) != 4 or 0 in shape:
        return False
    sides = shape[2:] if shape[1] in _CHANNELS else shape[1:3] if shape[3] in _CHANNELS else ()
    return bool(sides) and min(sides) >= _MIN_SIDE


def psnr_db(reference: npt.NDArray[np.float64], error: npt.NDArray[np.float64]) -> float | None:
    """Return 10 log10(peak^2 / mean(error^2)) in dB, infinite where there is no error.

    The formula is that of Huynh-Thu and Ghanbari, "Scope of validity of PSNR in image/video quality assessment",
    Electronics Letters 44 (2008). The peak is max(reference) - min(reference), because a network's output has no fixed
    range of pixels. Returns None for a reference of one value: it has no peak.
    """
    peak = float(reference.max() - reference.min())
    if not 0 < peak < math.inf:
        return None
    largest = float(error.max())
    if largest == 0:
        return math.inf
    root_mean_square = largest * math.sqrt(float(np.mean((error / largest) ** 2)))  # the square may not fit float64
    return 20 * math.log10(peak / root_mean_square)
