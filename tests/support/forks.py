"""Forks that stand for new Python processes: how one begins, and how it ends as Python would end it."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from trtconv import child_processes
from trtconv.workers import parent

_STREAMS = (("stdin", "r", "strict"), ("stdout", "w", "strict"), ("stderr", "w", "backslashreplace"))


class ForkedProcess:
    """What trtconv uses of `subprocess.Popen`, for a fork of this process."""

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
        """Wait for the end, at most `timeout` seconds."""
        end = time.monotonic() + (timeout or 3600)
        while self.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        return self.returncode or 0

    def send_signal(self, number: int) -> None:
        """Send a signal to a process that has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def fork_workers() -> None:
    """Let trtconv fork its workers from this process instead of starting Python for each."""
    replaced: Any = parent
    replaced._start = _start_fork


def open_streams(streams: Sequence[int]) -> None:
    """Make three descriptors the standard input, output and error stream of this process."""
    for number, (descriptor, (name, mode, errors)) in enumerate(zip(streams, _STREAMS, strict=True)):
        os.dup2(descriptor, number)
        is_line_buffered = name == "stderr" or os.isatty(number)
        stream = open(number, mode, 1 if is_line_buffered else -1, errors=errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def end_with(main: Callable[[], object]) -> NoReturn:
    """Call `main`, and end this process as Python would after it."""
    atexit._clear()  # what the process that was forked wants done at its own end
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if code and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = 1
    try:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    finally:
        os._exit(code)


def _start_fork(
    module: str, args: Sequence[str], descriptors: tuple[int, int], environment: dict[str, str], *, has_streams: bool
) -> ForkedProcess:
    """Stand for `parent._start`: run in a fork what the new Python would run."""
    _, entry, *words = _after(child_processes.module_command(module, *map(str, descriptors), *args), "-c")
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        if has_streams:
            open_streams([stream.fileno() for stream in (sys.stdin, sys.stdout, sys.stderr)])
        else:
            open_streams((os.open(os.devnull, os.O_RDONLY), descriptors[1], descriptors[1]))
        close_all_but((0, 1, 2, *descriptors))
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["-c", *words]
        end_with(lambda: exec(entry, {"__name__": "__main__"}))
    return ForkedProcess(pid)


def _after(words: Sequence[str], first: str) -> Sequence[str]:
    return words[words.index(first) :]


def close_all_but(kept: Sequence[int]) -> None:
    """Close the descriptors that a new process would not inherit."""
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor not in kept:
            with contextlib.suppress(OSError):  # the one of the folder that was listed
                os.close(descriptor)
