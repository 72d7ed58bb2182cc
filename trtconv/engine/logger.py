"""What TensorRT says: its errors kept for the report, the rest handed on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trtconv.engine.backends import NO_GPU_HINT, Backend
from trtconv.engine.tensorrt_words import without_consequences
from trtconv.errors import BackendError


def make_logger(trt: Any, log: Callable[[str], None] | None) -> Any:
    """Return a TensorRT logger that keeps errors and hands everything but VERBOSE to `log`."""
    severity = trt.ILogger.Severity

    class Logger(trt.ILogger):  # type: ignore[misc]
        """Keeps errors for the report, hands everything else to `log`."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, level: Any, message: str) -> None:
            if level in (severity.ERROR, severity.INTERNAL_ERROR):
                self.errors.append(message)
            if log is not None and level != severity.VERBOSE:
                log(f"{level.name.lower()}: {message}")

        def hand_on(self, printed: Sequence[str]) -> None:
            """Hand on what TensorRT printed past its logger."""
            if log is not None:
                for line in printed:
                    log(f"printed: {line}")

        def first_error(self) -> str:
            return next(iter(self._causes()), "TensorRT gave no reason")

        def last_error(self) -> str:
            return ([*self._causes()] or ["TensorRT gave no reason"])[-1]

        def _causes(self) -> list[str]:
            return [" ".join(message.split()) for message in without_consequences(self.errors)]

    return Logger()


def create(make: Callable[[], Any], what: str, backend: Backend, logger: Any) -> Any:
    """Call a TensorRT factory; its bindings answer a failure with None or with a TypeError."""
    try:
        made = make()
    except TypeError:
        made = None
    if made is None:
        raise BackendError(f"{backend.title} cannot create {what}: {logger.last_error()}", hint=NO_GPU_HINT)
    return made
