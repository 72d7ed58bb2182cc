"""Make input sets: seeded random ones, and ones that are hard on the arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from trtconv.errors import ConfigError
from trtconv.model import model_io, walking
from trtconv.shapes import Dims, Profile, require_shapes

Generator = Literal["random", "adversarial"]
Arrays = Mapping[str, npt.NDArray[Any]]
Shapes = Mapping[str, tuple[int, ...]]

DEFAULT_SETS = 2
_SPIKES = 1000  # elements for each that is not zero


@dataclass(frozen=True)
class InputSpec:
    """An input of a model; a dimension that is no int is dynamic."""

    name: str
    dtype: np.dtype[Any]
    dims: Dims


@dataclass(frozen=True)
class InputSet:
    """Values for every input of a model, and what they are called in a report."""

    label: str
    feed: Arrays


@dataclass(frozen=True)
class ShapeChoice:
    """One choice of the dynamic dimensions, and the values of shape tensors; the `label` of the only one is empty."""

    label: str
    shapes: Shapes
    values: Shapes


def input_specs(proto: onnx.ModelProto) -> list[InputSpec]:
    """Return the inputs of a model. Raises ModelError for one of unknown rank."""
    described = walking.describe_inputs(proto)
    types = {value.name: value.type.tensor_type.elem_type for value in proto.graph.input}
    dtypes = {name: np.dtype(helper.tensor_dtype_to_np_dtype(types[name])) for name in described}
    return [InputSpec(name, dtypes[name], () if dims is None else dims) for name, dims in described.items()]


def shape_choices(proto: onnx.ModelProto, profiles: Sequence[Profile], all_shapes: bool = False) -> list[ShapeChoice]:
    """Return the usual shapes of each profile, with `all_shapes` also the smallest and the largest.

    Raises ConfigError unless every dynamic input has a fitting shape.
    """
    require_shapes(walking.describe_inputs(proto), profiles)
    choices: list[ShapeChoice] = []
    for number, profile in enumerate(profiles or ({},), start=1):
        for point in ("opt", "min", "max") if all_shapes else ("opt",):
            dims = {kind: {} for kind in ("shape", "values")}  # type: dict[str, dict[str, tuple[int, ...]]]
            for name, shapes in profile.items():
                dims[shapes.kind][name] = getattr(shapes, point)
            words = [f"profile {number}"] if len(profiles) > 1 else []
            words += [] if point == "opt" else [f"{point} shapes"]
            choice = ShapeChoice(" ".join(words), dims["shape"], dims["values"])
            if all((choice.shapes, choice.values) != (other.shapes, other.values) for other in choices):
                choices.append(choice)
    return choices


def make_inputs(
    specs: Sequence[InputSpec],
    choices: Sequence[ShapeChoice],
    generator: Generator = "random",
    *,
    seed: int = 0,
    num_sets: int = 1,
    narrow: bool = False,
) -> list[InputSet]:
    """Return `num_sets` seeded input sets of each kind for each choice of shapes.

    "random" is uniform in [-1, 1] (integers in 0..1, booleans both); "adversarial" has a kind for each of ADVERSARIAL.
    `narrow` says that floats will meet fp16 on their way and must fit into it.
    """
    sets = []
    for choice in choices:
        fixed = [InputSpec(spec.name, spec.dtype, choice.shapes.get(spec.name, spec.dims)) for spec in specs]
        make = _random if generator == "random" else _adversarial
        for label, feed in make(fixed, seed, num_sets, narrow):
            given = {name: _as_values(name, values, feed[name]) for name, values in choice.values.items()}
            sets.append(InputSet(f"{label}, {choice.label}" if choice.label else label, {**feed, **given}))
    return sets


def random_inputs(
    model: str | Path, shapes: Mapping[str, Sequence[int]] | None = None, *, seed: int = 0, num_sets: int = 1
) -> list[dict[str, npt.NDArray[Any]]]:
    """Return `num_sets` seeded input sets for an ONNX model, uniform in [-1, 1] (integers in 0..1, booleans both).

    `shapes` gives the shape of every dynamic input.
    """
    specs = input_specs(model_io.load(Path(model)).proto)
    choice = ShapeChoice("", {name: tuple(shape) for name, shape in (shapes or {}).items()}, {})
    return [dict(each.feed) for each in make_inputs(specs, [choice], seed=seed, num_sets=num_sets)]


def _random(
    specs: Sequence[InputSpec], seed: int, num_sets: int, narrow: bool
) -> Iterator[tuple[str, dict[str, npt.NDArray[Any]]]]:
    for number in range(1, num_sets + 1):
        rng = np.random.default_rng((seed, number))
        yield f"random {number}", {spec.name: _random_values(_generated(spec), rng) for spec in specs}


def _random_values(spec: InputSpec, rng: np.random.Generator) -> npt.NDArray[Any]:
    if spec.dtype.kind == "f":
        return np.asarray(rng.uniform(-1.0, 1.0, _fixed(spec)), spec.dtype)
    return np.asarray(rng.integers(0, 2, _fixed(spec)), spec.dtype)


def _adversarial(
    specs: Sequence[InputSpec], seed: int, num_sets: int, narrow: bool
) -> Iterator[tuple[str, dict[str, npt.NDArray[Any]]]]:
    for number in range(1, num_sets + 1):
        rng = np.random.default_rng((seed, number))
        for kind, make in ADVERSARIAL.items():
            feed = {spec.name: _hard_values(_generated(spec), make, rng, narrow) for spec in specs}
            yield kind if num_sets == 1 else f"{kind} {number}", feed


def _hard_values(spec: InputSpec, make: Callable[..., Any], rng: np.random.Generator, narrow: bool) -> npt.NDArray[Any]:
    """Return values of one kind; of the whole numbers only bytes, which are pixels, get values other than 0 and 1."""
    shape, dtype = _fixed(spec), spec.dtype
    if dtype.kind == "f":
        return np.asarray(make(rng, shape, narrow or dtype == np.float16), dtype)
    if dtype.itemsize == 1 and dtype.kind in "iu" and make is _extremes:
        limits = np.iinfo(dtype)
        return np.asarray(rng.choice((limits.min, limits.max), shape), dtype)
    return np.asarray(rng.integers(0, 2, shape), dtype)


def _large_mean(rng: np.random.Generator, shape: tuple[int, ...], narrow: bool) -> Any:
    mean, spread = (1e3, 30) if narrow else (1e4, 1)
    return mean + spread * rng.standard_normal(shape)


def _constant_channels(rng: np.random.Generator, shape: tuple[int, ...], narrow: bool) -> Any:
    kept = shape[:2] if len(shape) > 2 else ()
    return np.broadcast_to(rng.standard_normal(kept + (1,) * (len(shape) - len(kept))), shape)


def _plus_minus_512(rng: np.random.Generator, shape: tuple[int, ...], narrow: bool) -> Any:
    return rng.choice((-512.0, 512.0), shape)


def _extremes(rng: np.random.Generator, shape: tuple[int, ...], narrow: bool) -> Any:
    largest = 6e4 if narrow else 1e18  # of which fp32 still holds the square
    return rng.choice((-largest, largest), shape)


def _sparse_spikes(rng: np.random.Generator, shape: tuple[int, ...], narrow: bool) -> Any:
    values = np.zeros(math.prod(shape))
    at = rng.integers(0, max(values.size, 1), -(-values.size // _SPIKES))
    values[at] = rng.choice((-1e3, 1e3), at.size)
    return values.reshape(shape)


ADVERSARIAL: Mapping[str, Callable[[np.random.Generator, tuple[int, ...], bool], Any]] = {
    "large mean": _large_mean,
    "constant channels": _constant_channels,
    "+-512": _plus_minus_512,
    "extremes": _extremes,
    "sparse spikes": _sparse_spikes,
}


def _as_values(name: str, values: tuple[int, ...], like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if len(values) != like.size:
        raise ConfigError(f"{len(values)} values, expected {like.size}", where=f"--shape {name}")
    return np.array(values, like.dtype).reshape(like.shape)


def _generated(spec: InputSpec) -> InputSpec:
    if spec.dtype.kind not in "fiub":
        what = f"input {spec.name} is of type {type_name(spec.dtype)}, for which no values can be made up"
        raise ConfigError(what, hint="compare one with inputs of fp32, fp16, whole numbers or bool")
    return spec


def _fixed(spec: InputSpec) -> tuple[int, ...]:
    if not all(isinstance(dim, int) for dim in spec.dims):
        raise ConfigError(f"input {spec.name} has dynamic dimensions and no shape", where="--shape")
    return tuple(int(dim) for dim in spec.dims if dim is not None)


def type_name(dtype: np.dtype[Any]) -> str:
    """Return what people call a type: numpy holds strings as objects."""
    return "string" if dtype.kind in "OSU" else dtype.name
