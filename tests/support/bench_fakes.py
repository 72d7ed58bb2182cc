"""A CUDA device made of this machine's memory, a plugin library made of numpy, and a clock that is set by hand.

Addresses are real, so what is bound, copied and checked is so here too; only the times are made up.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import ml_dtypes
import numpy as np

from trtconv.benchmark.cases import Case
from trtconv.gpu.device import OutOfMemoryError
from trtconv.gpu.driver import Gpu
from trtconv.ops.instance_norm import instance_norm_reference
from trtconv.ops.reflect_pad import reflect_pad_reference
from trtconv.plugins.kernels import ACTIVATIONS, PAD_MODES, _OutputMapStruct

NORM_DTYPES = (np.float32, np.float16, ml_dtypes.bfloat16)
ACTIVATION_NAMES = list(ACTIVATIONS)
STREAM = 1234

# Cases of every kind, small enough for a GPU that is a fake.
SMALL = Case("InstanceNorm", (2, 3, 5, 7), "fp32")
LARGE = Case("InstanceNorm", (2, 4, 40, 50), "fp16")
PAD = Case("ReflectPad", (2, 3, 8, 9), "int8", pad=2)
RELU = (("activation", "relu"),)
GROUPS = Case("InstanceNorm", (2, 6, 5, 7), "fp32", extra=(("groups", 2),))
FUSED = replace(LARGE, extra=RELU, has_residual=True)
PLACED = replace(SMALL, pad=2, extra=(*RELU, ("upsample", (2,))))
CASES = (
    SMALL,
    LARGE,
    replace(SMALL, dtype="bf16"),
    PAD,
    replace(SMALL, dtype="fp16", format="channels_last"),
    Case("InstanceNorm", (2, 11, 2, 3, 4), "fp16", format="channels_last"),
    replace(PAD, dtype="fp32", format="channels_last"),
    replace(PAD, shape=(1, 40, 5, 6), format="chw32"),
    replace(PAD, format="chw4"),
    GROUPS,
    FUSED,
    PLACED,
    replace(PLACED, dtype="fp16", format="channels_last"),
    replace(SMALL, dtype="fp16", format="channels_last", extra=RELU),
    replace(PAD, dtype="fp16", extra=RELU),
    replace(PAD, dtype="fp16", format="channels_last", extra=(("upsample", (1, 1, 2, 1)),)),
    replace(PAD, dtype="fp32", extra=(("to", 10),)),
)


def array_at(address: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return the memory at an address, not a copy of it."""
    num_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * num_bytes).from_address(address), dtype).reshape(shape)


def stored_shape(shape: tuple[int, ...], element_bytes: int, layout: int) -> tuple[int, ...]:
    """Return the sizes of memory, as trtconv_kernels.h describes its formats."""
    lanes = (1, 16 // element_bytes, 4, 32)[layout]
    num_blocks = -(-shape[1] // lanes)
    if layout == 0:
        return shape
    return (shape[0], *shape[2:], num_blocks * lanes) if layout == 1 else (shape[0], num_blocks, *shape[2:], lanes)


def place_of(channel: int, stored: tuple[int, ...], layout: int) -> Any:
    """Return where a channel of all images lies."""
    if layout == 0:
        return slice(None), channel
    return (..., channel) if layout == 1 else (slice(None), channel // stored[-1], ..., channel % stored[-1])


def attributes_of(place: Any) -> dict[str, Any]:
    """Return the attributes that a trtconv_norm_place stands for."""
    mode = next(name for name, number in PAD_MODES.items() if number == place.pad_mode)
    pads, upsample = list(place.pads)[: 2 * place.rank], list(place.upsample)[: place.rank]
    return {"upsample": upsample, "pads": pads, "pad_mode": mode}


def read_tensor(address: int, shape: tuple[int, ...], dtype: Any, layout: int) -> np.ndarray:
    stored = array_at(address, stored_shape(shape, np.dtype(dtype).itemsize, layout), dtype)
    return np.stack([stored[place_of(channel, stored.shape, layout)] for channel in range(shape[1])], axis=1)


@dataclass
class FakeDevice:
    """Runs at once what is enqueued; `microseconds` says how long each kind of work takes, by name."""

    microseconds: Mapping[str, float]
    l2_bytes: int = 1 << 20
    memory_bytes: int = 1 << 34
    stream: int = STREAM
    gpu: Gpu = field(default_factory=lambda: Gpu("Fake GPU", "sm_90", "13.0"))
    spent: float = 0.0
    is_capturing: bool = False
    launched: list[str] = field(default_factory=list)
    allocated: dict[int, Any] = field(default_factory=dict)
    graphs_alive: int = 0

    def launch(self, kind: str, work: Callable[[], None]) -> None:
        """Enqueue some work: captured work is only counted."""
        self.launched.append(kind)
        self.spent += self.microseconds[kind]
        if not self.is_capturing:
            work()

    def allocate(self, num_bytes: int, until: ExitStack) -> int:
        if sum(map(len, self.allocated.values())) + num_bytes > self.memory_bytes:
            raise OutOfMemoryError(f"the GPU has no room for {num_bytes} bytes more")
        memory = (ctypes.c_char * max(num_bytes, 1))()
        address = ctypes.addressof(memory)
        self.allocated[address] = memory
        until.callback(self.allocated.pop, address)
        return address

    def upload(self, address: int, values: np.ndarray) -> None:
        values = np.ascontiguousarray(values)
        ctypes.memmove(address, values.ctypes.data, values.nbytes)

    def download(self, address: int, values: np.ndarray) -> None:
        ctypes.memmove(values.ctypes.data, address, values.nbytes)

    def fill(self, address: int, byte: int, num_bytes: int) -> None:
        ctypes.memset(address, byte, num_bytes)

    def copy(self, target: int, source: int, num_bytes: int, stream: int) -> None:
        assert stream == STREAM
        self.launch("copy", lambda: ctypes.memmove(target, source, num_bytes) and None)

    def synchronize(self) -> None:
        pass

    def capture(self, enqueue: Callable[[int], None], until: ExitStack) -> float:
        """Return the milliseconds of what was captured: the graph."""
        self.is_capturing, before = True, self.spent
        try:
            enqueue(self.stream)
        finally:
            self.is_capturing = False
        self.graphs_alive += 1
        until.callback(self._destroy)
        return (self.spent - before) / 1000

    def replay(self, graph: float) -> float:
        return graph

    def _destroy(self) -> None:
        self.graphs_alive -= 1


class FakeLibrary:
    """The launchers of trtconv_kernels.h, with the device's own idea of time. `spoil` edits a result."""

    def __init__(self, device: FakeDevice, spoil: Callable[[np.ndarray], None] = lambda y: None) -> None:
        self.device = device
        self.spoil = spoil
        self.status = 0
        self.inputs: list[int] = []  # the address of x, of every launch
        self.before: list[bytes] = []  # what was in y, of every launch that ran

        def workspace_bytes(batch: ctypes.c_int64, channels: ctypes.c_int64, *others: Any) -> int:
            return 16 * batch.value * channels.value

        self.trtconv_instance_norm_workspace_bytes = workspace_bytes

    def trtconv_instance_norm(self, *arguments: Any) -> int:
        *numbers, reference, workspace, workspace_bytes, stream = arguments
        x, scale, bias, y, *sizes, epsilon, dtype, layout = (argument.value for argument in numbers)
        workspace, workspace_bytes, stream = (argument.value for argument in (workspace, workspace_bytes, stream))
        options = reference._obj
        assert stream == STREAM
        assert workspace_bytes == 16 * sizes[0] * sizes[1]
        assert len(self.device.allocated[workspace]) >= workspace_bytes
        type_ = NORM_DTYPES[dtype]
        self.inputs.append(x)
        if 0 in sizes:
            return self.status
        beside = {"groups": options.groups, "activation": ACTIVATION_NAMES[options.activation], "alpha": options.alpha}
        spatial = sizes[2:]
        if options.place:
            place = options.place.contents
            spatial, beside = list(place.sizes)[: place.rank], beside | attributes_of(place)

        def work() -> None:
            inputs = [array_at(address, (sizes[1],), type_) for address in (scale, bias)]
            residual = read_tensor(options.residual, (*sizes,), type_, layout) if options.residual else None
            tensor = read_tensor(x, (*sizes[:2], *spatial), type_, layout)
            result = instance_norm_reference(tensor, *inputs, epsilon, **beside, residual=residual)
            self._store(y, result.astype(type_), layout)

        self.device.launch("kernel", work)
        return self.status

    def trtconv_reflect_pad(self, *arguments: Any) -> int:
        x, y, rank, sizes, pads, element_bytes, layout, map_address, stream = (each.value for each in arguments)
        assert stream == STREAM
        shape = tuple(array_at(sizes, (rank,), np.int64).tolist())
        if 0 in shape:
            return self.status
        both = array_at(pads, (2 * rank,), np.int64).tolist()

        def work() -> None:
            if map_address is None:
                result = reflect_pad_reference(read_tensor(x, shape, f"u{element_bytes}", layout), both)
            else:
                given = _OutputMapStruct.from_address(map_address)
                assert given.output_format == layout
                types = [NORM_DTYPES[number] for number in (given.input_dtype, given.output_dtype)]
                activation, upsample = ACTIVATION_NAMES[given.activation], list(given.upsample)[:rank]
                tensor = read_tensor(x, shape, types[0], layout)
                result = reflect_pad_reference(tensor, both, activation=activation, upsample=upsample).astype(types[1])
            self._store(y, result, layout)

        self.device.launch("kernel", work)
        return self.status

    def _store(self, address: int, result: np.ndarray, layout: int) -> None:
        self.spoil(result)
        stored = np.full(stored_shape(result.shape, result.itemsize, layout), 77, result.dtype)
        for channel in range(result.shape[1]):
            stored[place_of(channel, stored.shape, layout)] = result[:, channel]
        self.before.append(array_at(address, stored.shape, stored.dtype).tobytes())
        self.device.upload(address, stored)


@dataclass
class FakeEngine:
    """An engine of one operator that runs a fake launcher's idea of it, and the context that TensorRT would make."""

    device: FakeDevice
    kind: str
    work: Callable[[Mapping[str, int]], None]
    addresses: dict[str, int] = field(default_factory=dict)
    changes: int = 0

    def create_execution_context(self) -> FakeEngine:
        return self

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        self.changes += 1
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == STREAM
        addresses = dict(self.addresses)
        self.device.launch(self.kind, lambda: self.work(addresses))
        return True
