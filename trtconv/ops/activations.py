"""The activations that the custom ops apply to a result before it is written, in fp32."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from trtconv.ops.custom_op import Attribute
from trtconv.ops.function_body import FunctionBody

NONE, PRELU = "none", "prelu"
WITH_ALPHA = ("leaky_relu", "elu")
ACTIVATIONS = (NONE, "relu", "leaky_relu", PRELU, "silu", "elu", "tanh")
_LARGEST_FLOAT = float(np.finfo(np.float32).max)  # a plugin's field holds float32

Float64 = npt.NDArray[np.float64]

# (values, alpha, or for prelu the slope of each value) -> activated; NaN stays NaN.
_FORMULAS: Mapping[str, Callable[[Float64, Any], Float64]] = {
    NONE: lambda y, alpha: y,
    "relu": lambda y, alpha: np.maximum(y, 0),
    "leaky_relu": lambda y, alpha: np.where(y < 0, alpha * y, y),
    PRELU: lambda y, slope: np.where(y < 0, slope * y, y),
    "silu": lambda y, alpha: y / (1 + np.exp(-y)),
    "elu": lambda y, alpha: np.where(y < 0, alpha * np.expm1(np.minimum(y, 0)), y),
    "tanh": lambda y, alpha: np.tanh(y),
}


def activate(y: npt.NDArray[Any], activation: str, alpha: Any) -> Float64:
    """Return the activation of `y` in float64; `alpha` is a number or, for prelu, broadcastable slopes."""
    with np.errstate(over="ignore", invalid="ignore"):
        return _FORMULAS[activation](y.astype(np.float64), alpha)


def attributes(allowed: tuple[str, ...]) -> dict[str, Attribute]:
    """Return the rows of `activation` and `alpha` of an op that takes the activations `allowed`."""

    def not_allowed(value: str) -> str | None:
        return None if value in allowed else f"must be one of {', '.join(allowed)}, got {value!r}"

    return {
        "activation": Attribute(str, not_allowed, default=NONE),
        "alpha": Attribute(float, _not_finite, default=0.0),
    }


def misfit(values: Mapping[str, Any]) -> str | None:
    """Return why `alpha` does not fit `activation`, None where it does."""
    activation, alpha = values["activation"], values["alpha"]
    if alpha == 0 or activation in WITH_ALPHA:
        return None
    return f"alpha is {alpha:g}, which activation {activation} does not take"


def write(body: FunctionBody, y: str, activation: str) -> str:
    """Write an activation other than prelu into a function body; `alpha` is the function's own."""
    if activation == "silu":
        return body.add("Mul", [y, body.add("Sigmoid", [y])])
    plain = {"relu": "Relu", "tanh": "Tanh"}
    if activation in plain:
        return body.add(plain[activation], [y])
    with_alpha = {"leaky_relu": "LeakyRelu", "elu": "Elu"}
    return body.add_with(with_alpha[activation], [y], "alpha") if activation in with_alpha else y


def _not_finite(value: float) -> str | None:
    if math.isfinite(value) and abs(value) <= _LARGEST_FLOAT:
        return None
    return f"must be a finite number, got {value:g}"
