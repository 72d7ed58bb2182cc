"""The command line: options in, reports out. It translates and decides nothing; only this package knows click.

The process that a user starts hands most commands over to a worker at once, and imports no more than that takes:
`program`, with the commands themselves, is imported where they are parsed and run.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from trtconv import child_processes, interrupts
from trtconv.cli.console import leave, open_standard_streams, run_isolated
from trtconv.display import printable, printable_lines
from trtconv.errors import BackendError, Interrupted, TrtconvError
from trtconv.workers.parent import can_isolate

PROGRAM = "trtconv"
NO_ISOLATE = "--no-isolate"
# Commands whose work foreign libraries do, which may crash or take all memory: those with the option above.
ISOLATED = frozenset({"build", "compare", "reduce", "run", "bench", "rewrite", "inspect", "doctor"})
_COMPLETE_VARIABLE = "_TRTCONV_COMPLETE"  # a shell asks for its completion script, or for what may follow


class _DefectError(TrtconvError):
    """A defect of trtconv itself, none of the documented outcomes."""

    exit_code = 70  # EX_SOFTWARE


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process with the exit code that docs/guide.md documents.

    Without `args` it is the process's own command line, whose work a worker process does.
    """
    words = sys.argv[1:] if args is None else args
    end: Callable[[int], NoReturn] = sys.exit
    try:
        interrupts.raise_interrupts()
        open_standard_streams()
        if args is None and _is_isolated(words):
            exit_code, end = run_isolated(words), child_processes.end
        else:
            exit_code = _run_here(words)
        interrupts.ignore()
        sys.stdout.flush()
    except KeyboardInterrupt:
        _fail(Interrupted("interrupted"), words)
    except TrtconvError as error:
        _fail(error, words)
    except MemoryError as error:
        what = f"out of memory: {error}" if str(error) else "out of memory"
        _fail(BackendError(what, hint="use smaller shapes, or a machine with more memory"), words, error)
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        hint = "run again with --debug and report it"
        _fail(_DefectError(what, where="a defect of trtconv", hint=hint), words, error)
    try:
        sys.stderr.flush()
    except OSError:  # a full or closed standard error: Python would end with 120
        leave(exit_code)
    end(exit_code)


def _is_isolated(words: Sequence[str]) -> bool:
    """Say whether a worker parses and runs this command line."""
    is_asked = words[:1] and words[0] in ISOLATED and NO_ISOLATE not in words
    return bool(is_asked) and not os.environ.get(_COMPLETE_VARIABLE) and can_isolate()


def _run_here(words: list[str]) -> int:
    """Parse a command line in this process, do its work and return its exit code."""
    from trtconv.cli import program

    if os.environ.get(_COMPLETE_VARIABLE):
        program.complete(PROGRAM, _COMPLETE_VARIABLE)
    return program.run(words, PROGRAM)


def _fail(error: TrtconvError, words: Sequence[str], cause: Exception | None = None) -> NoReturn:
    """Print an error in the documented form and end the process."""
    if interrupts.was_interrupted() and not isinstance(error, Interrupted):  # an import makes an ImportError of it
        error = Interrupted("interrupted")
    interrupts.ignore()
    lines = [f"error: {printable(str(error))}"]
    if "--debug" in words:
        import traceback  # which only this needs

        lines[:0] = [printable_lines("".join(traceback.format_exception(cause or error)).rstrip())]
    if isinstance(error, Interrupted) and sys.stderr.isatty():
        lines[:0] = [""]  # below the ^C that a terminal shows
    if error.hint:
        lines.append(f"hint: {printable(error.hint)}")
    document = {"error": {"what": error.what, "where": error.where, "hint": error.hint, "exit_code": error.exit_code}}
    try:
        print(*lines, sep="\n", file=sys.stderr, flush=True)
        if "--json" in words:
            print(json.dumps(document, indent=2))
        sys.stdout.flush()
    except (OSError, TrtconvError):  # of standard error, of standard output
        leave(error.exit_code)
    if isinstance(error, Interrupted):
        leave(error.exit_code)
    sys.exit(error.exit_code)
