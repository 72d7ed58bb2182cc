"""The parent's end: start a worker and hand signals on to it. `watch` does the rest.

Users wait for the parent before the worker even starts: what it imports until then is little, all else comes while the
worker starts. It imports neither onnx nor ONNX Runtime.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from trtconv import child_processes
from trtconv.errors import BackendError
from trtconv.interrupts import SIGNALS

if TYPE_CHECKING:
    from trtconv.workers.limits import Limits
    from trtconv.workers.watch import Heard, WorkerEnd


def can_isolate() -> bool:
    """Say whether a worker can take this process's place: there is a Python to start and there are real streams."""
    try:
        return bool(sys.executable) and all(stream.fileno() >= 0 for stream in (sys.stdin, sys.stdout, sys.stderr))
    except (AttributeError, OSError, ValueError):
        return False


def run_worker(
    module: str,
    args: Sequence[str],
    limits: Limits | None = None,
    *,
    request: bytes | None = None,
    hear_more: Callable[[str, Any], None] | None = None,
) -> WorkerEnd:
    """Run `main()` of a module in a worker with these arguments, and wait for its end.

    The worker has the streams of this process; with a `request`, which it is sent, it has none, and what it prints is
    kept. `limits` hold until it tells others. Raises BackendError when the worker crashed, was killed or took more than
    its limits, ModelError when it did so while it read a model, Interrupted when it was interrupted before it could say
    so.
    """
    began = time.monotonic()
    channel, theirs = socket.socketpair()
    printed, native = os.pipe()
    with contextlib.ExitStack() as stack:
        stack.enter_context(channel)
        stack.callback(os.close, printed)
        with theirs, _closing(native), _blocked_signals():
            folder = stack.enter_context(_temporary_folder())
            environment = child_processes.environment() | ({"TMPDIR": folder} if folder else {})
            descriptors = (theirs.fileno(), native)
            process = _start(module, (folder, *args), descriptors, environment, has_streams=request is None)
            from trtconv.workers import watch  # while the worker starts

            stack.callback(watch.end, process)
            heard = watch.Heard.of(limits, began, hear_more)
            stack.enter_context(_handing_on_signals(process, heard))
        if request is not None:
            with contextlib.suppress(OSError):  # it is gone already
                channel.sendall(request)
        watch.watch(process, channel, printed, heard)
    return watch.end_of(process.returncode, heard)


def _start(
    module: str, args: Sequence[str], descriptors: tuple[int, int], environment: dict[str, str], *, has_streams: bool
) -> subprocess.Popen[bytes]:
    command = child_processes.module_command(module, *map(str, descriptors), *args)
    streams = (subprocess.DEVNULL, descriptors[1], descriptors[1])
    if has_streams:
        sys.stdout.flush()
        sys.stderr.flush()
        streams = (sys.stdin.fileno(), sys.stdout.fileno(), sys.stderr.fileno())
    stdin, stdout, stderr = streams
    try:
        return subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=descriptors, env=environment
        )  # fmt: skip
    except OSError as error:
        what = f"no worker process can be started: {error.strerror or error}"
        raise BackendError(what, hint="free some memory, or use --no-isolate") from None


@contextlib.contextmanager
def _temporary_folder() -> Iterator[str]:
    """Yield a folder for the temporary files of a worker: one that is killed leaves none.

    A worker whose parent is killed removes it itself. It is "" where none can be made.
    """
    try:
        folder = tempfile.mkdtemp(prefix="trtconv-")
    except OSError:  # there is no place for temporary files: the worker says so where it needs one
        yield ""
        return
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    """Hold signals back until parent and worker, which inherits this, have their handlers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _handing_on_signals(process: subprocess.Popen[bytes], heard: Heard) -> Iterator[None]:
    """Hand signals on to the worker, but for those that this process was told to ignore.

    Python lets the main thread alone handle signals: a worker of another thread gets those of the terminal only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def hand_on(number: int, frame: FrameType | None) -> None:
        heard.interrupted_at = heard.interrupted_at or time.monotonic()
        process.send_signal(number)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, hand_on)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])
