"""Run a function in a forked child whose memory and time are limited: what it takes follows from numbers in a file."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import resource
import select
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NO_MEMORY, _FAILED = 97, 98  # exit codes of the child
_TIMES_WALL = 20  # a child that waits for a lock, or for the CPU of a busy machine, is ended too
_POLL_SECONDS = 0.002
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class OutOfLimitsError(Exception):
    """Why a bounded call gave no result, as the end of a sentence: "it needs more than 512 MiB"."""


def run_bounded(work: Callable[[], Result], max_bytes: int, max_seconds: int) -> Result:
    """Return what `work` returns, which can be pickled; it runs in a copy of this process and changes nothing here.

    Raises OutOfLimitsError when it takes more memory, in bytes, or more seconds of CPU time than allowed, or ends its
    process by a signal. What `work` itself raises comes through.
    """
    results = os.memfd_create("trtconv-bounded")
    try:
        child = _fork()
        if child == 0:
            _be_child(work, results, max_bytes, max_seconds)
        status = _wait(child, max_seconds * _TIMES_WALL)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) in (0, _FAILED):
            os.lseek(results, 0, os.SEEK_SET)
            with os.fdopen(os.dup(results), "rb") as file:
                value = pickle.load(file)
            if os.WEXITSTATUS(status) == _FAILED:
                raise value
            result: Result = value
            return result
    finally:
        os.close(results)
    raise OutOfLimitsError(_reason(status, max_bytes, max_seconds))


def _fork() -> int:
    """Copy this process; the copy collects nothing of what it was born with.

    Garbage may hold a session of ONNX Runtime, whose end waits for threads that only the parent has.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():  # Python warns of forks beside threads: the child takes no lock of another one
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            gc.freeze()
        return child
    finally:
        if collects:
            gc.enable()


def _be_child(work: Callable[[], Any], results: int, max_bytes: int, max_seconds: int) -> None:
    exit_code = _NO_MEMORY
    try:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE_BYTES
        _limit(resource.RLIMIT_AS, in_use + max_bytes)
        _limit(resource.RLIMIT_CPU, max_seconds)
        _limit(resource.RLIMIT_CORE, 0)
        try:
            value, code = work(), 0
        except MemoryError:
            raise
        except Exception as error:
            value, code = error, _FAILED
        with os.fdopen(results, "wb") as file:
            pickle.dump(value, file)
        exit_code = code
    finally:
        os._exit(exit_code)


def _limit(kind: int, amount: int) -> None:
    """Lower a limit of this process; one that is lower already stays."""
    soft, hard = resource.getrlimit(kind)
    limits = [amount, *(each for each in (soft, hard) if each != resource.RLIM_INFINITY)]
    resource.setrlimit(kind, (min(limits), hard))


def _wait(child: int, max_seconds: float) -> int:
    """Wait for a child, end it when its time is over or this process is interrupted, and return its status."""
    try:
        end = time.monotonic() + max_seconds
        while not _has_ended(child, end - time.monotonic()) and time.monotonic() < end:
            pass
    except BaseException:
        _end(child)
        raise
    return _end(child)


def _has_ended(child: int, seconds: float) -> bool:
    """Wait for the end of a child, at most about so many seconds, and say whether it came."""
    try:
        descriptor = os.pidfd_open(child)
    except OSError:  # sandboxed kernels may have no such descriptors
        time.sleep(_POLL_SECONDS)
        return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    with contextlib.closing(os.fdopen(descriptor, "rb", buffering=0)):
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(max(0.0, seconds) * 1000))


def _end(child: int) -> int:
    """Return the status of a child that has ended; else end it by force."""
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended == 0:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return status


def _reason(status: int, max_bytes: int, max_seconds: int) -> str:
    if os.WIFEXITED(status):
        return f"it needs more than {max_bytes >> 20} MiB"
    number = os.WTERMSIG(status)
    if number in (signal.SIGXCPU, signal.SIGKILL):
        return f"it takes more than {max_seconds} seconds"
    return f"it crashes ({signal.Signals(number).name})"
