"""References of the output maps: nearest upsample, pads of three modes and activations, by numpy's own functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

PAD_MODES = ("reflect", "edge", "zero")
_NUMPY_MODES: Mapping[str, Any] = {"reflect": "reflect", "edge": "edge", "zero": "constant"}


def _leaky(y: Array, alpha: float) -> Array:
    return np.where(y < 0, alpha * y, y)


# Of float64; alpha as the plugin has it, in fp32.
ACTIVATIONS: Mapping[str, Callable[[Array, float], Array]] = {
    "none": lambda y, _: y,
    "relu": lambda y, _: np.where(y < 0, 0.0, y),
    "leaky_relu": _leaky,
    "silu": lambda y, _: y / (1 + np.exp(-y)),
    "elu": lambda y, alpha: np.where(y < 0, alpha * np.expm1(np.minimum(y, 0)), y),
    "tanh": lambda y, _: np.tanh(y),
}


def mapped(x: Array, pads: Sequence[int], upsample: Sequence[int], pad_mode: str = "reflect") -> Array:
    """Return x, each axis upsampled to nearest neighbours by its factor, then padded; `pads` in ONNX order."""
    for axis, factor in enumerate(upsample):
        x = np.repeat(x, factor, axis)
    rank = x.ndim
    both = [(pads[axis], pads[axis + rank]) for axis in range(rank)]
    return np.pad(x, both, mode=_NUMPY_MODES[pad_mode])


def activated(x: Array, activation: str, alpha: float) -> Array:
    """Return the activation of x, in float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        return ACTIVATIONS[activation](x.astype(np.float64), float(np.float32(alpha)))
