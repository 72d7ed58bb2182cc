"""The door to CUDA without a GPU: what it asks of the driver, and what it makes of the driver's answers."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trtconv.errors import BackendError
from trtconv.gpu import device as gpu_device
from trtconv.gpu.driver import Gpu
from trtconv.installed import install_hint


class Status:
    def __init__(self, name: str) -> None:
        self.name = name


OK, NO_MEMORY, ILLEGAL = (
    Status("CUDA_SUCCESS"),
    Status("CUDA_ERROR_OUT_OF_MEMORY"),
    Status("CUDA_ERROR_ILLEGAL_ADDRESS"),
)


class FakeDriver(ModuleType):
    """Notes every call; `answers` overrides what one returns, a status or a status and a value."""

    def __init__(self) -> None:
        super().__init__("driver")
        self.calls: list[tuple[Any, ...]] = []
        self.answers: dict[str, tuple[Any, ...]] = {}
        self.CUresult = SimpleNamespace(CUDA_SUCCESS=OK, CUDA_ERROR_OUT_OF_MEMORY=NO_MEMORY)
        self.CUdevice_attribute = SimpleNamespace(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE="l2")
        self.CUstream_flags = SimpleNamespace(CU_STREAM_NON_BLOCKING=1)
        self.CUevent_flags = SimpleNamespace(CU_EVENT_DEFAULT=0)
        self.CUstreamCaptureMode = SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL=1)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append((name, *arguments))
            return self.answers.get(name, (OK, 4096))

        return call

    def called(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    fake, package = FakeDriver(), ModuleType("cuda.bindings")
    package.driver = fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda.bindings", package)
    monkeypatch.setattr(gpu_device, "find_gpu", lambda: Gpu("Fake", "sm_90", "12.4"))
    return fake


def test_cuda_bindings_have_every_name_that_is_used() -> None:
    bindings = pytest.importorskip("cuda.bindings.driver")
    source = Path(gpu_device.__file__).read_text()
    names = set(re.findall(r'"(cu[A-Z]\w+)"', source)) | set(re.findall(r"driver\.(cu\w+|CU\w+(?:\.\w+)?)", source))
    assert len(names) > 15
    for name in names:
        value: Any = bindings
        for part in name.split("."):
            value = getattr(value, part)


def test_without_a_gpu_or_the_package_there_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_device, "find_gpu", lambda: None)
    with pytest.raises(BackendError, match="no CUDA device found") as caught:
        gpu_device.open_device()
    assert caught.value.exit_code == 4
    assert "nvidia-smi" in (caught.value.hint or "")
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(BackendError, match="cuda-bindings cannot be imported") as caught:
        gpu_device.open_device()
    assert caught.value.hint == install_hint("run")


def test_a_driver_older_than_the_package_is_named(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> None:
        raise RuntimeError('Function "cuEventElapsedTime_v2" not found')

    monkeypatch.setattr(driver, "cuEventElapsedTime", missing, raising=False)
    with pytest.raises(BackendError, match=r"does not work with this driver, which runs CUDA 12\.4") as caught:
        gpu_device.open_device()
    assert caught.value.hint == "run: pip install 'cuda-bindings==12.*'"


def test_it_works_on_the_context_of_the_kernels(driver: FakeDriver) -> None:
    driver.answers["cuDevicePrimaryCtxRetain"] = (OK, "primary")
    gpu_device.open_device()
    assert driver.called("cuCtxSetCurrent") == [("primary",)]


def test_memory_is_freed_and_its_lack_is_told_apart(driver: FakeDriver) -> None:
    device = gpu_device.open_device()
    with ExitStack() as until:
        driver.answers["cuMemAlloc"] = (OK, 512)
        assert device.allocate(100, until) == 512
        assert driver.called("cuMemAlloc") == [(100,)]
        driver.answers["cuMemAlloc"] = (NO_MEMORY, None)
        with pytest.raises(gpu_device.OutOfMemoryError, match="no room for 200 bytes"):
            device.allocate(200, until)
        assert driver.called("cuMemFree") == []
    assert driver.called("cuMemFree") == [(512,)]


def test_a_failure_on_the_device_is_an_error_and_not_a_number(driver: FakeDriver) -> None:
    device = gpu_device.open_device()
    driver.answers["cuStreamSynchronize"] = (ILLEGAL,)
    with pytest.raises(BackendError, match="cuStreamSynchronize failed: CUDA_ERROR_ILLEGAL_ADDRESS"):
        device.download(0, np.zeros(1))
    driver.answers["cuEventSynchronize"] = (ILLEGAL,)
    with pytest.raises(BackendError, match="ILLEGAL_ADDRESS"):
        device.replay("graph")


def test_a_capture_ends_whatever_happens_in_it(driver: FakeDriver) -> None:
    device = gpu_device.open_device()
    driver.calls.clear()
    driver.answers["cuGraphInstantiate"] = (OK, "executable")
    with ExitStack() as until:
        with pytest.raises(KeyboardInterrupt):
            device.capture(lambda stream: (_ for _ in ()).throw(KeyboardInterrupt), until)
        assert len(driver.called("cuStreamEndCapture")) == len(driver.called("cuGraphDestroy")) == 1
        assert driver.called("cuGraphInstantiate") == []
        assert device.capture(lambda stream: None, until) == "executable"
        assert len(driver.called("cuGraphDestroy")) == 2, "the graph itself is not needed any more"
    assert driver.called("cuGraphExecDestroy") == [("executable",)]
