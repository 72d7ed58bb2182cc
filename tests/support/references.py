"""What both custom ops mean, in numpy: float64 references, and how far from them a result may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Float64Array = npt.NDArray[np.float64]

# Beyond rounding the result once: a few roundings in float, of the terms that make up the result.
RELATIVE_ERROR = 2e-6
MEAN_BITS = 48  # to which the kernels know a mean, in two floats: a value beside it becomes little more than its error

# Significand bits after the point, and the exponent of the smallest normal number, by numpy (or ml_dtypes) name.
_FLOAT_FORMATS = {"float32": (23, -126), "float16": (10, -14), "bfloat16": (7, -126)}


@dataclass(frozen=True)
class InstanceNormReference:
    """The exact result, and the magnitude of the terms that were added to get it."""

    y: Float64Array
    magnitude: Float64Array


def instance_norm_reference(x: Array, scale: Array, bias: Array, epsilon: float) -> InstanceNormReference:
    """Normalise each (n, c) slice of `x` [N, C, D1..Dk] in float64, on the values as given."""
    channel_shape = (1, -1) + (1,) * (x.ndim - 2)
    with np.errstate(all="ignore"):
        normalised, lost = normalise(x.astype(np.float64).reshape(*x.shape[:2], -1), epsilon)
        factor = scale.astype(np.float64).reshape(channel_shape)
        scaled = factor * normalised.reshape(x.shape)
        shift = bias.astype(np.float64).reshape(channel_shape)
        magnitude = np.abs(scaled) + np.abs(shift) + np.abs(factor) * lost.reshape(*x.shape[:2], *channel_shape[2:])
        return InstanceNormReference(scaled + shift, magnitude)


def normalise(slices: Float64Array, epsilon: float) -> tuple[Float64Array, Float64Array]:
    """Return slices [N, C, size] with mean 0 and variance 1, and what the error of each mean adds to the magnitude."""
    deviation = slices - slices.mean(axis=2, keepdims=True)
    deviation -= deviation.mean(axis=2, keepdims=True)  # what rounding the mean to float64 left over
    variance = np.square(deviation).mean(axis=2, keepdims=True)
    inverse_std = 1 / np.sqrt(variance + np.float64(np.float32(epsilon)))
    largest = np.abs(slices).max(axis=2, keepdims=True, initial=0.0)
    return deviation * inverse_std, 2.0**-MEAN_BITS / RELATIVE_ERROR * largest * inverse_std


def reflect_pad_reference(x: Array, pads: Sequence[int]) -> Array:
    """Pad `x` by reflection; `pads` in ONNX order: the begins of all axes, then the ends."""
    rank = x.ndim
    for axis in range(rank):
        indices = np.arange(-pads[axis], x.shape[axis] + pads[rank + axis])
        mirrored = np.abs(indices)
        x = np.take(x, np.minimum(mirrored, 2 * (x.shape[axis] - 1) - mirrored), axis=axis)
    return x


def unit_in_last_place(values: Float64Array, dtype: str) -> Float64Array:
    """Return the distance between neighbouring numbers of `dtype` at each of `values`."""
    fraction_bits, min_exponent = _FLOAT_FORMATS[dtype]
    _, exponent = np.frexp(values)  # values = fraction * 2^exponent, fraction in [0.5, 1)
    ulp: Float64Array = np.ldexp(1.0, np.maximum(exponent - 1, min_exponent) - fraction_bits)
    return ulp


def worst_excess(actual: Array, reference: InstanceNormReference, dtype: str) -> float:
    """Return max(|error| / bound): at most 1 for a good result, infinite if infinities and NaN are elsewhere."""
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = reference.y.astype(actual.dtype).astype(np.float64)
        result = actual.astype(np.float64)
        special = ~np.isfinite(rounded)
        if not np.array_equal(result[special], rounded[special], equal_nan=True):
            return float("inf")
        bound = 0.5 * unit_in_last_place(reference.y, dtype) + RELATIVE_ERROR * reference.magnitude
        error = np.abs(result - reference.y)
        excess = np.where(special, 0.0, error / bound)
    return float(np.max(excess, initial=0.0)) if not np.isnan(excess).any() else float("inf")
