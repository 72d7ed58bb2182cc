"""What the README shows of a terminal is what a terminal shows."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.support.command_line import run_command
from trtconv.engine import backends

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.skipif(backends.import_backend("tensorrt") is not None, reason="shows a machine without TensorRT")
def test_the_session_in_the_readme_is_a_real_one(tmp_path: Path) -> None:
    (session,) = re.findall(r"```\n(\$ .*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    steps = re.findall(r"^\$ (.*)\n((?:[^$].*\n|\n)*)", session, re.MULTILINE)
    assert len(steps) > 2
    for command, shown in steps:
        words = shlex.split(command)
        words[:1] = [sys.executable] if words[0] == "python" else [sys.executable, "-m", words[0]]
        result = run_command(words, cwd=tmp_path)
        assert result.exit_code == 0, result.stderr
        if shown:
            assert result.stdout == shown, command
