"""Make input sets: seeded random ones, ones that are hard on the arithmetic, and ones that stand for a user's data."""

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

from trtconv.errors import BackendError, ConfigError, ModelError
from trtconv.inputs import noise
from trtconv.model import model_io, walking
from trtconv.shapes import Dims, Profile, format_dims, require_shapes

Generator = Literal["random", "adversarial", "calibration"]
Arrays = Mapping[str, npt.NDArray[Any]]
Shapes = Mapping[str, tuple[int, ...]]

DEFAULT_SETS = 2
_NUMBERS, _WIDE = "fiub", "fiubVO"  # kinds of numpy's types; bfloat16 and its like are V, text is O
_MAX_ELEMENTS = 1 << 31  # of one input
_SPIKES = 1000  # elements for each that is not zero


@dataclass(frozen=True)
class InputSpec:
    """An input of a model; a dimension that is not an int is dynamic."""

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
    for name in described:
        if not types[name]:
            raise ModelError(f"input {name} has no element type", hint="export the model with the types of its inputs")
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

    "random" is uniform in [-1, 1] (integers in 0..1, booleans both); "adversarial" has a kind for each of ADVERSARIAL,
    "calibration" one for each of noise.KINDS. `narrow` says that floats will meet fp16 on their way and must fit into
    it.
    """
    sets = []
    for choice in choices:
        fixed = [InputSpec(spec.name, spec.dtype, choice.shapes.get(spec.name, spec.dims)) for spec in specs]
        for spec in fixed:
            _require_makeable(spec)
        for label, feed in _made(generator, fixed, seed, num_sets, narrow):
            given = {
                spec.name: as_values(spec, choice.values[spec.name]) for spec in fixed if spec.name in choice.values
            }
            sets.append(InputSet(f"{label}, {choice.label}" if choice.label else label, {**feed, **given}))
    return sets


def _require_makeable(spec: InputSpec) -> None:
    """Raise ConfigError for an input that has more elements than can be made up in memory."""
    num_elements = math.prod(dim for dim in spec.dims if isinstance(dim, int))
    if num_elements > _MAX_ELEMENTS:
        what = f"input {spec.name} {format_dims(spec.dims)} has {num_elements} elements, of at most {_MAX_ELEMENTS}"
        raise ConfigError(what, hint="give a smaller shape, or files of inputs")


def _made(
    generator: Generator, specs: Sequence[InputSpec], seed: int, num_sets: int, narrow: bool
) -> Iterator[tuple[str, dict[str, npt.NDArray[Any]]]]:
    try:
        yield from _GENERATORS[generator](specs, seed, num_sets, narrow)
    except MemoryError:
        names = ", ".join(f"{spec.name} {format_dims(spec.dims)}" for spec in specs)
        hint = "use smaller shapes, or a machine with more memory"
        raise BackendError(f"out of memory for generated inputs: {names}", hint=hint) from None


def make_feeds(
    proto: onnx.ModelProto, shapes: Shapes | None = None, *, values: Shapes | None = None, seed: int = 0
) -> list[dict[str, npt.NDArray[Any]]]:
    """Return the input sets of a calibration without data, one for each of noise.KINDS.

    `shapes` holds the shape of every dynamic input, `values` those of shape tensors. Raises ConfigError when one is
    missing.
    """
    choice = ShapeChoice("", shapes or {}, values or {})
    return [dict(each.feed) for each in make_inputs(input_specs(proto), [choice], "calibration", seed=seed)]


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


def _calibration(
    specs: Sequence[InputSpec], seed: int, num_sets: int, narrow: bool
) -> Iterator[tuple[str, dict[str, npt.NDArray[Any]]]]:
    rng = np.random.default_rng(seed)
    made = {spec.name: list(noise.noises(_fixed(spec), _generated(spec, _WIDE).dtype, rng)) for spec in specs}
    for number, kind in enumerate(noise.KINDS):
        yield kind, {name: values[number] for name, values in made.items()}


ADVERSARIAL: Mapping[str, Callable[[np.random.Generator, tuple[int, ...], bool], Any]] = {
    "large mean": _large_mean,
    "constant channels": _constant_channels,
    "+-512": _plus_minus_512,
    "extremes": _extremes,
    "sparse spikes": _sparse_spikes,
}


def as_values(spec: InputSpec, values: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return the values that a user gives for a shape tensor. Raises ConfigError where their number does not fit."""
    shape = _fixed(spec)
    if len(values) != math.prod(shape):
        raise ConfigError(f"{len(values)} values, expected {math.prod(shape)}", where=f"--shape {spec.name}")
    return np.array(values, spec.dtype).reshape(shape)


_GENERATORS: Mapping[Generator, Callable[..., Iterator[tuple[str, dict[str, npt.NDArray[Any]]]]]] = {
    "random": _random,
    "adversarial": _adversarial,
    "calibration": _calibration,
}


def _generated(spec: InputSpec, kinds: str = _NUMBERS) -> InputSpec:
    if spec.dtype.kind not in kinds:
        what = f"input {spec.name} is of type {type_name(spec.dtype)}, for which no values can be generated"
        raise ConfigError(what, hint=_hint_for(spec.dtype))
    return spec


def _hint_for(dtype: np.dtype[Any]) -> str:
    if type_name(dtype) == "string":
        return (
            "TensorRT does not support text: export the part of the model after it, or compare with --inputs FILE.npz"
        )
    return "use a model with inputs of fp32, fp16, whole numbers or bool"


def _fixed(spec: InputSpec) -> tuple[int, ...]:
    if not all(isinstance(dim, int) for dim in spec.dims):
        what = f"input {spec.name} has dynamic dimensions and no shape: {format_dims(spec.dims)}"
        raise ConfigError(what, where="--shape", hint=f"give its shape: --shape {spec.name}=...")
    return tuple(int(dim) for dim in spec.dims if dim is not None)


def type_name(dtype: np.dtype[Any]) -> str:
    """Return what people call a type: numpy holds strings as objects."""
    return "string" if dtype.kind in "OSU" else dtype.name
