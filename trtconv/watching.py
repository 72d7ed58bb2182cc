"""Let a library do long work in a thread of its own: progress shows meanwhile, and Ctrl-C works."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

from trtconv.progress import Progress

Result = TypeVar("Result")

# How long cancelled work may take to end before it is abandoned: Ctrl-C must work within 2 s.
_CANCEL_SECONDS = 1.5
_TICK_SECONDS = 0.1


def watched(
    work: Callable[[], Result], progress: Progress, *, name: str, cancel: Callable[[], object] = lambda: None
) -> Result:
    """Return what `work` returns, or raise what it raises.

    Python hears Ctrl-C in its main thread alone, and not while a library computes there. `cancel` asks the work to end
    where the wait for it ends early. `name` is that of the thread, which holds what `work` refers to: work that was
    abandoned still reads it.
    """
    finished = threading.Event()  # Thread.join() forgets its thread when Ctrl-C interrupts it, before Python 3.13
    results: list[Result] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            failures.append(error)
        finally:
            finished.set()

    context = contextvars.copy_context()  # with those who hear the steps of this call
    thread = threading.Thread(target=context.run, args=(run,), name=name, daemon=True)
    try:
        thread.start()
        while not finished.wait(_TICK_SECONDS):
            progress.tick()
    except BaseException:
        cancel()
        finished.wait(_CANCEL_SECONDS)
        raise
    if failures:
        raise failures[0]
    return results[0]
