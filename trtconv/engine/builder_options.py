"""Hand the options of a BuildConfig to TensorRT's builder; each is taken or refused."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence
from typing import Any

from trtconv.config import BuildConfig
from trtconv.errors import ConfigError
from trtconv.shapes import Profile


def require_options(config: BuildConfig, key: str) -> None:
    """Raise ConfigError for an option that the backend `key` lacks: none is ever ignored."""
    if key == "tensorrt" and config.gpu_arch is not None:
        what = "only TensorRT-RTX builds for another GPU than the one at hand"
        raise ConfigError(what, where="--gpu-arch", hint="add --backend tensorrt-rtx")
    # "auto" is no error there: it chooses, and finds nothing to choose between.
    no_plugins = "TensorRT-RTX does not support plugins: every node stays native"
    foreign_to_rtx = {
        f"--ops {config.ops}": (config.ops not in (None, "auto", "native"), no_plugins),
        "--keep-native": (bool(config.keep_native), no_plugins),
        "--tune": (config.tune, no_plugins),
        "--decisions": (config.decisions is not None, no_plugins),
        "--embed-plugins": (config.embed_plugins, no_plugins),
        # 1.7.1: seven networks, the same bytes at 0, 3 and 5
        "--opt-level": (config.opt_level is not None, "TensorRT-RTX builds the same engine at every level"),
        "--timing-cache": (config.timing_cache is not None, "TensorRT-RTX keeps no timing cache"),
        "--version-compatible": (config.version_compatible, "engines of TensorRT-RTX belong to one release"),
        "--exclude-lean-runtime": (config.exclude_lean_runtime, "engines of TensorRT-RTX hold no lean runtime"),
        "--hardware-compatible": (config.hardware_compatible, "TensorRT-RTX builds for one --gpu-arch"),
        # 1.7.1 fails in its compiler where there is no GPU, and no GPU that it knows was at hand to try it on
        "--refittable": (config.refittable, "trtconv builds refittable engines with TensorRT only"),
        "--strip-weights": (config.strip_weights, "trtconv strips weights with TensorRT only"),
    }
    for option, (is_asked, reason) in foreign_to_rtx.items():
        if key == "tensorrt-rtx" and is_asked:
            raise ConfigError(reason, where=option)


def apply_options(builder_config: Any, config: BuildConfig, trt: Any) -> None:
    """Set what `config` asks for; what it leaves open stays TensorRT's choice."""
    # Formats and tactics of the layers stay readable in the engine; without this an inspector sees names alone.
    builder_config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    for flag in _wanted_flags(config):
        builder_config.set_flag(getattr(trt.BuilderFlag, flag))
    if config.hardware_compatible:
        builder_config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if config.workspace_bytes is not None:
        _limit_workspace(builder_config, trt.MemoryPoolType.WORKSPACE, config.workspace_bytes)
    if config.opt_level is not None:
        builder_config.builder_optimization_level = config.opt_level
    if config.tf32 is not None:
        set_or_clear = builder_config.set_flag if config.tf32 else builder_config.clear_flag
        set_or_clear(trt.BuilderFlag.TF32)


def _wanted_flags(config: BuildConfig) -> list[str]:
    """Return the names of the BuilderFlags to set; all of them exist in 10.6 and in 11."""
    flags = {
        "VERSION_COMPATIBLE": config.version_compatible or config.embed_plugins,
        "REFIT": config.refittable,
        "STRIP_PLAN": config.strip_weights,
        "EXCLUDE_LEAN_RUNTIME": config.exclude_lean_runtime,
    }
    return [name for name, is_wanted in flags.items() if is_wanted]


def add_profiles(builder: Any, builder_config: Any, network: Any, profiles: Sequence[Profile]) -> None:
    """Add the optimisation profiles; raise ConfigError where one lacks the values of a shape tensor, or is refused."""
    _require_shape_values(network, profiles)
    for index, profile in enumerate(profiles):
        if builder_config.add_optimization_profile(_make_profile(builder, network, profile)) < 0:
            raise ConfigError(f"TensorRT refuses profile {index + 1}", where="--shape", hint="see --verbose")


def _limit_workspace(builder_config: Any, pool: Any, num_bytes: int) -> None:
    """Set the limit; TensorRT keeps the old one, with no more than a message, where it does not take the new one."""
    with contextlib.suppress(TypeError):  # too large for its integers
        builder_config.set_memory_pool_limit(pool, num_bytes)
    taken = builder_config.get_memory_pool_limit(pool)
    if taken != num_bytes:
        raise ConfigError(f"TensorRT does not take {num_bytes} bytes, its limit is {taken}", where="--workspace")


def _make_profile(builder: Any, network: Any, profile: Profile) -> Any:
    made = builder.create_optimization_profile()
    inputs = {network.get_input(index).name: network.get_input(index) for index in range(network.num_inputs)}
    for name, shape in profile.items():
        where = f"--shape {name}={shape}"
        if name not in inputs:
            raise ConfigError(f"{name} is not an input of TensorRT's network", where=where)
        is_values = shape.kind == "values"
        if is_values and not inputs[name].is_shape_tensor:
            raise ConfigError(f"{name} is not a shape tensor: give its shape as AxBxC", where=where)
        if is_values and len(shape.opt) != _num_values(inputs[name]):
            raise ConfigError(f"{len(shape.opt)} values, expected {_num_values(inputs[name])}", where=where)
        set_range = made.set_shape_input if is_values else made.set_shape
        try:
            set_range(name, shape.min, shape.opt, shape.max)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"TensorRT refuses it: {error}", where=where) from error
    return made


def _require_shape_values(network: Any, profiles: Sequence[Profile]) -> None:
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if not tensor.is_shape_tensor:
            continue
        for profile in profiles or ({},):
            if tensor.name not in profile or profile[tensor.name].kind != "values":
                values = "[" + ",".join(["1"] * _num_values(tensor)) + "]"
                raise ConfigError(
                    f"{tensor.name} is a shape tensor: TensorRT needs its values, smallest, usual and largest",
                    where="--shape",
                    hint="add --shape "
                    + shlex.quote(f"{tensor.name}={values}:{values}:{values}")
                    + " with your values",
                )


def _num_values(shape_tensor: Any) -> int:
    return max(shape_tensor.shape[0], 1) if len(shape_tensor.shape) else 1
