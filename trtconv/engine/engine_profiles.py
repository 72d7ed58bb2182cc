"""The optimisation profiles of a loaded engine: which shapes it takes, and which profile holds given inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from trtconv.errors import ConfigError
from trtconv.shapes import Kind, Profile, ShapeRange, format_dims


def read_profiles(engine: Any) -> list[Profile]:
    """Return what each profile says of the inputs that have a choice: dynamic shapes, values of shape tensors."""
    return [_read_profile(engine, index) for index in range(engine.num_optimization_profiles)]


def choose_profile(engine: Any, feed: Mapping[str, npt.NDArray[Any]], title: str) -> int:
    """Return the first profile that holds these inputs; raise ConfigError where none does."""
    profiles = read_profiles(engine)
    for name, values in feed.items():
        dims = tuple(engine.get_tensor_shape(name))
        if len(dims) != values.ndim or any(-1 != dim != size for dim, size in zip(dims, values.shape, strict=True)):
            expected = format_dims([None if dim == -1 else dim for dim in dims])
            raise ConfigError(f"input {name} is {format_dims(values.shape)}, expected {expected}", where=title)
    for index, profile in enumerate(profiles):
        if all(_holds(shapes, feed[name]) for name, shapes in profile.items() if name in feed):
            return index
    given = ", ".join(f"{name}={format_dims(values.shape)}" for name, values in feed.items())
    known = "; ".join(", ".join(f"{name}={shapes}" for name, shapes in profile.items()) for profile in profiles)
    raise ConfigError(f"no profile of the engine holds {given}", where=title, hint=f"its profiles are: {known}")


def _read_profile(engine: Any, index: int) -> dict[str, ShapeRange]:
    profile = {}
    for position in range(engine.num_io_tensors):
        name = engine.get_tensor_name(position)
        if engine.get_tensor_mode(name).name != "INPUT":
            continue
        if -1 in tuple(engine.get_tensor_shape(name)):
            profile[name] = _range(engine.get_tensor_profile_shape(name, index), "shape")
        elif engine.is_shape_inference_io(name) and (values := engine.get_tensor_profile_values(index, name)):
            profile[name] = _range(values, "values")
    return profile


def _range(points: Any, kind: Kind) -> ShapeRange:
    low, usual, high = (tuple(int(each) for each in point) for point in points)
    return ShapeRange(low, usual, high, kind)


def _holds(shapes: ShapeRange, values: npt.NDArray[Any]) -> bool:
    given = values.shape if shapes.kind == "shape" else tuple(np.ravel(values).tolist())
    if len(given) != len(shapes.opt):
        return False
    return all(low <= each <= high for low, each, high in zip(shapes.min, given, shapes.max, strict=True))
