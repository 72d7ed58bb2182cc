"""What `make test` leaves out is run by `make test-all`, and CI runs that."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SWEEP = """
from tests.support.extent import num_examples, part
import pytest

@pytest.mark.parametrize("number", part(range(10), lambda number: number < 3))
def test_sweep(number):
    assert num_examples(400) == EXPECTED
"""


@pytest.mark.parametrize(("value", "passed", "skipped"), [("all", 10, 0), ("", 3, 7)])
def test_the_variable_decides(value: str, passed: int, skipped: int, tmp_path: Path) -> None:
    (tmp_path / "test_sweep.py").write_text(SWEEP.replace("EXPECTED", "400" if value else "100"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(tmp_path)]
    env = {**os.environ, "TRTCONV_TESTS": value, "PYTHONPATH": str(REPOSITORY), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = [f"{passed} passed", *([f"{skipped} skipped"] if skipped else [])]
    assert done.stdout.splitlines()[-1].startswith(", ".join(counts) + " in"), done.stdout


def test_ci_runs_the_whole_with_the_compiled_library() -> None:
    assert "make LOCKED=1 test-all\n" in (REPOSITORY / ".ci" / "run").read_text()
    shown = subprocess.run(
        ["make", "--print-data-base", "--question", "test-all"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert "\ntest-all: TRTCONV_TESTS := all\n" in shown
    assert re.search(r"\ntest-all: \S+/\.installed\n", shown), "without the library, or with it by chance"
