"""What a conversion is asked to do: frozen options that check themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trtconv.errors import ConfigError
from trtconv.shapes import Profile

BackendName = Literal["auto", "tensorrt", "tensorrt-rtx"]
Ops = Literal["plugin", "native"]

Precision = Literal["fp16", "bf16"]

BACKENDS: tuple[BackendName, ...] = ("auto", "tensorrt", "tensorrt-rtx")
MAX_OPT_LEVEL = 5

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
class BuildConfig:
    """How `trtconv.build` makes an engine. A value of None leaves the choice to the backend.

    `profiles` maps input names to shapes, one mapping an optimisation profile. `workspace_bytes` limits TensorRT's
    scratch memory. `ops` says what the operators become that plugins stand for; `keep_native` holds glob
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


def parse_size(text: str) -> int:
    """Read the size of `--workspace`, such as `512`, `512MiB` or `2G`, into bytes; a bare number counts MiB."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)\s*([A-Za-z]*)", text.strip())
    if not match or match[2].upper() not in _SIZE_UNITS:
        raise ConfigError(f"got {text!r}, expected a size such as 512MiB or 2GiB", where="--workspace")
    return int(float(match[1]) * _SIZE_UNITS[match[2].upper()])
