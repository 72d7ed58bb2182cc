"""Sizes, names and values as every report writes them."""

from __future__ import annotations

import math
import unicodedata
from pathlib import Path
from typing import Any


def format_size(num_bytes: int) -> str:
    """Return a size for people, in binary units."""
    size = float(num_bytes)
    for unit in ("bytes", "KiB", "MiB"):
        if round(size, 1) < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def printable(text: str) -> str:
    """Return `text` with its control characters written out: a node's name must neither break a line nor a terminal."""
    if text.isprintable():
        return text
    return "".join(repr(char)[1:-1] if unicodedata.category(char) == "Cc" else char for char in text)


def jsonable(value: Any) -> Any:
    """Return what a report holds in the types of JSON; NaN and infinities become text."""
    if isinstance(value, Path) or (isinstance(value, float) and not math.isfinite(value)):
        return str(value)
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    return value
