"""The process's streams: reports on standard output, everything else on standard error."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from trtconv.display import printable, printable_lines
from trtconv.errors import BackendError, Interrupted, TrtconvError
from trtconv.workers import parent, worker

if TYPE_CHECKING:
    from trtconv.progress import Progress

QUIET = "quiet"  # what a worker tells of its command line
_FINISHED = (0, 1)  # exit codes of work that came to its end
_SHOW_CURSOR = "\r\x1b[K\x1b[?25h"  # which progress bars had hidden, on a line of its own


def leave(exit_code: int) -> NoReturn:
    """End the process at once: an abandoned build, or a stream that cannot be written, must not hold it up."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    worker.tell_end(exit_code)
    os._exit(exit_code)


class _ReportOutput(io.FileIO):
    """Standard output. That a reader has left is ignored; any other failure is raised once, and the rest is dropped."""

    _is_lost = False

    def write(self, data: Any, /) -> int:
        """Write bytes. Raises BackendError the first time that they cannot be written."""
        if not self._is_lost:
            try:
                return super().write(data)
            except BrokenPipeError:
                self._is_lost = True
            except OSError as error:
                self._is_lost = True
                raise BackendError(f"standard output cannot be written: {error.strerror}") from error
        return len(memoryview(data).cast("B"))


def open_standard_streams() -> None:
    """Give standard output to reports alone: native libraries that print there (onnx's checker does) go to stderr."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: without this the next opened file would stand in its place
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115
    with contextlib.suppress(OSError, AttributeError, ValueError):  # no real files, as in a test
        sys.stdout.flush()
        output = _ReportOutput(os.dup(sys.stdout.fileno()), "w")
        report_stream = io.TextIOWrapper(
            io.BufferedWriter(output), sys.stdout.encoding, errors="replace", line_buffering=output.isatty()
        )
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        sys.stdout = report_stream


def print_report(report: Any, as_json: bool, quiet: bool = False, **options: Any) -> None:
    if quiet and not as_json:
        return
    text = json.dumps(report.to_json(), indent=2) if as_json else report.render(**options)
    color = bool(options.get("color")) and not as_json
    text = printable_lines(text, color=color)
    print(text, flush=True)


def run_isolated(args: Sequence[str]) -> int:
    """Run the command line in a worker process and return its exit code.

    What native libraries printed follows, unless the worker says that the command is to be quiet.
    """
    is_quiet = False

    def hear(kind: str, value: Any) -> None:
        nonlocal is_quiet
        is_quiet = value if kind == QUIET else is_quiet

    try:
        end = parent.run_worker("trtconv.cli.worker", args, hear_more=hear)
    except Interrupted:
        raise
    except TrtconvError:
        with contextlib.suppress(OSError):
            if sys.stderr.isatty():
                sys.stderr.write(_SHOW_CURSOR)
        raise
    is_told = end.exit_code in _FINISHED and not is_quiet  # an error says itself what went wrong
    if is_told or "--debug" in args:
        for line in end.printed.splitlines():
            print_log(line)
    return end.exit_code


@contextlib.contextmanager
def silenced_libraries() -> Iterator[None]:
    """Drop what native libraries print by themselves; what Python prints goes where it went."""
    sys.stderr.flush()
    before, descriptors = sys.stderr, {number: os.dup(number) for number in (1, 2)}
    messages = os.fdopen(os.dup(2), "w", buffering=1, encoding=before.encoding, errors=before.errors)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        sys.stderr = messages
        for number in descriptors:
            os.dup2(sink, number)
        yield
    finally:
        messages.flush()
        sys.stderr = before
        for number, copy in descriptors.items():
            os.dup2(copy, number)
            os.close(copy)
        os.close(sink)


def print_log(message: str) -> None:
    """Print a message of a library on one line of standard error."""
    with contextlib.suppress(OSError):  # nobody reads it: no reason to stop a build
        print(printable(message), file=sys.stderr, flush=True)


@contextlib.contextmanager
def shown_progress(quiet: bool, plain: bool, label: str = "building") -> Iterator[Progress]:
    from trtconv.displays import BarProgress, PlainProgress
    from trtconv.progress import NoProgress

    if quiet:
        yield NoProgress()
        return
    is_plain = plain or not sys.stderr.isatty()
    with PlainProgress(sys.stderr, label=label) if is_plain else BarProgress(sys.stderr) as display:
        yield display
