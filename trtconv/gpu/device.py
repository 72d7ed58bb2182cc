"""The one door to CUDA in Python: device memory, graphs and their times, through NVIDIA's cuda-bindings.

Only the driver is used, which every machine with an NVIDIA GPU has: no CUDA toolkit is needed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trtconv.errors import BackendError
from trtconv.gpu.driver import Gpu, find_gpu
from trtconv.installed import install_hint

Array = npt.NDArray[Any]


class OutOfMemoryError(BackendError):
    """The GPU has no room for a tensor."""


@dataclass(frozen=True)
class Device:
    """The first CUDA device and a stream on it. Addresses are integers, as C has them."""

    gpu: Gpu
    l2_bytes: int
    memory_bytes: int
    stream: int
    driver: Any
    events: tuple[Any, Any]

    def allocate(self, num_bytes: int, until: ExitStack) -> int:
        """Return the address of new memory, which is freed when `until` closes. Raises OutOfMemoryError."""
        status, address = self.driver.cuMemAlloc(max(num_bytes, 1))
        if status == self.driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
            raise OutOfMemoryError(f"the GPU has no room for {num_bytes} bytes more", hint="see: nvidia-smi")
        _check(self.driver, "cuMemAlloc", status)
        until.callback(self.driver.cuMemFree, address)
        return int(address)

    def upload(self, address: int, values: Array) -> None:
        """Copy an array to the device."""
        values = np.ascontiguousarray(values)
        self._call("cuMemcpyHtoD", address, values.ctypes.data, values.nbytes)

    def download(self, address: int, values: Array) -> None:
        """Fill `values`, which is contiguous, from the device, after all work on the stream."""
        self.synchronize()
        self._call("cuMemcpyDtoH", values.ctypes.data, address, values.nbytes)

    def fill(self, address: int, byte: int, num_bytes: int) -> None:
        """Set every byte, in the order of the stream."""
        self._call("cuMemsetD8Async", address, byte, num_bytes, self.stream)

    def copy(self, target: int, source: int, num_bytes: int, stream: int) -> None:
        """Enqueue a copy from device to device."""
        self._call("cuMemcpyDtoDAsync", target, source, num_bytes, stream)

    def synchronize(self) -> None:
        """Wait for all work on the stream. Raises BackendError when some of it failed."""
        self._call("cuStreamSynchronize", self.stream)

    def capture(self, enqueue: Callable[[int], None], until: ExitStack) -> Any:
        """Return the CUDA graph of what `enqueue(stream)` enqueues; nothing of it runs yet."""
        mode = self.driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call("cuStreamBeginCapture", self.stream, mode)
        try:
            enqueue(self.stream)
        except BaseException:
            with contextlib.suppress(BackendError):  # it says only that the capture failed
                self.driver.cuGraphDestroy(self._call("cuStreamEndCapture", self.stream))
            raise
        graph = self._call("cuStreamEndCapture", self.stream)
        try:
            executable = self._call("cuGraphInstantiate", graph, 0)
        finally:
            self.driver.cuGraphDestroy(graph)
        until.callback(self.driver.cuGraphExecDestroy, executable)
        return executable

    def replay(self, graph: Any) -> float:
        """Run a graph to its end and return the milliseconds that the GPU took."""
        begin, end = self.events
        self._call("cuEventRecord", begin, self.stream)
        self._call("cuGraphLaunch", graph, self.stream)
        self._call("cuEventRecord", end, self.stream)
        self._call("cuEventSynchronize", end)
        return float(self._call("cuEventElapsedTime", begin, end))

    def _call(self, name: str, *arguments: Any) -> Any:
        status, *results = getattr(self.driver, name)(*arguments)
        _check(self.driver, name, status)
        return results[0] if results else None


def open_device() -> Device:
    """Return the first CUDA device. Raises BackendError where there is none, or cuda-bindings is missing or unfit."""
    driver = _import_driver()
    gpu = find_gpu()
    if gpu is None:
        raise BackendError("no CUDA device found: kernels are timed on a GPU", hint="check: nvidia-smi")
    try:
        return _open(driver, gpu)
    except RuntimeError as error:  # a driver that lacks what this version of cuda-bindings calls
        what = f"cuda-bindings does not work with this driver, which runs CUDA {gpu.driver}: {error}"
        hint = f"run: pip install 'cuda-bindings=={gpu.driver.split('.')[0]}.*'"
        raise BackendError(" ".join(what.split()), hint=hint) from error


def _import_driver() -> Any:
    try:
        from cuda.bindings import driver
    except ImportError as error:
        raise BackendError(f"cuda-bindings cannot be imported: {error}", hint=install_hint("run")) from None
    return driver


def _open(driver: Any, gpu: Gpu) -> Device:
    def call(name: str, *arguments: Any) -> Any:
        status, *results = getattr(driver, name)(*arguments)
        _check(driver, name, status)
        return results[0] if results else None

    call("cuInit", 0)
    ordinal = call("cuDeviceGet", 0)
    call("cuCtxSetCurrent", call("cuDevicePrimaryCtxRetain", ordinal))  # that of the kernels and of TensorRT
    attribute = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE
    stream = call("cuStreamCreate", driver.CUstream_flags.CU_STREAM_NON_BLOCKING)
    begin, end = (call("cuEventCreate", driver.CUevent_flags.CU_EVENT_DEFAULT) for _ in range(2))
    device = Device(
        gpu=gpu,
        l2_bytes=int(call("cuDeviceGetAttribute", attribute, ordinal)),
        memory_bytes=int(call("cuDeviceTotalMem", ordinal)),
        stream=int(stream),
        driver=driver,
        events=(begin, end),
    )
    with ExitStack() as stack:  # a graph of nothing, timed: shows now what this driver lacks
        device.replay(device.capture(lambda stream: None, stack))
    return device


def _check(driver: Any, name: str, status: Any) -> None:
    if status != driver.CUresult.CUDA_SUCCESS:
        raise BackendError(f"{name} failed: {status.name}", where="CUDA", hint="check: nvidia-smi")
