"""What a conversion is asked to do: frozen options that check themselves."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field, fields
from typing import Literal, NamedTuple, get_args

from trtconv.converted import OptionalPath, Paths, Patterns
from trtconv.errors import ConfigError
from trtconv.shapes import Profiles, ShapeLike, only_profile

BackendName = Literal["auto", "tensorrt", "tensorrt-rtx"]
Ops = Literal["plugin", "fused", "rewritten", "auto", "native"]
DEFAULT_OPS: Ops = "auto"
# Those with which a plugin takes what lies around its operator.
FUSING_OPS: tuple[Ops, ...] = ("fused", "rewritten", "auto")

Precision = Literal["fp16", "bf16"]

BACKENDS: tuple[BackendName, ...] = ("auto", "tensorrt", "tensorrt-rtx")
MAX_OPT_LEVEL = 5


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """The options that shape the engine itself. A manifest holds each of them, and an engine is built anew with them.

    A new option of this kind needs a default: manifests written before it do not hold it.
    """

    workspace_bytes: int | None = None
    opt_level: int | None = None
    tf32: bool | None = None
    ops: Ops | None = None
    precision: Precision | None = None
    io_types: Mapping[str, str] = field(default_factory=dict)
    version_compatible: bool = False
    hardware_compatible: bool = False
    refittable: bool = False
    strip_weights: bool = False
    embed_plugins: bool = False
    exclude_lean_runtime: bool = False


@dataclass(frozen=True)
class BuildConfig(EngineOptions):
    """How `trtconv.build` makes an engine. A value of None leaves the choice to the backend.

    Paths may be text, and one pattern or path may stand for a list of them. `shapes` maps input names to shapes: a
    tuple of sizes, a tuple of three such tuples (min, opt, max), what `--shape` takes as text, or a ShapeRange.
    `profiles` is a list of such mappings, one for each optimisation profile. `workspace_bytes` limits TensorRT's
    scratch memory. `ops` says what the operators become that plugins stand for: "plugin" the plugin of each, "fused"
    also norms that are written out, with what lies around an operator in its plugin, "rewritten" also convolutions that
    write phases, which such a plugin reads in place, "auto" what is predicted to be fastest, node by node, "native"
    nothing; where it is None, a decision file says it, else it is "auto". `keep_native` holds glob patterns on node
    addresses that stay native all the same. `gpu_arch` ("sm_89") is TensorRT-RTX's alone. `decisions` names a decision
    file: read where it exists, else written. `precision` changes the types of the network, but for nodes that would
    lose too much and those that `keep_fp32` names; `io_types` those of inputs and outputs, by name or for all as "*".
    `calibration` names .npz files, an input set each, to judge by what fp16 can hold. `timing_cache` names the file of
    the tactics measured so far. A `strip_weights` engine gets its weights from the model when it is loaded;
    `embed_plugins` puts the plugin library into the engine, which is then version-compatible. With
    `exclude_lean_runtime` such an engine comes without the lean runtime that other versions would load it with. With
    `verify` an engine is kept only when it computes what the model does. With `tune` engines are measured for
    `tune_budget_s` seconds, 600 by default, and the fastest is kept. With `trust_links` external data may be links out
    of the model's folder; no manifest records it, since it is for you to say whom you trust. `report` names the HTML
    page to write. Raises ConfigError when a value is out of range.
    """

    output: OptionalPath = OptionalPath()
    profiles: Profiles = Profiles()
    shapes: InitVar[Mapping[str, ShapeLike] | None] = None
    backend: BackendName = "auto"
    gpu_arch: str | None = None
    keep_native: Patterns = Patterns()
    decisions: OptionalPath = OptionalPath()
    keep_fp32: Patterns = Patterns()
    calibration: Paths = Paths()
    timing_cache: OptionalPath = OptionalPath()
    verify: bool = False
    tune: bool = False
    tune_budget_s: float | None = None
    trust_links: bool = False
    report: OptionalPath = OptionalPath()

    def __post_init__(self, shapes: Mapping[str, ShapeLike] | None) -> None:
        if shapes is not None:
            object.__setattr__(self, "profiles", only_profile(shapes, self.profiles))
        for rule in _rules(self):
            if rule.is_broken:
                raise ConfigError(rule.what, where=rule.where, hint=rule.hint)

    def recorded(self) -> EngineOptions:
        """Return what a manifest holds of the options; Manifest.config is the way back."""
        own = {each.name: getattr(self, each.name) for each in fields(EngineOptions)}
        own["version_compatible"] |= self.embed_plugins
        return EngineOptions(**own)


class _Rule(NamedTuple):
    """What must not be, and what an error says of it; `where` names the option as the command line spells it."""

    is_broken: bool
    what: str
    where: str | None = None
    hint: str | None = None


def _rules(config: BuildConfig) -> tuple[_Rule, ...]:
    level, size, arch = config.opt_level, config.workspace_bytes, config.gpu_arch
    is_native = config.ops == "native"
    paths = (config.output, config.report, config.decisions, config.timing_cache)
    written = [os.path.realpath(path) for path in paths if path is not None]
    return (
        _Rule(
            config.backend not in BACKENDS,
            f"backend {config.backend!r} is unknown, expected one of {', '.join(BACKENDS)}",
        ),
        _Rule(
            level is not None and not 0 <= level <= MAX_OPT_LEVEL,
            f"optimisation level {level} is out of range, expected 0 to {MAX_OPT_LEVEL}",
            "--opt-level",
        ),
        _Rule(size is not None and size <= 0, f"workspace must be positive, got {size} bytes", "--workspace"),
        _Rule(
            arch is not None and not re.fullmatch(r"sm_\d{2,3}", arch),
            f"GPU architecture {arch!r} is not of the form sm_89",
            "--gpu-arch",
        ),
        _Rule(
            config.ops not in (None, *get_args(Ops)),
            f"ops {config.ops!r} is unknown, expected one of {', '.join(get_args(Ops))}",
        ),
        _Rule(
            config.precision not in (None, *get_args(Precision)),
            f"precision {config.precision!r} is unknown, expected {' or '.join(get_args(Precision))}",
            "--precision",
        ),
        _Rule(
            config.precision is None and bool(config.keep_fp32 or config.io_types or config.calibration),
            "--keep-fp32, --io-types and --calibration belong to --precision fp16 or bf16",
        ),
        _Rule(
            bool(config.calibration) and config.precision != "fp16",
            "only fp16 needs calibration: bf16 has the range of fp32",
            "--calibration",
        ),
        _Rule(
            config.precision is not None and (config.refittable or config.strip_weights),
            "an engine of another precision cannot be refitted: its weights are no longer the model's",
            "--precision",
            "give --refittable or --strip-weights a model in fp16",
        ),
        _Rule(
            config.verify and config.strip_weights,
            "an engine without weights cannot be compared",
            "--verify",
            "verify it without --strip-weights first",
        ),
        _Rule(
            config.tune and config.ops is not None,
            "measures what the operators become, and --ops says it",
            "--tune",
            "leave one of the two out",
        ),
        _Rule(config.tune and config.strip_weights, "an engine without weights cannot be timed", "--tune"),
        _Rule(
            config.tune_budget_s is not None and not config.tune,
            "says how long --tune may measure, and --tune is not given",
            "--tune-budget",
        ),
        _Rule(
            config.tune_budget_s is not None and not 0 < config.tune_budget_s < math.inf,
            f"must be a time above 0, got {config.tune_budget_s} s",
            "--tune-budget",
        ),
        _Rule(
            config.exclude_lean_runtime and not (config.version_compatible or config.embed_plugins),
            "only a version-compatible engine has a lean runtime to leave out",
            "--exclude-lean-runtime",
            "add --version-compatible",
        ),
        _Rule(
            len(set(written)) < len(written),
            "two outputs would be written to this file",
            next((path for path in written if written.count(path) > 1), None),
            "name another file for one",
        ),
        _Rule(is_native and config.embed_plugins, "with --ops native there is no plugin to embed", "--embed-plugins"),
        _Rule(
            is_native and bool(config.keep_native),
            "picks nodes that stay native; with ops native all of them stay native",
            "--keep-native",
        ),
    )
