"""What TensorRT says: its errors kept for the report, the rest handed on."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from trtconv.engine.backends import NO_GPU_HINT, Backend
from trtconv.engine.tensorrt_words import without_consequences
from trtconv.errors import BackendError

_ERRORS = ("error", "internal_error")


class Log:
    """What TensorRT says during one piece of work: its errors are kept, everything but VERBOSE goes to `log`.

    `native` is the logger that TensorRT is given. There is one for each module, which lives as long as the process:
    the registry goes on writing to the first logger that it met, after its builder and runtime are gone, and a logger
    that Python has collected by then crashes the process. What it hears is told to every Log that is still in use.
    """

    def __init__(self, native: Any, log: Callable[[str], None] | None) -> None:
        self.native = native
        self.errors: list[str] = []
        self._log = log

    def hear(self, level: str, message: str) -> None:
        """Take a message. `level` is TensorRT's word in lower case."""
        if level in _ERRORS:
            self.errors.append(message)
        if self._log is not None and level != "verbose":
            self._log(f"{level}: {message}")

    def hand_on(self, printed: Sequence[str]) -> None:
        """Hand on what TensorRT printed past its logger."""
        if self._log is not None:
            for line in printed:
                self._log(f"printed: {line}")

    def first_error(self) -> str:
        """Return what went wrong first."""
        return next(iter(self._causes()), "TensorRT gave no reason")

    def last_error(self) -> str:
        """Return what went wrong last."""
        return ([*self._causes()] or ["TensorRT gave no reason"])[-1]

    def _causes(self) -> list[str]:
        return [" ".join(message.split()) for message in without_consequences(self.errors)]


# By the id of the module, which is kept with it. Never emptied: TensorRT holds these loggers by their addresses.
_natives: dict[int, tuple[Any, Any]] = {}
_lock = threading.Lock()


def make_logger(trt: Any, log: Callable[[str], None] | None) -> Log:
    """Return the log of one piece of work with a TensorRT module."""
    with _lock:
        if id(trt) not in _natives:
            _natives[id(trt)] = trt, _make_native(trt)
    native = _natives[id(trt)][1]
    made = Log(native, log)
    native.add(made)
    return made


def _make_native(trt: Any) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]
        """Tells every Log that is in use; TensorRT calls it from threads of its own, too."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._heard_by: list[weakref.ref[Log]] = []

        def add(self, log: Log) -> None:
            with _lock:
                self._heard_by = [each for each in self._heard_by if each() is not None] + [weakref.ref(log)]

        def log(self, level: Any, message: str) -> None:
            for each in list(self._heard_by):
                listener = each()
                if listener is not None:
                    listener.hear(level.name.lower(), message)

    return Logger()


def create(make: Callable[[], Any], what: str, backend: Backend, logger: Log) -> Any:
    """Call a TensorRT factory; its bindings answer a failure with None or with a TypeError."""
    try:
        made = make()
    except TypeError:
        made = None
    if made is None:
        raise BackendError(f"{backend.title} cannot create {what}: {logger.last_error()}", hint=NO_GPU_HINT)
    return made
