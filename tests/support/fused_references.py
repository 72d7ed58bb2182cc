"""What a norm with all that it may fuse means, in numpy: a float64 reference, and the bound of its error."""

from __future__ import annotations

import numpy as np

from tests.support.references import Array, Float64Array, InstanceNormReference, normalise

ACTIVATIONS = ("none", "relu", "leaky_relu", "prelu", "silu", "elu", "tanh")


def fused_norm_reference(
    x: Array,
    scale: Array,
    bias: Array,
    epsilon: float,
    *,
    groups: int = 0,
    residual: Array | None = None,
    activation: str = "none",
    alpha: float = 0.0,
    slope: Array | None = None,
) -> InstanceNormReference:
    """Return activation(affine(norm(x)) + residual) for `x` [N, C, D1..Dk]; scale and bias are [C] or [N, C].

    The magnitude is that of all terms before the activation, times what the activation may make of an error in them.
    """
    batch, channels = x.shape[:2]
    per_channel = (1, -1) + (1,) * (x.ndim - 2)
    with np.errstate(all="ignore"):
        normalised, lost = normalise(x.astype(np.float64).reshape(batch, groups or channels, -1), epsilon)
        lost = np.repeat(lost, channels // (groups or channels), axis=1).reshape(x.shape[:2] + per_channel[2:])
        scaled, shift = (
            values.astype(np.float64).reshape(values.shape + per_channel[2:] if values.ndim == 2 else per_channel)
            for values in (scale, bias)
        )
        lost = np.abs(scaled) * lost
        scaled = scaled * normalised.reshape(x.shape)
        added = np.zeros(()) if residual is None else residual.astype(np.float64)
        slopes = None if slope is None else slope.astype(np.float64).reshape(per_channel)
        y, growth = activated(scaled + shift + added, activation, float(np.float32(alpha)), slopes)
        return InstanceNormReference(y, (np.abs(scaled) + np.abs(shift) + np.abs(added) + lost) * growth)


def activated(
    y: Float64Array, name: str, alpha: float, slopes: Float64Array | None
) -> tuple[Float64Array, Float64Array | float]:
    """Return the activation of `y`, and the most that it multiplies a small error by."""
    with np.errstate(all="ignore"):
        if name == "relu":
            return np.where(y < 0, 0.0, y), 1.0
        if name == "leaky_relu":
            return np.where(y < 0, alpha * y, y), max(1.0, abs(alpha))
        if name == "prelu":
            assert slopes is not None
            return np.where(y < 0, slopes * y, y), np.maximum(1.0, np.abs(slopes))
        if name == "silu":
            return y / (1 + np.exp(-y)), 1.1
        if name == "elu":
            return np.where(y < 0, alpha * np.expm1(y), y), max(1.0, abs(alpha))
        return (np.tanh(y) if name == "tanh" else y), 1.0
