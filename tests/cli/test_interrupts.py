"""Ctrl-C ends a command with 130 and one line, also while something is being imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.test_isolation import COMMANDS, run_patched
from tests.support.command_line import run_command, run_python, write_model

# Import systems and extension modules turn KeyboardInterrupt into an ImportError, or drop it.
SWALLOW = """
def swallow(name):
    try:
        os.kill(os.getpid(), signal.{number})
        time.sleep(5)
    except KeyboardInterrupt:
        raise ImportError("initialization failed") from None
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("isolate", [True, False], ids=["in a worker", "without"])
def test_an_import_that_swallows_an_interrupt_does_not_count(tmp_path: Path, number: str, isolate: bool) -> None:
    write_model(tmp_path, "static")
    patch = f"{SWALLOW.format(number=number)}\nimport importlib; importlib.import_module = swallow"
    if isolate:
        result = run_patched(patch, *COMMANDS["build"], "--json", cwd=tmp_path)
    else:
        code = f"import os, signal, sys, time\nfrom trtconv.cli import main\nimport trtconv.convert\n{patch}\nmain()"
        result = run_python(code, *COMMANDS["build"], "--json", "--no-isolate", cwd=tmp_path)
    assert (result.exit_code, result.error) == (130, "interrupted")
    assert result.document["error"]["exit_code"] == 130


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("module", ["trtconv.cli", "click", "json"])
def test_an_interrupt_while_the_program_is_imported_leaves_no_traceback(
    tmp_path: Path, module: str, number: str
) -> None:
    code = f"""
import os, runpy, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.{number})

sys.meta_path.insert(0, Finder())
runpy.run_module("trtconv", run_name="__main__")
"""
    result = run_python(code, "inspect", "any.onnx", "--json", cwd=tmp_path)
    assert (result.exit_code, result.stderr) == (130, "error: interrupted\n")
    assert result.document["error"] == {"what": "interrupted", "where": None, "hint": None, "exit_code": 130}


def test_an_interrupt_after_the_report_does_not_count(tmp_path: Path) -> None:
    write_model(tmp_path, "static")
    patch = "import atexit; atexit.register(lambda: (os.kill(os.getpid(), 2), os.kill(os.getpid(), 15)))"
    result = run_patched(patch, *COMMANDS["rewrite"], cwd=tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")


def test_the_installed_program_is_the_one_that_minds_its_imports() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    assert 'trtconv = "trtconv.__main__:main"' in project.read_text()
    assert run_command([sys.executable, "-c", "from trtconv.__main__ import main"]).exit_code == 0
