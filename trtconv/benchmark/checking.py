"""Hold an output against the float64 reference before anything is timed. Slices are checked in several threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from trtconv import element_types
from trtconv.benchmark.cases import Case, Values
from trtconv.comparison.tolerance import TOLERANCE
from trtconv.ops.output_map import place, spread

Array = npt.NDArray[Any]
Part = tuple[int, slice]  # the channels of one image of the batch

_RELATIVE_ERROR = 2e-6  # of the terms of a result: a few roundings in float, beside rounding the result itself
_ELEMENTS_PER_PART = 1 << 20


def worst_kernel_error(case: Case, values: Values, y: Array) -> float:
    """Return max(|error| / bound): at most 1 for a right result; 0 or infinite for a pad, which copies.

    The bound of a norm is half a unit in the last place and 2e-6 of its terms; no activation of the cases is steeper
    than 1.
    """
    return _worst(case, values, y, _kernel_excess)


def worst_native_error(case: Case, values: Values, y: Array) -> float:
    """Return the same for TensorRT's own layers, which are less exact: the bound is that of whole networks."""
    return _worst(case, values, y, _network_excess)


def _kernel_excess(y: Array, expected: Array, terms: Array) -> Array:
    info = ml_dtypes.finfo(y.dtype)  # type: ignore[no-untyped-call]
    rounding = 0.5 * (float(info.eps) * np.abs(expected) + float(info.smallest_subnormal))
    return np.asarray(np.abs(y.astype(np.float64) - expected) / (rounding + _RELATIVE_ERROR * terms))


def _network_excess(y: Array, expected: Array, terms: Array) -> Array:
    tolerance = TOLERANCE[element_types.of_dtype(y.dtype).short]
    return np.asarray(np.abs(y.astype(np.float64) - expected) / (tolerance * np.abs(expected).max()))


def _worst(case: Case, values: Values, y: Array, excess: Callable[[Array, Array, Array], Array]) -> float:
    def check(part: Part) -> float:
        image, channels = part
        own_x, own_y = values.x[part][None], y[part][None]
        if not case.is_norm:
            expected = case.row.reference(own_x, **case.attributes).astype(own_y.dtype)
            return 0.0 if expected.tobytes() == own_y.tobytes() else np.inf
        expected, terms = _norm_of_part(case, values, image, channels)
        with np.errstate(invalid="ignore", over="ignore"):
            ratio = float(excess(own_y, expected, terms).max())
        return ratio if np.isfinite(ratio) else np.inf

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return max(pool.map(check, _parts(case)))


def _norm_of_part(case: Case, values: Values, image: int, channels: slice) -> tuple[Array, Array]:
    """Return the result of some channels of an image, and the sum of the sizes of the terms that it is made of."""
    assert values.scale is not None
    assert values.bias is not None
    x, attributes = values.x[image, channels][None], dict(case.attributes)
    if attributes["groups"]:
        attributes["groups"] = x.shape[1] * attributes["groups"] // case.shape[1]
    residual = None if values.residual is None else values.residual[image, channels][None]
    parameters, own = (
        (values.scale[channels], values.bias[channels]),
        {} if residual is None else {"residual": residual},
    )
    expected = case.row.reference(x, *parameters, **attributes, **own)
    alone = {"epsilon": attributes["epsilon"], "groups": attributes["groups"]}
    affine = (
        expected if attributes == case.row.complete(alone) and not own else case.row.reference(x, *parameters, **alone)
    )
    bias = parameters[1].astype(np.float64).reshape(1, -1, *(1,) * (x.ndim - 2))
    terms = np.abs(affine - bias) + np.abs(bias)
    if residual is not None:
        terms += np.abs(residual.astype(np.float64))
    num_axes = x.ndim - 2
    upsample, pads = spread(attributes["upsample"], num_axes), spread(attributes["pads"], 2 * num_axes)
    return expected, place(terms, upsample, pads, attributes["pad_mode"])


def _parts(case: Case) -> Iterator[Part]:
    """Cut a tensor between its slices or groups of them, into parts that a processor's cache holds."""
    per_slice = int(np.prod(case.shape[2:]))
    together = case.shape[1] // case.attributes["groups"] if case.is_norm and case.attributes["groups"] else 1
    step = max(_ELEMENTS_PER_PART // per_slice // together, 1) * together
    for image in range(case.shape[0]):
        for begin in range(0, case.shape[1], step):
            yield image, slice(begin, begin + step)
