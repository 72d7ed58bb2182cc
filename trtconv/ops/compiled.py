"""What the compiled plugins do of what the table of the ops says.

An attribute or an optional input that is not named here stays at its default, or absent: no pass makes it, and the
functions for networks written by hand refuse it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from trtconv.ops.custom_op import CustomOp

_EPILOGUE = frozenset({"activation", "alpha"})
_MAP = frozenset({"upsample", "pads", "pad_mode", "to"})
COMPILED: dict[str, frozenset[str]] = {
    "InstanceNorm": frozenset({"epsilon", "groups", "residual", "slope", "residual_pads"}) | _EPILOGUE | _MAP,
    "ReflectPad": _EPILOGUE | _MAP,
    "DynamicReflectPad": frozenset({"rank"}),
}


def not_compiled(op: CustomOp, attributes: Mapping[str, Any], roles: Collection[str] = ()) -> str | None:
    """Return what of a use of `op` its plugin cannot do yet, None where it does all of it."""
    compiled = COMPILED[op.name]
    wanted = [name for name, row in op.attributes.items() if attributes.get(name, row.default) != row.default]
    wanted += [role for role in roles if role in op.optional_inputs]
    missing = [name for name in wanted if name not in compiled]
    return f"the plugin {op.name} cannot do {', '.join(missing)} yet" if missing else None
