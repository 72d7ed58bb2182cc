"""Work in a forked child, which has limits: its result or its error, and what ends it."""

from __future__ import annotations

import errno
import gc
import os
import signal
from collections.abc import Callable

import pytest

from trtconv.errors import ConfigError
from trtconv.model.bounded import OutOfLimitsError, run_bounded

TINY_LIMIT = 64 << 20


def test_bounded_work_collects_nothing_that_was_left_before() -> None:
    """Garbage may hold sessions of ONNX Runtime, whose threads the copied process does not have."""

    class Trap:
        def __init__(self) -> None:
            self.itself, self.process = self, os.getpid()

        def __del__(self) -> None:
            if os.getpid() != self.process:
                os._exit(9)

    Trap()
    assert run_bounded(lambda: gc.collect() * 0, TINY_LIMIT, 10) == 0


def test_bounded_work_gives_its_result_or_its_error() -> None:
    assert run_bounded(lambda: ("done", os.getpid()), TINY_LIMIT, 10) != ("done", os.getpid())

    def fail() -> None:
        raise ConfigError("wrong", hint="right")

    with pytest.raises(ConfigError, match="wrong"):
        run_bounded(fail, TINY_LIMIT, 10)


def test_bounded_work_ends_where_the_kernel_has_no_process_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert run_bounded(lambda: "done", TINY_LIMIT, 10) == "done"
    with pytest.raises(OutOfLimitsError, match="takes more than 1 seconds"):
        run_bounded(endless, TINY_LIMIT, 1)


def endless() -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (lambda: bytearray(TINY_LIMIT * 64), "needs more than 64 MiB"),
        (endless, "takes more than 1 seconds"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), r"crashes \(SIGSEGV\)"),
    ],
)
def test_bounded_work_that_goes_beyond(work: Callable[[], object], reason: str) -> None:
    with pytest.raises(OutOfLimitsError, match=reason):
        run_bounded(work, TINY_LIMIT, 1)
