"""The worker's end: it tells its parent which step it is in and how it ended, and ends when its parent does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from trtconv import interrupts

if TYPE_CHECKING:
    import socket

STEP, LIMITS, END = "step", "limits", "end"
_ORPHAN_SECONDS = 5.0

_channel: socket.socket | None = None
_lock = threading.Lock()


def enter_worker(channel: socket.socket, native: int, folder: str) -> None:
    """Make this process a worker: say which step it is in, and let native libraries print into the pipe `native`.

    What Python prints goes where it went. Without its parent the worker ends, and removes `folder`, which holds its
    temporary files ("" for none).
    """
    global _channel
    from trtconv.progress import listen  # the parent, which imports this module, too, does without

    channel.set_inheritable(False)
    _channel = channel
    interrupts.raise_interrupts()
    listen(lambda step: tell(STEP, list(vars(step).values())))
    threading.Thread(target=_end_with_parent, args=(channel, folder), name="trtconv-parent", daemon=True).start()
    messages = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)
    sys.stderr.flush()
    sys.stderr = messages
    sys.__dict__["__stderr__"] = messages  # rich asks this one for the width of the terminal
    for descriptor in (1, 2):
        os.dup2(native, descriptor)
    os.close(native)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, interrupts.SIGNALS)


def is_worker() -> bool:
    """Say whether this process is a worker."""
    return _channel is not None


def tell_end(exit_code: int) -> None:
    """Tell the parent, if this is a worker, that it ends by itself and with which exit code."""
    tell(END, exit_code)


def tell(kind: str, value: Any) -> None:
    """Tell the parent, if this is a worker, something in the types of JSON; threads may do so at the same time."""
    if _channel is not None:
        with contextlib.suppress(OSError), _lock:
            _channel.sendall(json.dumps([kind, value]).encode() + b"\n")


def _end_with_parent(channel: socket.socket, folder: str) -> None:
    with contextlib.suppress(OSError):
        channel.recv(1)  # the parent never writes: it is gone
    _remove(folder)  # before the signal, after which this thread may have no time left
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_ORPHAN_SECONDS)
    _remove(folder)
    os._exit(interrupts.EXIT_CODE)


def _remove(folder: str) -> None:
    """Remove the folder of temporary files, which the parent would have removed."""
    if folder:
        import shutil  # which only an orphan needs

        shutil.rmtree(folder, ignore_errors=True)
