"""Do a command's work in a worker process: a library that crashes there takes no answer along.

The parent imports neither onnx nor ONNX Runtime. It starts the worker on its own terminal, hands signals on, hears
which step the worker is in, and keeps what native libraries print, so that a crash is told in words. What it needs for
that is imported late: `trtconv --help` does without.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from trtconv.display import printable
from trtconv.errors import BackendError, Interrupted
from trtconv.progress import listen

if TYPE_CHECKING:
    import socket
    import subprocess

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_POLL_MS = 100
# The worker cancels a build within 1.5 s. One that hangs is ended by force: Ctrl-C must work within 2 s.
_INTERRUPT_SECONDS = 1.8
# Ctrl-C reaches the worker twice, from the terminal and from its parent.
_SAME_INTERRUPT_SECONDS = 0.5
_ORPHAN_SECONDS = 5.0
_MAX_PRINTED_BYTES = 1 << 16
_MAX_TAIL_LINES, _MAX_TAIL_CHARS = 3, 600
_STEP, _END = "step", "end"
# The current folder is never imported from: -P does so from Python 3.11 on, the second line before.
_SAFE_PATH = ("-P",) if sys.version_info >= (3, 11) else ()
_ENTRY = """import sys
sys.path[:] = [place for place in sys.path if place]
if {root!r} not in sys.path: sys.path.insert(0, {root!r})
from {module} import main
main()
"""
_CRASH_HINT = "a library that trtconv uses crashed on this model: change the node that it names, or report the model"
_KILLED_HINT = "for lack of memory, perhaps: use smaller shapes, or a machine with more memory"


@dataclass(frozen=True)
class WorkerEnd:
    """How a worker ended by itself: its exit code, and what native libraries printed."""

    exit_code: int
    printed: str


@dataclass
class _Heard:
    """What the parent knows of a running worker."""

    step: str = "starting"
    exit_code: int | None = None
    interrupted_at: float | None = None
    printed: bytes = b""
    unread: bytes = field(default=b"", repr=False)

    def hear(self, data: bytes) -> None:
        *lines, self.unread = (self.unread + data).split(b"\n")
        for line in lines:
            kind, value = json.loads(line)
            if kind == _STEP:
                self.step = value
            else:
                self.exit_code = value

    def keep(self, data: bytes) -> None:
        self.printed = (self.printed + data)[-_MAX_PRINTED_BYTES:]


# The parent. ----------------------------------------------------------------------------------------------------------


def can_isolate() -> bool:
    """Say whether a worker can take this process's place: there is a Python to start and there are real streams."""
    try:
        return bool(sys.executable) and all(stream.fileno() >= 0 for stream in (sys.stdin, sys.stdout, sys.stderr))
    except (AttributeError, OSError, ValueError):
        return False


def run_worker(module: str, args: Sequence[str]) -> WorkerEnd:
    """Run `main()` of a module in a worker with these arguments, and wait for its end.

    Raises BackendError when the worker crashed or was killed, Interrupted when it was interrupted before it could say
    so.
    """
    import socket

    heard = _Heard()
    channel, theirs = socket.socketpair()
    printed, native = os.pipe()
    with contextlib.ExitStack() as stack:
        stack.enter_context(channel)
        stack.callback(os.close, printed)
        with theirs, _closing(native), _blocked_signals():
            process = _start(module, args, (theirs.fileno(), native))
            stack.enter_context(_handing_on_signals(process, heard))
        _watch(process, channel, printed, heard)
    return _end_of(process.returncode, heard)


def _start(module: str, args: Sequence[str], descriptors: tuple[int, int]) -> subprocess.Popen[bytes]:
    import subprocess

    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    entry = _ENTRY.format(root=str(Path(__file__).resolve().parents[1]), module=module)
    command = [sys.executable, *flags, *_SAFE_PATH, "-c", entry, *map(str, descriptors), *args]
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        return subprocess.Popen(
            command, stdin=sys.stdin.fileno(), stdout=sys.stdout.fileno(), stderr=sys.stderr.fileno(),
            pass_fds=descriptors,
        )  # fmt: skip
    except OSError as error:
        what = f"no worker process can be started: {error.strerror or error}"
        raise BackendError(what, hint="free some memory, or use --no-isolate") from None


def _watch(process: subprocess.Popen[bytes], channel: socket.socket, printed: int, heard: _Heard) -> None:
    """Hear the worker until it has ended; one that does not answer an interrupt is ended by force."""
    import select
    import subprocess

    os.set_blocking(printed, False)
    poller = select.poll()
    poller.register(channel, select.POLLIN)
    poller.register(printed, select.POLLIN)
    while process.poll() is None:
        for descriptor, _ in poller.poll(_POLL_MS):
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
        if heard.interrupted_at is not None and time.monotonic() - heard.interrupted_at > _INTERRUPT_SECONDS:
            process.kill()
    channel.setblocking(False)
    while data := _read(channel.fileno()):
        heard.hear(data)
    while data := _read(printed):
        heard.keep(data)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:
        return b""


def _end_of(returncode: int, heard: _Heard) -> WorkerEnd:
    printed = heard.printed.decode(errors="backslashreplace")
    if heard.exit_code is not None:
        return WorkerEnd(heard.exit_code, printed)
    if heard.interrupted_at is not None or returncode in (Interrupted.exit_code, *(-number for number in _SIGNALS)):
        raise Interrupted("interrupted")
    if returncode == -signal.SIGKILL:
        raise BackendError(f"was killed from outside (SIGKILL) while {heard.step}", hint=_KILLED_HINT)
    what = f"crashed while {heard.step}: {_cause_of(returncode)}"
    tail = _tail_of(printed)
    raise BackendError(f"{what}: {tail}" if tail else what, hint=_CRASH_HINT)


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


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    """Hold signals back until parent and worker, which inherits this, have their handlers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _handing_on_signals(process: subprocess.Popen[bytes], heard: _Heard) -> Iterator[None]:
    """Hand signals on to the worker, but for those that this process was told to ignore."""

    def hand_on(number: int, frame: FrameType | None) -> None:
        heard.interrupted_at = heard.interrupted_at or time.monotonic()
        process.send_signal(number)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, hand_on)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])


# The worker. ----------------------------------------------------------------------------------------------------------

_channel: socket.socket | None = None
_last_interrupt = -_SAME_INTERRUPT_SECONDS


def enter_worker(channel: int, native: int) -> None:
    """Make this process a worker: say which step it is in, and let native libraries print into the pipe `native`.

    What Python prints goes where it went. Without its parent the worker ends.
    """
    import socket

    global _channel
    for descriptor in (channel, native):
        os.set_inheritable(descriptor, False)
    _channel = socket.socket(fileno=channel)
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    listen(lambda step: _tell(_STEP, step))
    threading.Thread(target=_end_with_parent, args=(_channel,), name="trtconv-parent", daemon=True).start()
    messages = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)
    sys.stderr.flush()
    sys.stderr = messages
    sys.__dict__["__stderr__"] = messages  # rich asks this one for the width of the terminal
    for descriptor in (1, 2):
        os.dup2(native, descriptor)
    os.close(native)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def tell_end(exit_code: int) -> None:
    """Tell the parent, if this is a worker, that it ends by itself and with which exit code."""
    _tell(_END, exit_code)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; in a worker, once for signals that mean one interrupt."""
    global _last_interrupt
    before, _last_interrupt = _last_interrupt, time.monotonic()
    if _channel is None or _last_interrupt - before >= _SAME_INTERRUPT_SECONDS:
        raise KeyboardInterrupt


def _tell(kind: str, value: Any) -> None:
    if _channel is not None:
        with contextlib.suppress(OSError):
            _channel.sendall(json.dumps([kind, value]).encode() + b"\n")


def _end_with_parent(channel: socket.socket) -> None:
    with contextlib.suppress(OSError):
        channel.recv(1)  # the parent never writes: it is gone
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_ORPHAN_SECONDS)
    os._exit(Interrupted.exit_code)
