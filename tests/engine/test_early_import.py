"""A command imports its backend's module in a thread, while the main thread imports the rest of trtconv."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from trtconv.config import BackendName
from trtconv.engine import backends
from trtconv.engine.backends import BackendKey
from trtconv.gpu import driver
from trtconv.gpu.driver import Gpu

GPU = Gpu("NVIDIA H100", "sm_90", "13.0")


@pytest.mark.parametrize(
    ("name", "gpu", "installed", "expected"),
    [
        ("auto", None, {"tensorrt", "tensorrt-rtx"}, ["tensorrt-rtx"]),
        ("auto", GPU, {"tensorrt", "tensorrt-rtx"}, ["tensorrt"]),
        ("auto", GPU, {"tensorrt-rtx"}, ["tensorrt", "tensorrt-rtx"]),
        ("tensorrt", None, {"tensorrt-rtx"}, ["tensorrt"]),
    ],
)
def test_the_module_that_will_be_selected_is_imported_meanwhile(
    monkeypatch: pytest.MonkeyPatch, name: BackendName, gpu: Gpu | None, installed: set[str], expected: list[str]
) -> None:
    asked: list[str] = []
    may_begin = threading.Event()

    def import_backend(key: BackendKey) -> Any:
        assert may_begin.wait(60), "the body waits for the import"
        time.sleep(0.05)  # what does not wait for the import is over by then
        asked.append(key)
        return object() if key in installed else None

    monkeypatch.setattr(backends, "import_backend", import_backend)
    monkeypatch.setattr(driver, "find_gpu", lambda: gpu)
    with backends.imported_meanwhile(name):
        may_begin.set()
    assert asked == expected, "what follows may fork, which no import must meet"


@pytest.mark.filterwarnings("error")  # pytest makes a warning of what a thread raises
def test_what_cannot_be_imported_is_left_to_the_selection(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def import_backend(key: BackendKey) -> Any:
        raise RuntimeError("a damaged package")

    monkeypatch.setattr(backends, "import_backend", import_backend)
    with backends.imported_meanwhile("tensorrt-rtx"):
        pass
    assert capfd.readouterr() == ("", "")


def test_a_failure_of_the_body_does_not_wait_for_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C, above all."""
    ended = threading.Event()
    monkeypatch.setattr(backends, "import_backend", lambda key: ended.wait(60))
    with pytest.raises(KeyboardInterrupt), backends.imported_meanwhile("tensorrt-rtx"):
        raise KeyboardInterrupt
    assert not ended.is_set()
    ended.set()
