"""Make text from files safe to show: a name must neither break a line, nor drive a terminal, nor hide what it is."""

from __future__ import annotations

import os
import re
import unicodedata

# Characters that reorder the text around them: the marks, embeddings, overrides and isolates of Unicode.
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BREAKS = frozenset("\u2028\u2029")
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")


def printable(text: str) -> str:
    """Return `text` on one line, its control characters and those that reorder text written out."""
    if text.isprintable():
        return text
    return "".join(_written_out(char) if _is_unsafe(char) else char for char in _decoded(text))


def printable_lines(text: str, *, color: bool = False) -> str:
    """Return a finished report: its line breaks stay and, with `color`, the codes that colour it; nothing else does."""
    parts = _COLOUR.split(text) if color else [text]
    lines = (part if index % 2 else "\n".join(map(printable, part.split("\n"))) for index, part in enumerate(parts))
    return "".join(lines)


def _is_unsafe(char: str) -> bool:
    return char in _REORDERING or char in _BREAKS or unicodedata.category(char) in ("Cc", "Cs")


def _written_out(char: str) -> str:
    return char.encode("unicode_escape").decode()


def _decoded(text: str) -> str:
    """Return text with the bytes of file names that Python could not decode as UTF-8, where they are that."""
    try:
        return os.fsencode(text).decode(errors="replace")
    except UnicodeEncodeError:
        return text
