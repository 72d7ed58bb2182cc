"""The trace that the plugin library writes with TRTCONV_TRACE=1: as it stands, and as it stands in docs/plugins.md."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

VARIABLE = "TRTCONV_TRACE"
MARK = "[trtconv trace] "
DOCUMENT = Path(__file__).parents[2] / "docs" / "plugins.md"

# What a program that is traced writes between its steps.
STEP_MARK = "== "

_BLOCK = re.compile(r"(<!-- traced life: begin -->\n```\n)(.*?)(```\n<!-- traced life: end -->)", re.DOTALL)
_REPEATED = "  (several times)"


def trace_lines(errors: str) -> list[str]:
    """Return the lines of the trace, and the steps of the program, from what went to standard error."""
    lines = errors.splitlines()
    return [line.removeprefix(MARK) for line in lines if line.startswith((MARK, STEP_MARK))]


def normalised(lines: Iterable[str]) -> list[str]:
    """Leave out what differs from run to run or says little: addresses, each asked format, how often a call repeats."""
    plain = [
        re.sub(r"( stream) \S+$", r"\1", re.sub(r"(supportsFormatCombination|getTimingCacheID) .*", r"\1", line))
        for line in lines
    ]
    return [line + (_REPEATED if len(list(same)) > 1 else "") for line, same in groupby(plain)]


def calls_of(lines: Iterable[str]) -> set[str]:
    """Return the names of the calls that the lines of a trace tell of."""
    return {re.sub(r'^(#\d+ \w+ \w+ ".*"|creator \w+): ', "", line).split()[0] for line in lines}


def documented(path: Path = DOCUMENT) -> list[str]:
    """Return the trace that docs/plugins.md shows."""
    found = _BLOCK.search(path.read_text())
    assert found, f"{path} has no block for the trace"
    return found[2].splitlines()


def document(lines: Iterable[str], path: Path = DOCUMENT) -> None:
    """Write the trace into docs/plugins.md."""
    text = "".join(f"{line}\n" for line in lines)
    path.write_text(_BLOCK.sub(lambda found: found[1] + text + found[3], path.read_text()))
