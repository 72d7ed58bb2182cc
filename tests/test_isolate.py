"""`isolate` does in a worker what trtconv's functions do in the caller's process."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import trtconv
from tests.cli.test_isolation import ABORTS
from tests.support.command_line import write_model
from tests.support.patience import patience
from trtconv import BuildConfig, Limits
from trtconv.errors import BackendError, ConfigError, Interrupted, ModelError
from trtconv.manifest import read_manifest
from trtconv.progress import NoProgress


class Listener(NoProgress):
    """Remembers what a build told."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.steps = self.ticks = 0

    def phase_start(self, name: str, parent: str | None, num_steps: int) -> None:
        self.phases.append(name)

    def step_complete(self, name: str, step: int) -> None:
        self.steps += 1

    def tick(self) -> None:
        self.ticks += 1


def test_a_build_in_a_worker_is_the_same(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    model = write_model(tmp_path, "static")
    config = BuildConfig(backend="tensorrt-rtx", gpu_arch="sm_89")
    here = trtconv.build(model, replace(config, output=tmp_path / "here.engine"))
    listener, messages = Listener(), []
    there = trtconv.build(
        model,
        replace(config, output=tmp_path / "there.engine"),
        progress=listener,
        log=messages.append,
        isolate=True,
    )
    assert there.engine.read_bytes() == here.engine.read_bytes()
    assert replace(there.manifest, created=None) == replace(here.manifest, created=None)
    found = read_manifest(there.engine)
    assert found is not None
    assert found.to_json() == there.manifest.to_json()
    assert there.rewrite == here.rewrite
    steps = ["reading static.onnx", "rewriting static.onnx"]
    assert [name for name in listener.phases if name.endswith("static.onnx")] == steps
    assert listener.phases[-1] == "writing there.engine"
    assert [step.name for step in there.steps][:-1] == [step.name for step in here.steps][:-1]
    assert min(listener.steps, listener.ticks) > 0
    assert any("engine build" in message for message in messages)


def test_the_other_functions_in_a_worker_are_the_same(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static")
    assert trtconv.dry_run(model, isolate=True) == trtconv.dry_run(model)
    there = trtconv.rewrite(model, tmp_path / "there.onnx", ops="fused", isolate=True)
    here = trtconv.rewrite(model, tmp_path / "here.onnx", ops="fused")
    assert replace(there, output=None, next_step="") == replace(here, output=None, next_step="")
    assert (tmp_path / "there.onnx").read_bytes() == (tmp_path / "here.onnx").read_bytes()
    report = trtconv.compare(model, tmp_path / "there.onnx", isolate=True)
    assert report.passed
    assert report.to_json() == {
        **trtconv.compare(model, tmp_path / "here.onnx").to_json(),
        "candidate": report.candidate,
    }


def test_a_crash_stays_in_the_worker(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = write_model(tmp_path, "aborts", ABORTS)
    with pytest.raises(BackendError, match=r"crashed while running .*aborts\.onnx: SIGABRT \(Aborted\): .*_M_stddev"):
        trtconv.compare(model, model, isolate=True)
    assert capfd.readouterr() == ("", "")


def test_errors_are_those_of_the_function(tmp_path: Path) -> None:
    wrong: dict[str, tuple[type[Exception], Any]] = {
        "none": (ConfigError, tmp_path / "none.onnx"),
        "damaged": (ModelError, tmp_path / "damaged.onnx"),
    }
    (tmp_path / "damaged.onnx").write_bytes(b"damaged")
    for kind, path in wrong.values():
        with pytest.raises(kind) as here:
            trtconv.dry_run(path)
        with pytest.raises(kind) as there:
            trtconv.dry_run(path, isolate=True)
        assert vars(there.value) == vars(here.value)
        assert str(there.value) == str(here.value)


def test_limits_hold(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static")
    with pytest.raises(BackendError, match=r"more than 1\.0 MiB of memory were taken") as caught:
        trtconv.dry_run(model, isolate=Limits(memory_bytes=1 << 20))
    assert caught.value.where == "--limit-memory"
    with pytest.raises(BackendError, match=r"0\.05 s had passed"):
        trtconv.dry_run(model, isolate=Limits(seconds=0.05))


def test_threads_have_workers_of_their_own(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static")
    expected = trtconv.dry_run(model)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: trtconv.dry_run(model, isolate=True), range(3))) == [expected] * 3


def test_an_interrupt_ends_the_worker(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    model = write_model(tmp_path, "static")
    before = signal.getsignal(signal.SIGINT)
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        trtconv.build(model, BuildConfig(backend="tensorrt-rtx"), isolate=True)
    timer.join()
    assert time.monotonic() - began < patience(0.5 + 2)
    assert signal.getsignal(signal.SIGINT) is before
    assert os.listdir(tmp_path) == ["static.onnx"]


def test_a_listener_that_fails_ends_the_worker(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    model = write_model(tmp_path, "static")

    def fail(message: str) -> None:
        raise ValueError(message)

    with pytest.raises(ValueError, match=r"\w"):
        trtconv.build(model, BuildConfig(backend="tensorrt-rtx"), log=fail, isolate=True)
    assert os.listdir(tmp_path) == ["static.onnx"]
