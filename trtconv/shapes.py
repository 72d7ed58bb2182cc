"""Shapes as a user gives them: ranges, optimisation profiles, and whether they fit the inputs of a model."""

from __future__ import annotations

import contextlib
import operator
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from trtconv.converted import Converted
from trtconv.errors import ConfigError, ModelError

Kind = Literal["shape", "values"]

Dims = Sequence[int | str | None]

_SHAPE_FORM = "name=AxBxC, name=min:opt:max, name=[] for a scalar, name=[1,2] for the values of a shape tensor"

_MAX_DIM = (1 << 63) - 1  # TensorRT counts in 64 bits


# What a suggested command line puts in for a dimension that the model leaves open.
_SUGGESTED_BATCH, _SUGGESTED_SIZE = 1, 256


@dataclass(frozen=True)
class ShapeRange:
    """The shapes of one input in one optimisation profile, or the values of one shape tensor (kind "values").

    Each of `min`, `opt`, `max` is a tuple of integers of one length, with min <= opt <= max in every place.
    """

    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]
    kind: Kind = "shape"

    def __post_init__(self) -> None:
        if not len(self.min) == len(self.opt) == len(self.max):
            lengths = f"{len(self.min)}, {len(self.opt)}, {len(self.max)}"
            raise ConfigError(f"min, opt and max need the same number of dimensions, got {lengths}")
        for axis, (low, best, high) in enumerate(zip(self.min, self.opt, self.max, strict=True)):
            if self.kind == "shape" and low < 0:
                raise ConfigError(f"axis {axis}: a dimension is 0 or more, got {low}")
            if not low <= best <= high:
                raise ConfigError(f"axis {axis}: need min <= opt <= max, got {low}, {best}, {high}")

    def __str__(self) -> str:
        parts = [self.min] if self.min == self.opt == self.max else [self.min, self.opt, self.max]
        return ":".join(_format_dims(part, self.kind) for part in parts)

    @classmethod
    def parse(cls, text: str) -> ShapeRange:
        """Read `AxBxC` or `min:opt:max`; `[]` is a scalar's shape and `[1,2]` the values of a shape tensor."""
        parts = [_parse_dims(part) for part in text.split(":")]
        if len(parts) not in (1, 3):
            raise ConfigError(f"need one shape, or three as min:opt:max, got {len(parts)}")
        kinds = {kind for _, kind in parts}
        if len(kinds) > 1:
            raise ConfigError("min, opt and max must all be shapes, or all be [values]")
        low, best, high = (parts * 3)[:3] if len(parts) == 1 else parts
        return cls(low[0], best[0], high[0], kinds.pop())

    @classmethod
    def of(cls, given: ShapeLike) -> ShapeRange:
        """Return the range of a tuple of sizes, of a tuple (min, opt, max) of such tuples, or of text as `parse` reads.

        Raises ConfigError for anything else.
        """
        if isinstance(given, ShapeRange):
            return given
        if isinstance(given, str):
            return cls.parse(given)
        with contextlib.suppress(TypeError):  # an item that is no integer, or no sequence of integers
            items: tuple[Any, ...] = tuple(given)
            is_range = len(items) == 3 and not any(hasattr(item, "__index__") for item in items)
            low, best, high = (tuple(map(operator.index, each)) for each in (items if is_range else [items] * 3))
            return cls(low, best, high)
        raise ConfigError(f"got {given!r}, expected a tuple of sizes, or a tuple (min, opt, max) of such tuples")


ShapeLike: TypeAlias = "ShapeRange | str | Sequence[int] | tuple[Sequence[int], Sequence[int], Sequence[int]]"
Profile = Mapping[str, ShapeRange]


class Profiles(Converted["Sequence[Mapping[str, ShapeLike]]", "tuple[Profile, ...]"]):
    """Any number of optimisation profiles, as a field of options."""

    def __init__(self) -> None:
        super().__init__(_as_profiles, ())


Bound = Literal["min", "opt", "max"]


def parse_shape_option(text: str) -> tuple[str, ShapeRange]:
    """Split `name=shape` at the last `=`, since names such as `serving_default_x:0=` are real."""
    name, separator, shape = text.rpartition("=")
    if not separator or not name:
        raise ConfigError(f"got {text!r}, expected {_SHAPE_FORM}", where="--shape")
    try:
        return name, ShapeRange.parse(shape)
    except ConfigError as error:
        raise ConfigError(error.what, where=f"--shape {text}", hint=f"the form is {_SHAPE_FORM}") from None


def parse_profiles(items: Iterable[str | None]) -> tuple[Profile, ...]:
    """Group shape options into profiles; None, for `--profile`, starts the next one."""
    profiles: list[dict[str, ShapeRange]] = [{}]
    for item in items:
        if item is None:
            if profiles[-1]:
                profiles.append({})
            continue
        name, shape = parse_shape_option(item)
        if name in profiles[-1]:
            raise ConfigError(
                f"input {name!r} has two shapes in one profile",
                where=f"--shape {item}",
                hint="put --profile between them",
            )
        profiles[-1][name] = shape
    return tuple(profile for profile in profiles if profile)


def only_profile(shapes: Mapping[str, ShapeLike], profiles: Sequence[Profile]) -> tuple[Profile, ...]:
    """Return the one profile of `shapes`. Raises ConfigError where `profiles` are given besides."""
    if profiles:
        raise ConfigError("shapes is the only profile, and there are profiles", hint="put the shapes into profiles")
    return _as_profiles([shapes])


def _as_profiles(given: Sequence[Mapping[str, ShapeLike]]) -> tuple[Profile, ...]:
    if isinstance(given, Mapping):
        raise ConfigError("profiles is a list of mappings, got one mapping", hint="for one profile use shapes")
    return tuple({name: _as_range(name, shape) for name, shape in profile.items()} for profile in given)


def _as_range(name: str, given: ShapeLike) -> ShapeRange:
    try:
        return ShapeRange.of(given)
    except ConfigError as error:
        error.where = error.where or f"shape of {name}"
        raise


def require_shapes(described: Mapping[str, Dims | None], profiles: Sequence[Profile]) -> None:
    """Raise ConfigError unless every profile names inputs of the model only and gives each dynamic one a fitting shape.

    `described` maps each input's name to its dimensions; one that is not an int is dynamic. Raises ModelError for an
    input without dimensions: TensorRT takes it for a scalar.
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
                known = ", ".join(f"{each} {format_dims(dims)}" for each, dims in inputs.items())
                raise ConfigError(f"the model has no input {name!r}", where="--shape", hint=f"its inputs are: {known}")
            if shape.kind == "shape":
                _require_fit(name, inputs[name], shape)
        _require_equal_symbols(inputs, profile)
        missing = [name for name in dynamic if name not in profile]
        if missing:
            listed = ", ".join(f"{name} {format_dims(inputs[name])}" for name in missing)
            plural = "s have" if len(missing) > 1 else " has"
            raise ConfigError(
                f"input{plural} dynamic dimensions and no shape: {listed}",
                where="--shape",
                hint="add " + " ".join(f"--shape {shlex.quote(each)}" for each in missing_shapes(inputs, [profile])),
            )


def missing_shapes(described: Mapping[str, Dims | None], profiles: Sequence[Profile]) -> list[str]:
    """Return a shape, as --shape takes it, for each dynamic input that the first profile lacks."""
    inputs = {name: dims for name, dims in described.items() if dims is not None}
    given = profiles[0] if profiles else {}
    batches = _batch_symbols(inputs)
    return [
        _suggestion(name, dims, batches)
        for name, dims in inputs.items()
        if name not in given and not all(isinstance(dim, int) for dim in dims)
    ]


def sizes_at(described: Mapping[str, Dims | None], profile: Profile, bound: Bound) -> dict[str, list[int | None]]:
    """Return the dimensions of each input of a profile at its smallest, usual or largest shape.

    TensorRT wants dimensions of one name to be equal: they range over what all their inputs allow.
    """
    given = {
        name: (dims, profile[name])
        for name, dims in described.items()
        if dims is not None and name in profile and _has_rank(profile[name], len(dims))
    }
    of_symbol: dict[str, list[int]] = {}
    for dims, shape in given.values():
        for dim, size in zip(dims, getattr(shape, bound), strict=True):
            if isinstance(dim, str):
                of_symbol.setdefault(dim, []).append(size)
    common = {symbol: min(sizes) if bound == "max" else max(sizes) for symbol, sizes in of_symbol.items()}
    return {
        name: [
            common[dim] if isinstance(dim, str) else size for dim, size in zip(dims, getattr(shape, bound), strict=True)
        ]
        for name, (dims, shape) in given.items()
    }


def fixed_sizes(described: Mapping[str, Dims | None], profiles: Sequence[Profile]) -> dict[str, list[int | None]]:
    """Return the dimensions of each input that every profile fixes at one size, None for all others."""
    bounds: tuple[Bound, Bound] = ("min", "max")
    corners = [sizes_at(described, profile, bound) for profile in profiles for bound in bounds]
    names = [name for name in described if corners and all(name in corner for corner in corners)]
    columns = {name: zip(*(corner[name] for corner in corners), strict=True) for name in names}
    return {name: [sizes[0] if len(set(sizes)) == 1 else None for sizes in axes] for name, axes in columns.items()}


def describe_empty(described: Mapping[str, Dims | None], profiles: Sequence[Profile]) -> list[str]:
    """Return a warning for each input that never has an element."""
    largest = [sizes_at(described, profile, "max") for profile in profiles]
    warnings = []
    for name, dims in described.items():
        sizes = [corner[name] for corner in largest if name in corner]
        if 0 in (dims or ()):
            how = "some exporters write 0 for a size that they do not know"
            warnings.append(f"input {name} {format_dims(dims or ())} is empty, so the engine computes nothing: {how}")
        elif sizes and all(0 in each for each in sizes):
            warnings.append(f"input {name} {format_dims(sizes[0])} is empty in every profile")
    return warnings


def format_dims(dims: Dims, times: str = "x") -> str:
    """Return dimensions for people: 1x3x64x64, [batch, 3, ?, width] where one is not a number, [] for a scalar.

    `times` stands between sizes; names of dimensions hold letters and formulas, so they get commas and brackets.
    """
    if dims and all(isinstance(dim, int) for dim in dims):
        return times.join(map(str, dims))
    return f"[{', '.join('?' if dim is None else str(dim) for dim in dims)}]"


def _has_rank(shape: ShapeRange, rank: int) -> bool:
    return shape.kind == "shape" and len(shape.opt) == rank


def _require_equal_symbols(inputs: Mapping[str, Dims], profile: Profile) -> None:
    """Raise ConfigError where one symbol has two usual sizes; ranges may differ, TensorRT takes what they share."""
    sizes: dict[str, tuple[int, str]] = {}
    for name, dims in inputs.items():
        if name not in profile or not _has_rank(profile[name], len(dims)):
            continue
        for dim, size in zip(dims, profile[name].opt, strict=True):
            if not isinstance(dim, str):
                continue
            other, where = sizes.setdefault(dim, (size, name))
            if other != size:
                what = f"{dim} is {other} in {where} and {size} in {name}"
                hint = f"give both inputs one size for {dim}, or export the model with another name for one of them"
                raise ConfigError(what, where="--shape", hint=hint)


def _require_fit(name: str, dims: Dims, shape: ShapeRange) -> None:
    where = f"--shape {name}={shape}"
    if len(shape.opt) != len(dims):
        raise ConfigError(f"{len(shape.opt)} dimensions, expected {len(dims)}: {format_dims(dims)}", where=where)
    for axis, dim in enumerate(dims):
        got = {shape.min[axis], shape.opt[axis], shape.max[axis]}
        if isinstance(dim, int) and got != {dim}:
            raise ConfigError(f"axis {axis} is fixed at {dim} in the model: {format_dims(dims)}", where=where)


def _suggestion(name: str, dims: Dims, batches: frozenset[str]) -> str:
    sizes: list[int] = []
    for axis, dim in enumerate(dims):
        open_size = _SUGGESTED_BATCH if _is_batch(dims, axis, batches) else _SUGGESTED_SIZE
        sizes.append(dim if isinstance(dim, int) else open_size)
    return f"{name}={format_dims(sizes)}"


def _is_batch(dims: Dims, axis: int, batches: frozenset[str]) -> bool:
    """Say whether an open dimension looks like a batch, which is one size for all inputs.

    It is the first, or has the symbol of a batch, or is the middle of an LSTM's state: layers, batch, channels.
    """
    is_state = axis == 1 and len(dims) == 3 and all(isinstance(dims[other], int) for other in (0, 2))
    return axis == 0 or dims[axis] in batches or (is_state and dims[axis] is None)


def _batch_symbols(inputs: Mapping[str, Dims]) -> frozenset[str]:
    """Return the symbols of dimensions that are a batch: the first of some input, or called so."""
    symbols = {dims[0] for dims in inputs.values() if dims and isinstance(dims[0], str)}
    named = {dim for dims in inputs.values() for dim in dims if isinstance(dim, str) and "batch" in dim.lower()}
    return frozenset(symbols | named)


def _parse_dims(text: str) -> tuple[tuple[int, ...], Kind]:
    text = text.strip()
    if text == "[]":
        return (), "shape"
    if match := re.fullmatch(r"\[(-?\d+(?:\s*,\s*-?\d+)*)\]", text):
        return tuple(_parse_int(value) for value in match[1].split(",")), "values"
    if re.fullmatch(r"\d+(?:x\d+)*", text):
        return tuple(_parse_int(dim) for dim in text.split("x")), "shape"
    raise ConfigError(f"{text!r} is not a shape")


def _parse_int(text: str) -> int:
    digits = text.strip()
    if len(digits) > len(str(-_MAX_DIM)) or abs(int(digits)) > _MAX_DIM:
        raise ConfigError(f"{digits} is out of range, expected at most {_MAX_DIM}")
    return int(digits)


def _format_dims(dims: tuple[int, ...], kind: Kind) -> str:
    return f"[{','.join(map(str, dims))}]" if kind == "values" else format_dims(dims)
