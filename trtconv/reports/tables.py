"""What reports are made of, facts and tables, and how wide and colourful a stream takes them.

`trtconv.reports.layout` lays them out.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TextIO

DEFAULT_WIDTH = 120
NO_BREAK = "\N{BRAILLE PATTERN BLANK}"  # printed as a space where no line breaks; rich breaks at no-break spaces, too
NEXT = "next"  # the label of a command line, which wraps so that it can be copied
LABEL_WIDTH = 11  # of a fact, with the space after it
NOTHING = "-"  # in a cell: there is no such thing on this side


class Column(NamedTuple):
    """A column: "word" and "number" keep their width, "name" is shortened in the middle, "text" wraps between words.

    In a record of lines a word stands by itself, all else with its title.
    """

    title: str
    kind: Literal["word", "number", "name", "text"] = "word"


Fact = tuple[str, str]  # a label and a value


class Facts(NamedTuple):
    """Labelled values, one or more lines each."""

    items: Sequence[Fact]


class Table(NamedTuple):
    """Rows of cells under a heading. Nothing is printed for a table without rows."""

    heading: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


Block = Facts | Table


def next_fact(command: str) -> list[Fact]:
    """Return the last line of a report, where there is something to type."""
    return [(NEXT, command)] if command else []


def style_for(stream: TextIO) -> dict[str, Any]:
    """Return width and colour for a stream, as arguments of `render`: its terminal's, plain text elsewhere.

    FORCE_COLOR colours everywhere, NO_COLOR nowhere.
    """
    is_terminal = stream.isatty()
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() else 0
    if not width and is_terminal:
        with contextlib.suppress(OSError):
            width = os.get_terminal_size(stream.fileno()).columns
    is_coloured = is_terminal and os.environ.get("TERM") != "dumb"
    color = not os.environ.get("NO_COLOR") and (is_coloured or bool(os.environ.get("FORCE_COLOR")))
    return {"width": width or DEFAULT_WIDTH, "color": color}


def terminal_style(stream: TextIO) -> dict[str, Any]:
    """Return `style_for` a terminal, or where COLUMNS or FORCE_COLOR ask for it; nothing elsewhere."""
    is_asked = os.environ.get("COLUMNS") or os.environ.get("FORCE_COLOR")
    return style_for(stream) if stream.isatty() or is_asked else {}
