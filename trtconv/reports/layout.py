"""Lay out a report for a terminal: facts, tables and notes, to a width, with or without colour.

A table too wide for its terminal gives up space in this order: names are shortened in the middle, long texts wrap, and
at last every row becomes a record of lines of its own.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from trtconv.display import printable
from trtconv.reports.tables import (
    DEFAULT_WIDTH,
    LABEL_WIDTH,
    NEXT,
    NO_BREAK,
    NOTHING,
    Block,
    Column,
    Facts,
    Table,
    next_fact,
)

_INDENT, _GAP = 2, 2
_MIN_WIDTH = 40
_MIN_NAME, _MIN_TEXT = 20, 24  # what a column must keep to be readable
_OF_NODES = frozenset({"rewritten", "plugin", "native", "computed", "fp32"})  # labels of facts that name nodes
_STYLES = {
    "rewritten": "green",
    "plugin": "green",
    "yes": "green",
    "same": "green",
    "native": "yellow",
    "warning": "yellow",
    "no": "red",
    "DIFFERS": "red",
    "error": "red",
    "not": "red",
}


def render(blocks: Sequence[Block], width: int = DEFAULT_WIDTH, color: bool = False) -> str:
    """Return the blocks as text, an empty line around each table, no line wider than `width` (40 at least)."""
    width = max(width, _MIN_WIDTH)
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=color,
        no_color=not color,
        color_system="standard" if color else None,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    is_first = True
    for block in blocks:
        if isinstance(block, Facts):
            _print_facts(console, block)
        elif block.rows:
            block = _without_empty_columns(_printable(block))
            if not is_first:
                console.print()
            console.print(Text(printable(block.heading), style="bold"))
            _print_table(console, block, width)
        is_first = False
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.replace(NO_BREAK, " ").splitlines())


def render_with_next(blocks: Sequence[Block], command: str, width: int, color: bool) -> str:
    """Return the blocks as text, with a command line to type next below them, if there is one."""
    facts = next_fact(command)
    return render(blocks, width, color) + ("\n\n" + render([Facts(facts)], width, color) if facts else "")


def shorten_middle(text: str, width: int) -> str:
    """Return `text` in at most `width` cells; what is left out of its middle shows as an ellipsis."""
    if cell_len(text) <= width:
        return text
    kept = max(width - 1, 0)
    head, tail = _first_cells(text, kept // 2), _last_cells(text, kept - kept // 2)
    return f"{head}…{tail}" if width > 0 else ""


def _printable(table: Table) -> Table:
    return Table(table.heading, table.columns, [[printable(cell) for cell in row] for row in table.rows])


def _without_empty_columns(table: Table) -> Table:
    kept = [index for index in range(len(table.columns)) if any(row[index] for row in table.rows)]
    rows = [[row[index] for index in kept] for row in table.rows]
    return Table(table.heading, [table.columns[index] for index in kept], rows)


def _first_cells(text: str, width: int) -> str:
    """Return the longest beginning of `text` that takes at most `width` cells."""
    taken = 0
    for index, char in enumerate(text):
        taken += cell_len(char)
        if taken > width:
            return text[:index]
    return text


def _last_cells(text: str, width: int) -> str:
    return _first_cells(text[::-1], width)[::-1]


def _print_facts(console: Console, facts: Facts) -> None:
    grid = RichTable.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=LABEL_WIDTH - 1, no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in facts.items:
        text, room = printable(value), console.width - LABEL_WIDTH
        if label == NEXT:
            text = _wrapped_command(text, room)
        elif label in _OF_NODES:
            text = _with_short_words(text, room)
        grid.add_row(label, _styled(text, label))
    console.print(grid)


def _wrapped_command(command: str, width: int) -> str:
    """Return a command line in lines that a shell reads as one; one that needs quotes stays whole."""
    mark = " \\"
    if len(command) <= width or "'" in command:
        return command
    lines = textwrap.wrap(command, width - len(mark), break_long_words=False, break_on_hyphens=False)
    return f"{mark}\n".join(lines)


def _print_table(console: Console, table: Table, width: int) -> None:
    widths = _column_widths(table, width - _INDENT - _GAP * (len(table.columns) - 1))
    if widths is None:
        _print_records(console, table, width)
        return
    has_titles = any(column.title for column in table.columns)
    grid = RichTable(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, show_header=has_titles, header_style="dim")
    grid.add_column("", width=0)
    for column, column_width in zip(table.columns, widths, strict=True):
        grid.add_column(column.title, width=column_width, overflow="fold")
    for row in table.rows:
        cells = zip(table.columns, row, widths, strict=True)
        grid.add_row("", *(_cell(column, value, limit) for column, value, limit in cells))
    console.print(grid)


def _print_records(console: Console, table: Table, width: int) -> None:
    """Print each row as lines: its name, its words, its numbers with their titles, and each text with its title."""
    words, numbers, texts = (
        [index for index, column in enumerate(table.columns) if column.kind in kinds and index > 0]
        for kinds in (("word",), ("number",), ("name", "text"))
    )
    label_width = max((cell_len(table.columns[index].title) for index in texts), default=0) + 1
    for row in table.rows:
        console.print(Text(" " * _INDENT + shorten_middle(row[0], width - _INDENT)))
        if words:
            line = Text("  ").join(_styled(row[index], row[index].split(" ", 1)[0]) for index in words)
            console.print(Padding(line, (0, 0, 0, 2 * _INDENT)))
        figures = [f"{table.columns[index].title} {row[index]}" for index in numbers if row[index] not in ("", NOTHING)]
        if figures:
            text = ", ".join(figure.replace(" ", NO_BREAK) for figure in figures)
            console.print(Padding(Text(text), (0, 0, 0, 2 * _INDENT)))
        grid = RichTable.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=2 * _INDENT - 1)
        grid.add_column(width=label_width, style="dim")
        grid.add_column(overflow="fold")
        for index in texts:
            if row[index] not in ("", NOTHING):
                column = table.columns[index]
                grid.add_row("", column.title, _cell(column, row[index], width - 2 * _INDENT - label_width - 1))
        console.print(grid)


def _column_widths(table: Table, available: int) -> list[int] | None:
    """Return the width of each column, or None when the table does not fit however it is squeezed."""
    cells = [[column.title, *(row[index] for row in table.rows)] for index, column in enumerate(table.columns)]
    widths = [max(cell_len(cell) for cell in column) for column in cells]
    for kind, minimum in (("name", _MIN_NAME), ("text", _MIN_TEXT)):
        flexible = [index for index, column in enumerate(table.columns) if column.kind == kind]
        excess = sum(widths) - available
        while excess > 0:
            widest = max(flexible, key=lambda index: widths[index], default=None)
            if widest is None or widths[widest] <= minimum:
                break
            widths[widest] -= 1
            excess -= 1
    return widths if sum(widths) <= available else None


def _cell(column: Column, value: str, width: int) -> Text:
    shown = shorten_middle(value, width) if column.kind == "name" else _with_short_words(value, width)
    return _styled(shown, value.split(" ", 1)[0])


def _with_short_words(text: str, width: int) -> str:
    """Return a text whose words fit into a line: names of nodes can be longer."""
    return " ".join(shorten_middle(word, width) for word in text.split(" "))


def _styled(value: str, word: str) -> Text:
    return Text(value, style=_STYLES.get(word, ""))
