"""Run a loaded engine on device memory. The functions take TensorRT's own objects and import no TensorRT module."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt

from trtconv.element_types import BY_TENSORRT
from trtconv.engine.inspector_json import Layer
from trtconv.engine.live_engine import choose_profile, device_memory_bytes, read_engine
from trtconv.errors import BackendError
from trtconv.gpu.device import Device

Array = npt.NDArray[Any]


class EngineRunner:
    """An execution context of an engine, and where its tensors are."""

    def __init__(self, engine: Any, title: str) -> None:
        self._engine = engine  # TensorRT wants it to outlive its context
        self._title = title
        self._context = engine.create_execution_context()
        if self._context is None:
            raise BackendError(
                "TensorRT cannot create an execution context: the GPU has too little free memory", where=title
            )
        self._addresses: dict[str, int] = {}
        self._held: dict[str, Any] = {}  # what TensorRT keeps pointers to

    def set_addresses(self, addresses: Mapping[str, int]) -> None:
        """Tell where tensors are; what is told already costs nothing."""
        for name, address in addresses.items():
            if self._addresses.get(name) != address:
                if not self._context.set_tensor_address(name, address):
                    raise BackendError(f"TensorRT refuses the memory of {name}", where=self._title)
                self._addresses[name] = address

    def enqueue(self, stream: int) -> None:
        """Enqueue the engine once."""
        if not self._context.execute_async_v3(stream):
            raise BackendError("TensorRT could not enqueue the engine", where=self._title)

    def use_profile(self, feeds: Mapping[str, Array], stream: int) -> None:
        """Take the optimisation profile that holds these inputs. Raises ConfigError where none does."""
        index = choose_profile(self._engine, feeds, self._title)
        if index is not None and not self._context.set_optimization_profile_async(index, stream):
            raise BackendError(f"TensorRT could not take profile {index + 1}", where=self._title)

    def set_shape(self, name: str, shape: Sequence[int]) -> None:
        """Give an input its shape, where that is open."""
        is_dynamic = -1 in tuple(self._engine.get_tensor_shape(name))
        if is_dynamic and not self._context.set_input_shape(name, tuple(shape)):
            raise BackendError(f"TensorRT refuses the shape {list(shape)} of {name}", where=self._title)

    def bind_inputs(self, device: Device, feeds: Mapping[str, Array], until: ExitStack, profile: int = 0) -> None:
        """Give every input its shape and its values, and every output its memory, until `until` closes.

        `profile` is the number of the optimisation profile that the shapes belong to.
        """
        if profile and not self._context.set_optimization_profile_async(profile, device.stream):
            raise BackendError(f"TensorRT could not take profile {profile + 1}", where=self._title)
        for name in self.names("INPUT"):
            values = np.ascontiguousarray(feeds[name], dtype=self.dtype(name))
            self.set_shape(name, values.shape)
            if self.is_on_host(name):
                self.use_host_memory(name, values)
            else:
                self.set_addresses({name: device.allocate(values.nbytes, until)})
                device.upload(self._addresses[name], values)
        for name in self.names("OUTPUT"):
            num_bytes = self._output_bytes(name)
            if self.is_on_host(name):
                self.use_host_memory(name, np.zeros(num_bytes, dtype=np.uint8))
            else:
                self.set_addresses({name: device.allocate(num_bytes, until)})

    def layer_times(self, device: Device, num_runs: int) -> dict[str, float]:
        """Return the microseconds of each layer, the mean of some runs, without a CUDA graph."""
        trt = sys.modules[type(self._engine).__module__]
        totals: dict[str, float] = {}

        class Profiler(trt.IProfiler):  # type: ignore[misc,name-defined]
            """Adds up what TensorRT reports after each run."""

            def __init__(self) -> None:
                trt.IProfiler.__init__(self)

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                totals[layer_name] = totals.get(layer_name, 0.0) + ms * 1000

        self._held["profiler"] = self._context.profiler = Profiler()
        self.enqueue(device.stream)
        device.synchronize()
        totals.clear()  # of the first run, which warms up
        for _ in range(num_runs):
            self.enqueue(device.stream)
            device.synchronize()
        return {name: total / num_runs for name, total in totals.items()}

    def layers(self) -> Sequence[Layer]:
        """Return what the engine says of its layers."""
        return read_engine(self._engine).information.layers

    @property
    def device_memory_bytes(self) -> int:
        """The bytes on the GPU that an execution context needs, the weights left out."""
        return device_memory_bytes(self._engine)

    def is_on_host(self, name: str) -> bool:
        """Whether a tensor holds a shape or a size, which TensorRT reads on the host."""
        return bool(self._engine.get_tensor_location(name).name == "HOST")

    def use_host_memory(self, name: str, values: Array) -> None:
        """Let a tensor be in an array, which stays alive."""
        self._held[name] = values
        self.set_addresses({name: values.ctypes.data})

    def names(self, mode: str) -> Sequence[str]:
        """Return the tensors of a mode, "INPUT" or "OUTPUT"."""
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        return [name for name in names if self._engine.get_tensor_mode(name).name == mode]

    def dtype(self, name: str) -> np.dtype[Any]:
        """Return a tensor's type. Raises BackendError for one that numpy has not."""
        type_name = self._engine.get_tensor_dtype(name).name
        found = BY_TENSORRT.get(type_name)
        if found is None or found.array is None:
            raise BackendError(f"{name} is of the type {type_name}, which cannot be fed", where=self._title)
        return found.dtype

    def output_shape(self, name: str) -> tuple[int, ...]:
        """Return the sizes of an output for the shapes that are set, -1 where they depend on values."""
        return tuple(int(size) for size in self._context.get_tensor_shape(name))

    def download(self, device: Device, name: str, values: Array) -> None:
        """Fill `values`, which is contiguous, from a tensor, after all work on the stream."""
        if self.is_on_host(name):
            device.synchronize()
            values[...] = self._held[name].view(values.dtype).reshape(values.shape)
        else:
            device.download(self._addresses[name], values)

    def _output_bytes(self, name: str) -> int:
        """Return what an output takes; of one whose shape depends on values, the most that TensorRT knows of."""
        shape = self.output_shape(name)
        if all(size >= 0 for size in shape):
            return int(math.prod(shape) * self.dtype(name).itemsize)
        most = int(self._context.get_max_output_size(name))
        if most <= 0:
            raise BackendError(f"TensorRT does not know how large the output {name} can get", where=self._title)
        return most
