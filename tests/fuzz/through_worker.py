"""Give files to the command line with its real worker process, without starting Python anew for each.

Parent and worker are forks of a process that has imported everything; pipes, limits, signals and exit codes between the
two are the real ones.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from tests.fuzz.replaying import complaint_of
from tests.fuzz.running import PASSED, REFUSED, End
from tests.fuzz.targets import Target
from trtconv import cli
from trtconv.cli import worker as worker_program
from trtconv.workers import parent


class ForkedProcess:
    """What the parent uses of `subprocess.Popen`, for a fork of this process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, at most so many seconds."""
        end = time.monotonic() + (timeout or 3600)
        while self.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        return self.returncode or 0

    def send_signal(self, number: int) -> None:
        """Send a signal to a process that has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def start_fork(
    module: str, args: Sequence[str], descriptors: tuple[int, int], environment: dict[str, str], *, has_streams: bool
) -> ForkedProcess:
    """Stand for `parent._start`: fork the worker where it would start Python."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.environ.update(environment)
        sys.argv = ["worker", *map(str, descriptors), *args]
        _end_with(worker_program.main)
    return ForkedProcess(pid)


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
    complaint = complaint_of(exit_code, text)
    if complaint is not None:
        return complaint.splitlines()[0], complaint
    return (REFUSED if exit_code else PASSED), ""


def _be_command(words: list[str]) -> NoReturn:
    replaced: Any = parent
    replaced._start = start_fork
    sys.argv = [cli.PROGRAM, *words]
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    _end_with(cli.main)


def _end_with(main: Any) -> NoReturn:
    """Run a `main()` to its end, and end this process as Python would."""
    code: Any = 70
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
