"""Sizes and names as every report writes them."""

from __future__ import annotations

import os
import unicodedata


def format_size(num_bytes: int) -> str:
    """Return a size for people, in binary units."""
    size = float(num_bytes)
    for unit in ("bytes", "KiB", "MiB"):
        if round(size, 1) < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _decoded(text: str) -> str:
    """Return text with the bytes of file names that Python could not decode as UTF-8, where they are that."""
    try:
        return os.fsencode(text).decode(errors="replace")
    except UnicodeEncodeError:
        return text


def printable(text: str) -> str:
    """Return `text` with its control characters written out: a node's name must neither break a line nor a terminal."""
    if text.isprintable():
        return text
    text = _decoded(text)
    return "".join(repr(char)[1:-1] if unicodedata.category(char) == "Cc" else char for char in text)
