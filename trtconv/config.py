"""What a conversion is asked to do: frozen options that check themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trtconv.errors import ConfigError

BackendName = Literal["auto", "tensorrt", "tensorrt-rtx"]
Ops = Literal["plugin", "native"]
Kind = Literal["shape", "values"]

Precision = Literal["fp16", "bf16"]

BACKENDS: tuple[BackendName, ...] = ("auto", "tensorrt", "tensorrt-rtx")
MAX_OPT_LEVEL = 5

_SHAPE_FORM = "name=AxBxC, name=min:opt:max, name=[] for a scalar, name=[1,2] for the values of a shape tensor"
_MAX_DIM = (1 << 63) - 1  # TensorRT counts in 64 bits
_SIZE_UNITS = {
    "": 1 << 20,
    "B": 1,
    "K": 1 << 10,
    "M": 1 << 20,
    "G": 1 << 30,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}


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


Profile = Mapping[str, ShapeRange]


@dataclass(frozen=True)
class BuildConfig:
    """How `trtconv.build` makes an engine. A value of None leaves the choice to the backend.

    `profiles` maps input names to shapes, one mapping an optimisation profile. `workspace_bytes` limits TensorRT's
    scratch memory. `ops` says what InstanceNormalization and Pad(mode=reflect) become; `keep_native` holds glob
    patterns on node addresses that stay native all the same. `gpu_arch` (such as "sm_89") is TensorRT-RTX's alone.
    `decisions` names a decision file: read where it exists, else written. `precision` changes the types of the network,
    but for nodes that would lose too much and those that `keep_fp32` names; `io_types` those of inputs and outputs, by
    name or for all as "*". `calibration` names .npz files, an input set each, to judge by what fp16 can hold.
    `timing_cache` names the file of the tactics measured so far. A `strip_weights` engine gets its weights from the
    model when it is loaded; `embed_plugins` puts the plugin library into the engine, which is then version-compatible.
    With `verify` an engine is kept only when it computes what the model does.
    Raises ConfigError when a value is out of range.
    """

    output: Path | None = None
    profiles: Sequence[Profile] = ()
    backend: BackendName = "auto"
    gpu_arch: str | None = None
    workspace_bytes: int | None = None
    opt_level: int | None = None
    tf32: bool | None = None
    ops: Ops | None = None
    keep_native: Sequence[str] = field(default_factory=tuple)
    decisions: Path | None = None
    precision: Precision | None = None
    keep_fp32: Sequence[str] = field(default_factory=tuple)
    io_types: Mapping[str, str] = field(default_factory=dict)
    calibration: Sequence[Path] = field(default_factory=tuple)
    timing_cache: Path | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    refittable: bool = False
    strip_weights: bool = False
    embed_plugins: bool = False
    verify: bool = False

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ConfigError(f"backend {self.backend!r} is unknown, expected one of {', '.join(BACKENDS)}")
        if self.opt_level is not None and not 0 <= self.opt_level <= MAX_OPT_LEVEL:
            raise ConfigError(
                f"optimisation level {self.opt_level} is out of range, expected 0 to {MAX_OPT_LEVEL}",
                where="--opt-level",
            )
        if self.workspace_bytes is not None and self.workspace_bytes <= 0:
            raise ConfigError(f"workspace must be positive, got {self.workspace_bytes} bytes", where="--workspace")
        if self.gpu_arch is not None and not re.fullmatch(r"sm_\d{2,3}", self.gpu_arch):
            raise ConfigError(f"GPU architecture {self.gpu_arch!r} is not of the form sm_89", where="--gpu-arch")
        if self.ops not in (None, "plugin", "native"):
            raise ConfigError(f"ops {self.ops!r} is unknown, expected plugin or native")
        if self.precision not in (None, "fp16", "bf16"):
            raise ConfigError(f"precision {self.precision!r} is unknown, expected fp16 or bf16", where="--precision")
        if self.precision is None and (self.keep_fp32 or self.io_types or self.calibration):
            raise ConfigError("--keep-fp32, --io-types and --calibration belong to --precision fp16 or bf16")
        if self.calibration and self.precision != "fp16":
            raise ConfigError("only fp16 is judged by values: bf16 has the range of fp32", where="--calibration")
        if self.precision is not None and (self.refittable or self.strip_weights):
            what = "an engine of another precision cannot be refitted: its weights are no longer the model's"
            raise ConfigError(what, where="--precision", hint="give --refittable or --strip-weights a model in fp16")
        if self.verify and self.strip_weights:
            what = "an engine without weights computes nothing that could be compared"
            raise ConfigError(what, where="--verify", hint="verify it without --strip-weights first")
        if self.ops == "native" and self.embed_plugins:
            raise ConfigError("--embed-plugins has nothing to embed with --ops native")
        if self.ops == "native" and self.keep_native:
            raise ConfigError(
                "--keep-native picks nodes out of --ops plugin; with --ops native all of them stay native"
            )


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


def parse_size(text: str) -> int:
    """Read the size of `--workspace`, such as `512`, `512MiB` or `2G`, into bytes; a bare number counts MiB."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)\s*([A-Za-z]*)", text.strip())
    if not match or match[2].upper() not in _SIZE_UNITS:
        raise ConfigError(f"got {text!r}, expected a size such as 512MiB or 2GiB", where="--workspace")
    return int(float(match[1]) * _SIZE_UNITS[match[2].upper()])


def _parse_dims(text: str) -> tuple[tuple[int, ...], Kind]:
    text = text.strip()
    if text == "[]":
        return (), "shape"
    if match := re.fullmatch(r"\[(-?\d+(?:\s*,\s*-?\d+)*)\]", text):
        return tuple(_parse_int(value) for value in match[1].split(",")), "values"
    if re.fullmatch(r"\d+(?:x\d+)*", text):
        return tuple(_parse_int(dim) for dim in text.split("x")), "shape"
    raise ConfigError(f"{text!r} is no shape")


def _parse_int(text: str) -> int:
    digits = text.strip()
    if len(digits) > len(str(-_MAX_DIM)) or abs(int(digits)) > _MAX_DIM:
        raise ConfigError(f"{digits} is out of range, expected at most {_MAX_DIM}")
    return int(digits)


def _format_dims(dims: tuple[int, ...], kind: Kind) -> str:
    if kind == "values" or not dims:
        return f"[{','.join(map(str, dims))}]"
    return "x".join(map(str, dims))
