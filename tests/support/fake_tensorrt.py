"""An engine of TensorRT that runs nothing, but knows what it was told."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from tests.support.bench_fakes import STREAM


@dataclass
class Tensor:
    """An input or output of a fake engine."""

    mode: str
    dtype: str
    shape: tuple[int, ...]
    location: str = "DEVICE"


@dataclass
class FakeTensorRT:
    """An engine that is its own context; `known` holds what a shape becomes once inputs are set."""

    tensors: dict[str, Tensor]
    known: dict[str, tuple[int, ...]] = field(default_factory=dict)
    max_sizes: dict[str, int] = field(default_factory=dict)
    refuses: str = ""
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    addresses: dict[str, int] = field(default_factory=dict)
    num_set: int = 0
    num_profiles: int = 1
    profile: int = 0
    profiler: Any = None

    @property
    def num_io_tensors(self) -> int:
        return len(self.tensors)

    def create_execution_context(self) -> Any:
        return None if self.refuses == "context" else self

    @property
    def num_optimization_profiles(self) -> int:
        return self.num_profiles

    def is_shape_inference_io(self, name: str) -> bool:
        return False

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        """Return smallest, usual and largest shape: profile 0 holds 1 row, profile 1 has 2 to 8."""
        rows = [(1, 1, 1), (2, 4, 8)][profile] if self.num_profiles > 1 else (1, 4, 8)
        return [(each, *self.tensors[name].shape[1:]) for each in rows]

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        self.profile = index
        return self.refuses != "profile"

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        return SimpleNamespace(name=self.tensors[name].mode)

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name=self.tensors[name].dtype)

    def get_tensor_location(self, name: str) -> Any:
        return SimpleNamespace(name=self.tensors[name].location)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.known.get(name, self.tensors[name].shape)

    def get_max_output_size(self, name: str) -> int:
        return self.max_sizes.get(name, -1)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return self.refuses != "shape"

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        self.num_set += 1
        return self.refuses != "address"

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == STREAM
        if self.profiler is not None:
            self.profiler.report_layer_time("conv", 0.002)
            self.profiler.report_layer_time("norm", 0.001)
        return self.refuses != "enqueue"


class IProfiler:
    """What TensorRT's module has under this name."""


class FakeBuilder:
    """Builds nothing."""


class FakeBuilders:
    """TensorRT's module as far as its builders: how many of them are left."""

    __version__ = "10.6.0"

    class ILogger:
        """As in TensorRT."""

    def __init__(self) -> None:
        self.num_left = 0

    def Builder(self, logger: Any) -> Any:  # noqa: N802 - TensorRT's name
        """Return a builder that counts until it is collected."""
        made = FakeBuilder()
        self.num_left += 1
        weakref.finalize(made, self._collect)
        return made

    def _collect(self) -> None:
        self.num_left -= 1
