"""What reaches a terminal or a JSON document goes through one function: no file drives the terminal or hides a name."""

from __future__ import annotations

import ast
import io
import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.command_line import run
from trtconv.cli import console
from trtconv.display import printable, printable_lines
from trtconv.displays import BarProgress, PlainProgress
from trtconv.reports.layout import render, shorten_middle
from trtconv.reports.tables import Column, Facts, Table

PACKAGE = Path(__file__).parents[2] / "trtconv"
EVIL = "a\x1b]0;pwned\x07\x1b[31mb\nERROR: c\x9b2J\u202e\u2066d\u061c\u200fe\x85f\u2028g\x7f"
# The doors, and what they print: a help text, one line for programs on a pipe, the library's own path.
PRINTERS = {
    "cli/console.py": "printable_lines, printable",
    "cli/__init__.py": "printable",
    "cli/program.py": "help",
    "cli/plugins.py": "the path, for a shell",
    "displays.py": "printable",
    "reports/layout.py": "printable, into a string",
    "doctor/probe.py": "JSON into a pipe",
    "engine/engine_worker.py": "JSON into a pipe",
}


def is_safe(text: str) -> bool:
    reordering = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029"
    return not any(unicodedata.category(char) == "Cc" or char in reordering for char in text.replace("\n", ""))


def test_what_is_unsafe_is_written_out() -> None:
    shown = printable(EVIL)
    assert is_safe(shown)
    assert "\n" not in shown
    assert shown.startswith(r"a\x1b]0;pwned\x07\x1b[31mb\nERROR: c\x9b2J\u202e\u2066d\u061c\u200fe\x85f\u2028g\x7f")
    assert printable("größer 日本 \u00a0 é") == "größer 日本 \u00a0 é"


def test_a_report_keeps_its_lines_and_colours_alone() -> None:
    assert printable_lines("a\n\x1b[31mb\x1b[0m", color=True) == "a\n\x1b[31mb\x1b[0m"
    assert printable_lines("a\n\x1b[31mb\x1b]0;t\x07", color=True) == "a\n\x1b[31mb" + r"\x1b]0;t\x07"
    assert printable_lines("a\n\x1b[31mb") == "a\n" + r"\x1b[31mb"


def test_tables_show_no_control_characters() -> None:
    blocks = (Facts([("model", EVIL)]), Table(EVIL, [Column("name", "name"), Column("text", "text")], [[EVIL, EVIL]]))
    assert is_safe(render(blocks))


def test_progress_shows_no_control_characters() -> None:
    plain, bars = io.StringIO(), io.StringIO()
    progress = PlainProgress(plain, interval_seconds=0)
    progress.phase_start(EVIL, None, 3)
    progress.tick()
    with BarProgress(bars) as progress_bars:
        progress_bars.phase_start(f"[red]{EVIL}[/nonsense]", None, 3)
        (task,) = progress_bars._bars.tasks
        shown = progress_bars._bars.columns[0].render(task)
    assert is_safe(str(shown))
    assert str(shown).startswith("[red]a")
    assert is_safe(plain.getvalue())
    assert r"\x1b]0;pwned" in plain.getvalue()


def test_messages_of_libraries_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_log(f"warning: {EVIL}")
    written = capsys.readouterr().err
    assert is_safe(written)
    assert written.count("\n") == 1


def test_nothing_prints_but_the_doors() -> None:
    """Who prints elsewhere prints what nobody has made safe."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and re.search(
                r"^print$|^click\.(echo|secho|style)$|\bconsole\.print$|^Console$|^sys\.std(out|err)\.write$",
                ast.unparse(node.func),
            ):
                found.add(path.relative_to(PACKAGE).as_posix())
    assert found == PRINTERS.keys()


@pytest.fixture
def evil_model(tmp_path: Path) -> Path:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 6, 6]) for name in ("x", "y"))
    nodes = [
        helper.make_node("InstanceNormalization", ["x", "s", "s"], ["y"], name=EVIL),
        helper.make_node(EVIL, ["x"], [EVIL], domain=EVIL),
    ]
    scale = numpy_helper.from_array(np.ones(2, np.float32), "s")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(EVIL, 1)]
    graph = helper.make_graph(nodes, EVIL, [x], [y], [scale])
    model = helper.make_model(graph, ir_version=8, opset_imports=opsets, producer_name=EVIL)
    path = tmp_path / "evil.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    "args",
    [
        ["build", "--dry-run"],
        ["build", "--dry-run", "--verbose"],
        ["build", "--dry-run", "--precision", "fp16", "--debug"],
        ["rewrite", "-o", "out.onnx"],
        ["inspect"],
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_commands_show_no_control_characters(args: list[str], as_json: bool, evil_model: Path, tmp_path: Path) -> None:
    command, *options = [str(tmp_path / arg) if arg == "out.onnx" else arg for arg in args]
    result = run(command, str(evil_model), *options, *(["--json"] if as_json else []))
    assert is_safe(result.stdout), result.stdout
    assert is_safe(result.stderr), result.stderr
    if as_json:
        json.loads(result.stdout)


def test_the_middle_of_a_long_name_is_found_in_one_go() -> None:
    name = "A" * 1_000_000
    assert shorten_middle(name, 21) == "A" * 10 + "…" + "A" * 10
