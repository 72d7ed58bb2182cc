"""Give files to the command line with its real worker process, without starting Python anew for each.

Parent and worker are forks of a process that has imported everything; pipes, limits, signals and exit codes between the
two are the real ones.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from tests.fuzz.replaying import complaint_of
from tests.fuzz.running import PASSED, REFUSED, End
from tests.fuzz.targets import Target
from tests.support import forks
from trtconv import cli


def run(target: Target, path: Path) -> End:
    """Run the command line of a target in this process and a worker, and say how that ended."""
    assert target.command is not None
    words = [word.format(file=path, folder=path.parent) for word in target.command]
    with tempfile.TemporaryFile() as errors:
        pid = os.fork()
        if pid == 0:
            os.dup2(errors.fileno(), 2)
            _be_command(words)
        exit_code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        errors.seek(0)
        text = errors.read().decode(errors="backslashreplace")
    complaint = complaint_of(target.command[0], exit_code, text)
    if complaint is not None:
        return complaint.splitlines()[0], complaint
    has_error = any(line.startswith("error: ") for line in text.splitlines())
    return (REFUSED if exit_code and has_error else PASSED), ""


def _be_command(words: list[str]) -> NoReturn:
    forks.fork_workers()
    sys.argv = [cli.PROGRAM, *words]
    forks.open_streams((0, 1, 2))
    forks.end_with(cli.main)
