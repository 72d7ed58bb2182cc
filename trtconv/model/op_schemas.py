"""What ONNX says of its operators."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

import onnx.defs

_LATEST = (1 << 31) - 1  # onnx keeps versions in 32 bits


@functools.cache
def least_inputs(op_type: str) -> int:
    """Return how many inputs an op needs in any opset, 0 for one that ONNX does not have."""
    return min((schema.min_input for schema in _schemas(op_type)), default=0)


@functools.cache
def inputs_needed(op_type: str, opset: int) -> int:
    """Return how many inputs an op needs in an opset; where that does not have it, or no longer, in any."""
    schema = _schema_in(op_type, opset)
    return least_inputs(op_type) if schema is None or schema.deprecated else schema.min_input


@functools.cache
def attribute_kinds(op_type: str) -> Mapping[str, frozenset[int]]:
    """Return the kinds that each attribute of an op has in any opset; nothing for an op that ONNX does not have."""
    kinds: dict[str, frozenset[int]] = {}
    for schema in _schemas(op_type):
        for name, attribute in schema.attributes.items():
            kind: int = attribute.type.value  # type: ignore[attr-defined]  # its stub knows no enum
            kinds[name] = kinds.get(name, frozenset()) | {kind}
    return kinds


@functools.cache
def required_attributes(op_type: str, opset: int) -> frozenset[str]:
    """Return the attributes that an op must have in an opset; where that is older than the op, in the op's first.

    `consumed_inputs` of opsets before 6 says where to write, which nobody needs to know.
    """
    newest_first = list(_schemas(op_type))
    if not newest_first:
        return frozenset()
    schema = _schema_in(op_type, opset) or newest_first[-1]
    return frozenset(name for name, attribute in schema.attributes.items() if attribute.required) - {"consumed_inputs"}


def _schema_in(op_type: str, opset: int) -> onnx.defs.OpSchema | None:
    return next(_schemas(op_type, min(opset, _LATEST)), None)


def _schemas(op_type: str, version: int = _LATEST) -> Iterator[onnx.defs.OpSchema]:
    """Yield the schemas of an op, that of `version` first, then the older ones."""
    while version > 0:
        try:
            schema = onnx.defs.get_schema(op_type, version, "")
        except onnx.defs.SchemaError:
            return
        yield schema
        version = schema.since_version - 1
