"""Run a loaded engine on values: numpy arrays by way of the CUDA driver, torch tensors where they are."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt

from trtconv import element_types
from trtconv.engine.engine_runner import EngineRunner
from trtconv.engine.live_engine import is_of_rtx
from trtconv.errors import BackendError
from trtconv.gpu.device import Device, open_device
from trtconv.gpu.driver import find_gpu
from trtconv.gpu.timing import Timing, time_side_by_side
from trtconv.inputs.made_inputs import InputSpec

Array = npt.NDArray[Any]


class EngineSession:
    """An engine with an execution context. It is not safe to run it from two threads at once."""

    def __init__(self, engine: Any, title: str) -> None:
        self._engine, self._title = engine, title
        self._runner = EngineRunner(engine, title)
        self.inputs = [self._spec(name) for name in self._runner.names("INPUT")]
        self._device: Device | None = None
        gpu = find_gpu()
        self.runs_on = f"{'TensorRT-RTX' if is_of_rtx(engine) else 'TensorRT'} on {gpu.name if gpu else 'the GPU'}"

    def run_arrays(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs for inputs of the engine's own types. Needs cuda-bindings."""
        device = self._open_device()
        with ExitStack() as until:
            self._bind(device, feeds, until)
            self._runner.enqueue(device.stream)
            return {name: self._fetch(device, name) for name in self._runner.names("OUTPUT")}

    def time_arrays(self, feeds: Mapping[str, Array]) -> Timing:
        """Return the microseconds that the GPU takes, by replays of a CUDA graph, without the copies of the values."""
        device = self._open_device()
        with ExitStack() as until:
            self._bind(device, feeds, until)
            times = time_side_by_side(device, {self._title: lambda _, stream: self._runner.enqueue(stream)})
        return times[self._title]

    def run_tensors(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs for torch tensors, on torch's current stream; tensors of the GPU are not copied.

        The outputs are where the first input is. Those of an engine on the GPU are ready when the stream gets there.
        """
        torch = sys.modules["torch"]
        place = next(iter(feeds.values())).device if feeds else torch.device("cuda")
        gpu = place if place.type == "cuda" else torch.device("cuda")
        stream = torch.cuda.current_stream(gpu).cuda_stream
        is_on_host = self._runner.is_on_host
        given = {name: each.cpu().numpy() if is_on_host(name) else each for name, each in feeds.items()}
        self._runner.use_profile(given, stream)
        held = {}
        for name in self._runner.names("INPUT"):
            self._runner.set_shape(name, tuple(feeds[name].shape))
            if is_on_host(name):
                self._runner.use_host_memory(name, np.ascontiguousarray(given[name], self._runner.dtype(name)))
            else:
                held[name] = feeds[name].to(gpu, self._torch_dtype(name)).contiguous()
        outputs = {}
        for name in self._runner.names("OUTPUT"):
            shape, dtype = self._output_shape(name), self._torch_dtype(name)
            outputs[name] = torch.empty(shape, dtype=dtype, device="cpu" if is_on_host(name) else gpu)
            if is_on_host(name):
                self._runner.use_host_memory(name, outputs[name].numpy())
        addresses = {name: each.data_ptr() for name, each in (*held.items(), *outputs.items())}
        self._runner.set_addresses({name: address for name, address in addresses.items() if not is_on_host(name)})
        self._runner.enqueue(stream)
        return {name: each.to(place) for name, each in outputs.items()}

    def _open_device(self) -> Device:
        if self._device is None:
            self._device = open_device()
        return self._device

    def _bind(self, device: Device, feeds: Mapping[str, Array], until: ExitStack) -> None:
        self._runner.use_profile(feeds, device.stream)
        self._runner.bind_inputs(device, feeds, until)

    def _fetch(self, device: Device, name: str) -> Array:
        values = np.empty(self._output_shape(name), self._runner.dtype(name))
        self._runner.download(device, name, values)
        return values

    def _output_shape(self, name: str) -> tuple[int, ...]:
        shape = self._runner.output_shape(name)
        if min(shape, default=0) < 0:
            what = f"the shape of output {name} depends on values, which is known when it was computed"
            raise BackendError(what, where=self._title, hint="run it with TensorRT's IOutputAllocator")
        return shape

    def _spec(self, name: str) -> InputSpec:
        dims = [None if size < 0 else int(size) for size in self._engine.get_tensor_shape(name)]
        return InputSpec(name, self._runner.dtype(name), dims)

    def _torch_dtype(self, name: str) -> Any:
        return getattr(sys.modules["torch"], element_types.of_dtype(self._runner.dtype(name)).name)
