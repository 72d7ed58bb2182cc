"""A stand-in for TensorRT's ICudaEngine, with the parts of the module that it comes from."""

from __future__ import annotations

from enum import Enum
from typing import Any


class LayerInformationFormat(Enum):
    """As in TensorRT."""

    JSON = 1


class ExecutionContextAllocationStrategy(Enum):
    """As in TensorRT."""

    USER_MANAGED = 2


class TensorIOMode(Enum):
    """As in TensorRT."""

    INPUT = 1
    OUTPUT = 2


class DataType(Enum):
    """As in TensorRT."""

    HALF = 1
    INT64 = 2


_TENSORS = {
    "image": (TensorIOMode.INPUT, DataType.HALF, (-1, 3, 64, 64), "Row major linear FP16 format (kLINEAR)"),
    "sizes": (TensorIOMode.INPUT, DataType.INT64, (2,), "Row major linear INT64 format (kLINEAR)"),
    "y": (TensorIOMode.OUTPUT, DataType.HALF, (-1, 32, 64, 64), "Channel major FP16 format where C % 8 == 0 (kHWC8)"),
}


class FakeContext:
    """Remembers the input shapes that it is given."""

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return True


class FakeInspector:
    """Tells the JSON that it was made with."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self.execution_context: FakeContext | None = None

    def get_engine_information(self, form: LayerInformationFormat) -> str:
        assert form is LayerInformationFormat.JSON
        self._engine.shapes_told = dict(self.execution_context.shapes) if self.execution_context else None
        return self._engine.json


class FakeEngine:
    """An engine with an image, a shape tensor and an output, in two profiles."""

    num_io_tensors = len(_TENSORS)
    num_optimization_profiles = 2
    device_memory_size_v2 = 3 << 20

    def __init__(self, json: str, context: bool = True) -> None:
        self.json = json
        self.shapes_told: dict[str, tuple[int, ...]] | None = None
        self._gives_context = context

    def get_tensor_name(self, index: int) -> str:
        return list(_TENSORS)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return _TENSORS[name][0]

    def get_tensor_dtype(self, name: str) -> DataType:
        return _TENSORS[name][1]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return _TENSORS[name][2]

    def get_tensor_format_desc(self, name: str) -> str:
        return _TENSORS[name][3]

    def is_shape_inference_io(self, name: str) -> bool:
        return name == "sizes"

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        return [(1, 3, 64, 64), (1 + profile, 3, 64, 64), (4, 3, 64, 64)]

    def get_tensor_profile_values(self, profile: int, name: str) -> list[list[int]]:
        assert isinstance(profile, int)
        assert name == "sizes"
        return [[1, 1], [2, 2], [8, 8]]

    def create_engine_inspector(self) -> FakeInspector:
        return FakeInspector(self)

    def create_execution_context(self, strategy: Any) -> FakeContext:
        assert strategy is ExecutionContextAllocationStrategy.USER_MANAGED
        if not self._gives_context:
            raise RuntimeError("no memory")
        return FakeContext()
