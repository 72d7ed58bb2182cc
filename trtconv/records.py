"""Frozen records out of JSON documents and back: every value is checked against the types of the record's fields.

A record is a dataclass of strings, numbers, booleans, `X | None`, Literal, Sequence, Mapping[str, X] and other records;
a class with `parse` is written as text. Keys that a record does not know are ignored, since a later version may add
some; fields with a default may be missing.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from trtconv import reading
from trtconv.errors import ConfigError

MAX_DEPTH = 8  # of a value of any type; all others are as deep as their record
_MAX_LEVELS = 64  # of any JSON file, brackets in brackets
_MAX_ITEMS = 4_000_000  # of all its lists and objects: a manifest of 100,000 decisions has 500,000 and 20 MB
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_INNERMOST = re.compile(rb"\[\]|\{\}")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_MAX_INT = 1 << 63
_NOT_FINITE = ("nan", "inf", "-inf")  # JSON has no such numbers: to_json writes text
_TITLES = {str: "text", int: "a whole number of 64 bits", float: "a number", bool: "true or false"}
_SHOWN_CHARS = 40

Record = TypeVar("Record")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; raise ConfigError where it is not one, or too large to be one of ours."""
    data = reading.read_bytes(path, reading.DOCUMENT)
    try:
        return parse_json(data)
    except ConfigError as error:
        raise ConfigError(error.what, where=str(path)) from None


def parse_json(data: bytes) -> Any:
    """Return what a JSON file holds; raise ConfigError for what is not JSON, or is nested too deeply."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not JSON: byte {error.start} is not UTF-8 text") from None
    if data.count(b",") > _MAX_ITEMS or _exceeds_levels(data):
        raise ConfigError(f"is not JSON of at most {_MAX_LEVELS} levels and {_MAX_ITEMS:,} items")
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"is not JSON: {error}") from None


def _exceeds_levels(data: bytes) -> bool:
    """Say whether brackets are nested too deeply for json, which calls itself for each level."""
    rest = _STRING.sub(b"", data).translate(None, _NO_BRACKETS)
    for _ in range(_MAX_LEVELS):
        rest = _INNERMOST.sub(b"", rest)
    return len(rest) > _MAX_LEVELS or _INNERMOST.search(rest) is not None  # a few that do not match are for json


def from_json(kind: type[Record], content: Any) -> Record:
    """Return a record out of the types of JSON; raise ConfigError with the place, what was got and expected."""
    record: Record = _read(kind, content, "")
    return record


def to_json(value: Any) -> Any:
    """Return records, and what holds them, in the types of JSON; NaN and infinities become text.

    A record that has a `to_json` of its own says itself how it is written.
    """
    if is_dataclass(value) and not hasattr(value, "parse"):
        own = getattr(value, "to_json", None)
        return own() if own is not None else as_object(value)
    if is_dataclass(value) or isinstance(value, Path) or (isinstance(value, float) and not math.isfinite(value)):
        return str(value)
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


def as_object(record: Any) -> dict[str, Any]:
    """Return a record as a JSON object: a key for each field, in their order."""
    return {each.name: to_json(getattr(record, each.name)) for each in fields(record)}


def _read(kind: Any, value: Any, place: str) -> Any:
    """Return `value` as a `kind`, a type out of a field's annotation."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return _read_any(value, place, MAX_DEPTH)
    if origin in (Union, types.UnionType):
        (other,) = (each for each in arguments if each is not types.NoneType)
        return None if value is None else _read(other, value, place)
    if origin is Literal:
        return _read_choice(arguments, value, place)
    if origin is Sequence:
        items = _expect(list, "a list", value, place)
        return tuple(_read(arguments[0], item, f"{place}[{index}]") for index, item in enumerate(items))
    if origin is Mapping:
        items = _expect(dict, "an object", value, place)
        return {key: _read(arguments[1], item, _join(place, key)) for key, item in items.items()}
    if hasattr(kind, "parse"):
        return _read_text(kind, value, place)
    if is_dataclass(kind):
        return _read_record(kind, value, place)
    return _read_plain(kind, value, place)


def _read_record(kind: Any, value: Any, place: str) -> Any:
    content = _expect(dict, "an object", value, place)
    given = {}
    for each, hint in _fields_of(kind):
        if each.name in content:
            given[each.name] = _read(hint, content[each.name], _join(place, each.name))
        elif each.default is MISSING and each.default_factory is MISSING:
            raise ConfigError(f"{_title(place)}: {each.name} is missing")
    return kind(**given)


@cache
def _fields_of(kind: Any) -> list[tuple[Field[Any], Any]]:
    hints = get_type_hints(kind)
    return [(each, hints[each.name]) for each in fields(kind)]


def _read_text(kind: Any, value: Any, place: str) -> Any:
    text = _expect(str, "text", value, place)
    try:
        return kind.parse(text)
    except ConfigError as error:
        raise ConfigError(f"{_title(place)}: {error.what}") from None


def _read_choice(choices: Sequence[Any], value: Any, place: str) -> Any:
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return choice
    raise _problem(" or ".join(json.dumps(choice) for choice in choices), value, place)


def _read_plain(kind: type, value: Any, place: str) -> Any:
    if kind is float and type(value) is not float:
        value = float(value) if value in _NOT_FINITE or _is_int(value) else value
    elif kind is float:
        _require_finite(value, place)
    if type(value) is not kind or (kind is int and not _is_int(value)):
        raise _problem(_TITLES[kind], value, place)
    return value


def _read_any(value: Any, place: str, depth: int) -> Any:
    if depth == 0:
        raise ConfigError(f"{_title(place)}: is nested too deeply, expected at most {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {key: _read_any(item, _join(place, key), depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_read_any(item, f"{place}[{index}]", depth - 1) for index, item in enumerate(value)]
    if isinstance(value, float):
        _require_finite(value, place)
    return value


def _expect(kind: type, title: str, value: Any, place: str) -> Any:
    if not isinstance(value, kind):
        raise _problem(title, value, place)
    return value


def _is_int(value: Any) -> bool:
    return type(value) is int and abs(value) < _MAX_INT


def _require_finite(value: float, place: str) -> None:
    if not math.isfinite(value):
        raise _problem("a finite number", value, place)


def _problem(expected: str, value: Any, place: str) -> ConfigError:
    return ConfigError(f"{_title(place)}: got {_shown(value)}, expected {expected}")


def _shown(value: Any) -> str:
    """Return a value as an error shows it: cut, and of what may be large only the kind."""
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


def _title(place: str) -> str:
    """Return a place as an error names it: its end, where keys of the file make it long."""
    shown = place[-2 * _SHOWN_CHARS :] or "the document"
    return shown if len(place) <= 2 * _SHOWN_CHARS else f"...{shown}"


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key
