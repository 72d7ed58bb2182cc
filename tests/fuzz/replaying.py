"""Give a file to the command line, as a user does: there the documented exit codes and one `error:` line are wanted."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import Target, prepare_folder
from tests.support.command_line import environment

GOOD_EXIT_CODES = (0, 1, 2, 3, 4)
MAX_SECONDS = 120


def replay(target: Target, name: str, data: bytes) -> str | None:
    """Return how the command ended that was to end well, None where it did or no command takes this path."""
    if target.command is None:
        return None
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        prepare_folder(folder)
        (folder / name).write_bytes(data)
        words = [word.format(file=folder / name, folder=folder) for word in target.command]
        command = [sys.executable, "-m", "trtconv", *words]
        env = environment(HOME=os.path.join(text, "home"))
        try:
            done = subprocess.run(command, capture_output=True, env=env, timeout=MAX_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return f"no end in {MAX_SECONDS} s"
    return complaint_of(target.command[0], done.returncode, done.stderr.decode(errors="backslashreplace"))


def complaint_of(command: str, exit_code: int, stderr: str) -> str | None:
    """Return what is wrong with how a command ended, None where nothing is.

    Exit code 1 without an error says that models differ, which only `reduce` looks for.
    """
    if exit_code not in GOOD_EXIT_CODES:
        return f"exit code {exit_code}: {stderr[-500:]}"
    if "Traceback" in stderr:
        return f"traceback: {stderr[-500:]}"
    has_report = exit_code == 0 or (exit_code == 1 and command == "reduce")
    if not has_report and not any(line.startswith("error: ") for line in stderr.splitlines()):
        return f"exit code {exit_code} without an error: {stderr[-500:]}"
    return None
