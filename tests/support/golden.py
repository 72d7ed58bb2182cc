"""Golden cases: a model in ONNX text, what is expected of its rewrite, and the rewritten model.

    # edits: 1                      how many nodes become custom ops (default 0)
    # native: part of a reason      for a node that stays native; one line a node
    # other: part of a reason       for a norm that no pass decides on; one line a norm, where there is any such line
    # error: part of a message      the rewrite raises ModelError
    # keep_native: pattern          as --keep-native
    # ops: fused                    as --ops (default plugin)
    # feed: name = [1, 2]           the value of an input; others are random
    # output                        what follows is the rewritten model without its functions; none: it stays unchanged

`python -m tests.support.golden` writes the output blocks of all cases anew; read the diff.
"""

from __future__ import annotations

import ast
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import onnx.parser
import onnx.printer

from tests.support.equivalence import Arrays, Rewritten, rewrite
from trtconv.config import Ops
from trtconv.errors import ModelError
from trtconv.model import functions

FOLDER = Path(__file__).parents[1] / "cases"
_OUTPUT_MARK = "# output\n"


@dataclass(frozen=True)
class Case:
    """One file of tests/cases, read."""

    path: Path
    model: onnx.ModelProto
    expected_text: str | None
    num_edits: int
    native: Sequence[str]
    others: Sequence[str]
    error: str | None
    keep_native: Sequence[str]
    ops: Ops
    feeds: Arrays

    def rewrite(self) -> Rewritten:
        """Rewrite the case's model."""
        with tempfile.TemporaryDirectory() as folder:
            return rewrite(self.model, Path(folder), self.keep_native, self.ops)


def case_paths() -> list[Path]:
    """Return all case files."""
    return sorted(FOLDER.glob("*/*.onnxtxt"))


def read_case(path: Path) -> Case:
    """Read one case file."""
    text, mark, output = path.read_text().partition(_OUTPUT_MARK)
    settings: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("# "):
            key, _, value = line[2:].partition(": ")
            settings.setdefault(key, []).append(value)
    unknown = settings.keys() - {"edits", "native", "other", "error", "keep_native", "ops", "feed", "note"}
    assert not unknown, f"{path}: {unknown}"
    feeds = {}
    for entry in settings.get("feed", []):
        name, _, value = entry.partition(" = ")
        array = np.array(ast.literal_eval(value))
        feeds[name] = array.astype(np.float32) if array.dtype == np.float64 else array
    return Case(
        path=path,
        model=onnx.parser.parse_model(text),
        expected_text=output if mark else None,
        num_edits=int(settings.get("edits", ["0"])[0]),
        native=settings.get("native", []),
        others=settings.get("other", []),
        error=settings.get("error", [None])[0],
        keep_native=settings.get("keep_native", []),
        ops=_read_ops(path, settings.get("ops", ["plugin"])),
        feeds=feeds,
    )


def _read_ops(path: Path, given: Sequence[str]) -> Ops:
    found = next((ops for ops in get_args(Ops) if [ops] == given), None)
    assert found is not None, f"{path}: ops {given}"
    return found  # type: ignore[no-any-return]


def to_text(model: onnx.ModelProto) -> str:
    """Print a model without the custom ops' functions, which are the same in every case."""
    return onnx.printer.to_text(functions.without_functions(model)).strip() + "\n"


def normalised(text: str) -> str:
    """Return ONNX text in the printer's own layout."""
    return to_text(onnx.parser.parse_model(text))


def main() -> int:
    """Write the output block of every case anew."""
    for path in case_paths():
        text = path.read_text().partition(_OUTPUT_MARK)[0].rstrip() + "\n"
        try:
            rewritten = read_case(path).rewrite()
        except ModelError:
            output = ""
        else:
            printed = to_text(rewritten.proto)
            output = "" if printed == to_text(onnx.parser.parse_model(text)) else _OUTPUT_MARK + printed
        if text + output != path.read_text():
            path.write_text(text + output)
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
