"""The types that --io-types asks for, of inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from trtconv.errors import ConfigError

IoType = Literal["keep", "fp32", "fp16", "bf16"]
ALL_TENSORS = "*"


def parse_io_types(items: Iterable[str]) -> dict[str, IoType]:
    """Read `fp16` (all inputs and outputs) and `name=fp16`, split at the last `=`."""
    parsed: dict[str, IoType] = {}
    for item in items:
        name, separator, io_type = item.rpartition("=")
        name = name if separator else ALL_TENSORS
        if io_type not in get_args(IoType) or not name:
            expected = " | ".join(get_args(IoType))
            raise ConfigError(f"got {item!r}, expected {expected}, or NAME= before it", where="--io-types")
        if name in parsed:
            raise ConfigError(f"{name} has two types", where=f"--io-types {item}")
        parsed[name] = io_type  # type: ignore[assignment]
    return parsed
