"""Hold the shapes that a user gave against the inputs of a model."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from trtconv.config import Profile, ShapeRange
from trtconv.errors import ConfigError, ModelError

Dims = Sequence[int | str | None]

# What a suggested command line puts in for a dimension that the model leaves open.
_SUGGESTED_BATCH, _SUGGESTED_SIZE = 1, 256


def require_shapes(described: Mapping[str, Dims | None], profiles: Sequence[Profile]) -> None:
    """Raise ConfigError unless every profile names inputs of the model only and gives each dynamic one a fitting shape.

    `described` maps each input's name to its dimensions; one that is no int is dynamic. Raises ModelError for an input
    without dimensions: TensorRT takes it for a scalar.
    """
    inputs = {name: dims for name, dims in described.items() if dims is not None}
    for name in described.keys() - inputs.keys():
        raise ModelError(
            f"input {name} has no shape: not even its rank is known",
            hint="export the model with input shapes; a dynamic dimension needs a name, not a size",
        )
    dynamic = [name for name, dims in inputs.items() if not all(isinstance(dim, int) for dim in dims)]
    for profile in profiles or ({},):
        for name, shape in profile.items():
            if name not in inputs:
                known = ", ".join(f"{each}={format_dims(dims)}" for each, dims in inputs.items())
                raise ConfigError(f"the model has no input {name!r}", where="--shape", hint=f"its inputs are: {known}")
            if shape.kind == "shape":
                _require_fit(name, inputs[name], shape)
        missing = [name for name in dynamic if name not in profile]
        if missing:
            listed = ", ".join(f"{name} ({format_dims(inputs[name])})" for name in missing)
            plural = "s have" if len(missing) > 1 else " has"
            raise ConfigError(
                f"input{plural} dynamic dimensions and no shape: {listed}",
                where="--shape",
                hint="add " + " ".join(_suggestion(name, inputs[name]) for name in missing),
            )


def format_dims(dims: Dims) -> str:
    """Return dimensions as people write them: 1x3xHxW, ? for one without a name, [] for a scalar."""
    return "x".join("?" if dim is None else str(dim) for dim in dims) or "[]"


def _require_fit(name: str, dims: Dims, shape: ShapeRange) -> None:
    where = f"--shape {name}={shape}"
    if len(shape.opt) != len(dims):
        raise ConfigError(f"{len(shape.opt)} dimensions, expected {len(dims)}: {format_dims(dims)}", where=where)
    for axis, dim in enumerate(dims):
        got = {shape.min[axis], shape.opt[axis], shape.max[axis]}
        if isinstance(dim, int) and got != {dim}:
            raise ConfigError(f"axis {axis} is fixed at {dim} in the model ({format_dims(dims)})", where=where)


def _suggestion(name: str, dims: Dims) -> str:
    sizes = [
        dim if isinstance(dim, int) else (_SUGGESTED_BATCH if axis == 0 else _SUGGESTED_SIZE)
        for axis, dim in enumerate(dims)
    ]
    return f"--shape {shlex.quote(f'{name}={format_dims(sizes)}')}"
