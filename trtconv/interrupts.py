"""Ctrl-C and SIGTERM: what they do to a command, from its first import to its last line."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from types import FrameType

from trtconv.errors import Interrupted

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import NoReturn

EXIT_CODE = Interrupted.exit_code
SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Ctrl-C reaches a worker twice, from the terminal and from its parent.
_SAME_INTERRUPT_SECONDS = 0.5
_MESSAGE = "error: interrupted\n"
_DOCUMENT = '{"error": {"what": "interrupted", "where": null, "hint": null, "exit_code": 130}}\n'

_last_interrupt: float | None = None


def end_at_once() -> None:
    """Let signals end this process without a traceback while nothing but imports is under way."""
    _handle(leave)


def raise_interrupts() -> None:
    """Let signals raise KeyboardInterrupt."""
    _handle(raise_interrupt)
    sys.unraisablehook = _tell_others


def _tell_others(problem: sys.UnraisableHookArgs) -> None:
    """Say nothing of an interrupt that was raised where Python lets nothing through: `was_interrupted` knows of it."""
    if not isinstance(problem.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(problem)


def ignore() -> None:
    """Let signals do nothing: the work is done, and only the interpreter's end is left."""
    _handle(signal.SIG_IGN)


def was_interrupted() -> bool:
    """Say whether a signal came, whatever became of the exception: an import may turn it into an ImportError."""
    return _last_interrupt is not None


def raise_interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, once for signals that mean one interrupt."""
    global _last_interrupt
    before, _last_interrupt = _last_interrupt, time.monotonic()
    if before is None or _last_interrupt - before >= _SAME_INTERRUPT_SECONDS:
        raise KeyboardInterrupt


def leave(number: int = signal.SIGINT, frame: FrameType | None = None) -> NoReturn:
    """End this process at once, with the line and the document of an interrupt."""
    begin = "\n" if number == signal.SIGINT and os.isatty(2) else ""  # a terminal shows ^C
    for descriptor, text in ((2, begin + _MESSAGE), (1, _DOCUMENT if "--json" in sys.argv else "")):
        with contextlib.suppress(OSError):  # a closed stream
            os.write(descriptor, text.encode())
    os._exit(EXIT_CODE)


def _handle(handler: object) -> None:
    """Set the handler of both signals, but for those that this process was told to ignore, as by nohup."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)  # type: ignore[arg-type]
