"""TensorRT keeps the first logger that it meets: it must outlive every build, and everybody must hear it."""

from __future__ import annotations

import gc
import threading
from types import SimpleNamespace

import pytest

from tests.support.command_line import run_python
from trtconv.engine.logger import make_logger

# Of two builders the first ends first; the registry then writes to the logger that the first builder came with.
_OVERLAPPING = """
import gc, tensorrt_rtx as trt
from trtconv.engine.logger import make_logger
first = make_logger(trt, None)
builder = trt.Builder(first.native)
second = make_logger(trt, None)
other = trt.Builder(second.native)
del builder, first
gc.collect()
filling = [bytearray(b"\\xff" * size) for size in range(16, 400, 8) for _ in range(500)]
trt.get_plugin_registry().get_creator("nothing", "1", "")
print(any("nothing" in each for each in second.errors))
"""


def test_the_registry_may_write_when_the_first_builder_is_gone() -> None:
    pytest.importorskip("tensorrt_rtx")
    result = run_python(_OVERLAPPING)
    assert (result.exit_code, result.stdout.strip()) == (0, "True"), result.stderr


class FakeTensorRT:
    """A module whose messages come from where they are told."""

    class ILogger:
        """As in TensorRT."""

    ERROR, WARNING, VERBOSE = (SimpleNamespace(name=name) for name in ("ERROR", "WARNING", "VERBOSE"))


def test_every_log_in_use_hears_and_keeps_errors() -> None:
    trt, lines = FakeTensorRT(), []
    quiet, told = make_logger(trt, None), make_logger(trt, lines.append)
    assert quiet.native is told.native
    for level, message in ((trt.ERROR, "the\n cause"), (trt.WARNING, "careful"), (trt.VERBOSE, "chatter")):
        quiet.native.log(level, message)
    assert lines == ["error: the\n cause", "warning: careful"]
    assert quiet.first_error() == told.last_error() == "the cause"


def test_a_log_that_nobody_holds_is_let_go() -> None:
    trt = FakeTensorRT()
    native = make_logger(trt, None).native
    gc.collect()
    kept = make_logger(trt, None)
    native.log(trt.ERROR, "late")
    assert kept.errors == ["late"]
    assert [each() for each in native._heard_by] == [kept]


def test_logs_may_come_and_go_while_threads_write() -> None:
    trt = FakeTensorRT()
    native = make_logger(trt, None).native
    writers = [threading.Thread(target=lambda: [native.log(trt.WARNING, "x") for _ in range(2000)]) for _ in range(2)]
    for writer in writers:
        writer.start()
    heard: list[str] = []
    for _ in range(500):
        make_logger(trt, heard.append)
    for writer in writers:
        writer.join()
    assert set(heard) <= {"warning: x"}
