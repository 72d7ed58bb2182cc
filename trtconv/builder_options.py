"""Hand the options of a BuildConfig to TensorRT's builder; each is taken or refused."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence
from typing import Any

from trtconv.config import BuildConfig, Profile
from trtconv.errors import ConfigError


def apply_options(builder_config: Any, config: BuildConfig, trt: Any) -> None:
    """Set what `config` asks for; what it leaves open stays TensorRT's choice."""
    if config.workspace_bytes is not None:
        _limit_workspace(builder_config, trt.MemoryPoolType.WORKSPACE, config.workspace_bytes)
    if config.opt_level is not None:
        builder_config.builder_optimization_level = config.opt_level
    if config.tf32 is not None:
        set_or_clear = builder_config.set_flag if config.tf32 else builder_config.clear_flag
        set_or_clear(trt.BuilderFlag.TF32)


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
            raise ConfigError(f"{name} is no input of TensorRT's network", where=where)
        is_values = shape.kind == "values"
        if is_values and not inputs[name].is_shape_tensor:
            raise ConfigError(f"{name} is no shape tensor: give its shape as AxBxC", where=where)
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
