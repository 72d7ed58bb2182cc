"""Watch a worker until it ends: hear it, hold it to its limits, and tell in words how it died."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trtconv.display import printable
from trtconv.errors import BackendError, Interrupted, ModelError, TrtconvError
from trtconv.interrupts import EXIT_CODE, SIGNALS
from trtconv.progress import Step
from trtconv.workers import family
from trtconv.workers.limits import Limits, Meter
from trtconv.workers.worker import END, LIMITS, STEP

_POLL_SECONDS = 0.1
# The worker cancels a build within 1.5 s. One that hangs is ended by force: Ctrl-C must work within 2 s.
_INTERRUPT_SECONDS = 1.8
_SAVING, _SAVING_SECONDS = "writing ", 60.0  # Ctrl-C ended a search, whose best engine is being written
_MAX_PRINTED_BYTES = 1 << 16
_MAX_TAIL_LINES, _MAX_TAIL_CHARS = 3, 600
_MODEL_HINT = "the model is damaged or crashes a library that reads it: export it again, or report the model"
_CRASH_HINT = "a library that trtconv uses crashed on this model: change the node that it names, or report the model"
_KILLED_HINT = "for lack of memory, perhaps: use smaller shapes, or a machine with more memory"


@dataclass(frozen=True)
class WorkerEnd:
    """How a worker ended by itself: its exit code, and what native libraries printed."""

    exit_code: int
    printed: str


@dataclass
class Heard:
    """What the parent knows of a running worker; `hear_more` gets what is told beyond steps and the end."""

    meter: Meter
    hear_more: Callable[[str, Any], None] | None = None
    exit_code: int | None = None
    excess: TrtconvError | None = None
    interrupted_at: float | None = None
    printed: bytes = b""
    unread: list[bytes] = field(default_factory=list, repr=False)

    @classmethod
    def of(cls, limits: Limits | None, began: float, hear_more: Callable[[str, Any], None] | None = None) -> Heard:
        """Return what is known of a worker that was started at the time `began`."""
        limits = limits or Limits()
        return cls(Meter(limits, limits.bytes_to_watch, began), hear_more)

    def hear(self, data: bytes) -> None:
        self.unread.append(data)
        if b"\n" not in data:
            return
        *lines, rest = b"".join(self.unread).split(b"\n")
        self.unread = [rest]
        for line in lines:
            kind, value = json.loads(line)
            if kind == STEP:
                self.meter.enter(Step(*value), time.monotonic())
            elif kind == LIMITS:
                self.meter.hold_to(Limits(*value))
            elif kind == END:
                self.exit_code = value
            elif self.hear_more is not None:
                self.hear_more(kind, value)

    def keep(self, data: bytes) -> None:
        self.printed = (self.printed + data)[-_MAX_PRINTED_BYTES:]


def watch(process: subprocess.Popen[bytes], channel: socket.socket, printed: int, heard: Heard) -> None:
    """Hear the worker until it has ended; end one that takes too much, or does not answer an interrupt, by force."""
    os.set_blocking(printed, False)
    poller = select.poll()
    poller.register(channel, select.POLLIN)
    poller.register(printed, select.POLLIN)
    measured_at = 0.0
    while process.poll() is None:
        for descriptor, _ in poller.poll(_POLL_SECONDS * 1000):
            is_channel = descriptor == channel.fileno()
            data = _read(descriptor)
            if not data:
                poller.unregister(descriptor)
            elif is_channel:
                heard.hear(data)
            else:
                heard.keep(data)
            if is_channel and not data:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_INTERRUPT_SECONDS)
        if time.monotonic() - measured_at >= _POLL_SECONDS:
            _hold_to_limits(process, heard)
            measured_at = time.monotonic()
    channel.setblocking(False)
    while data := _read(channel.fileno()):
        heard.hear(data)
    while data := _read(printed):
        heard.keep(data)


def _hold_to_limits(process: subprocess.Popen[bytes], heard: Heard) -> None:
    now = time.monotonic()
    if heard.exit_code is None and heard.excess is None:
        heard.excess = heard.meter.excess(family.held_bytes(process.pid), now)
    patience = _SAVING_SECONDS if heard.meter.step.name.startswith(_SAVING) else _INTERRUPT_SECONDS
    is_deaf = heard.interrupted_at is not None and now - heard.interrupted_at > patience
    if is_deaf or heard.excess is not None:
        family.kill(process.pid)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:
        return b""


def end_of(returncode: int, heard: Heard) -> WorkerEnd:
    printed = heard.printed.decode(errors="backslashreplace")
    if heard.exit_code is not None:
        return WorkerEnd(heard.exit_code, printed)
    if heard.interrupted_at is not None or returncode in (EXIT_CODE, *(-number for number in SIGNALS)):
        raise Interrupted("interrupted")
    tail = _tail_of(printed)
    if heard.excess is not None:
        heard.excess.what += f": {tail}" if tail else ""
        raise heard.excess
    step = heard.meter.step
    if returncode == -signal.SIGKILL:
        raise BackendError(f"was killed from outside (SIGKILL) while {step.name}", hint=_KILLED_HINT)
    what = f"crashed while {step.name}: {_cause_of(returncode)}"
    kind, hint = (ModelError, _MODEL_HINT) if step.is_of_model else (BackendError, _CRASH_HINT)
    raise kind(f"{what}: {tail}" if tail else what, hint=hint)


def _cause_of(returncode: int) -> str:
    if returncode >= 0:
        return f"the process ended with status {returncode}"
    name = next((each.name for each in signal.Signals if each == -returncode), f"signal {-returncode}")
    return f"{name} ({signal.strsignal(-returncode) or 'a signal'})"


def _tail_of(printed: str) -> str:
    """Return the last lines that were printed, as one line that does no harm to a terminal."""
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    text = printable(" | ".join([line for line in lines if line][-_MAX_TAIL_LINES:]))
    return text if len(text) <= _MAX_TAIL_CHARS else f"...{text[-_MAX_TAIL_CHARS:]}"


def end(process: subprocess.Popen[bytes]) -> None:
    """End a worker that still runs, because an error of this process's own ended the watch."""
    if process.returncode is None:
        family.kill(process.pid)
        process.wait()
