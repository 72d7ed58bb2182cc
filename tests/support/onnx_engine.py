"""A stand-in for full TensorRT: engines that are ONNX models inside, which ONNX Runtime computes.

What it shows is what trtconv does around an engine; what TensorRT computes only tests/gpu can show.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from tests.support.engine_files import H100
from trtconv.comparison import runners
from trtconv.config import BuildConfig
from trtconv.engine import backends, building, loading
from trtconv.engine.backends import Backend
from trtconv.engine.building import Plan
from trtconv.model.onnx_session import open_session
from trtconv.shapes import ShapeRange

MARK = b"ftrt"


class TensorIOMode(Enum):
    """As in TensorRT."""

    INPUT = 1
    OUTPUT = 2


class OnnxEngine:
    """What trtconv asks an ICudaEngine for, and the model that it computes."""

    def __init__(self, proto: onnx.ModelProto, profiles: Any = ()) -> None:
        self.proto = proto
        self.profiles_used: list[int] = []
        self._profiles = list(profiles) or [{}]
        weights = {tensor.name for tensor in proto.graph.initializer}
        self._inputs = {
            value.name: tuple(
                dim.dim_value or self._only_size(value.name, axis)
                for axis, dim in enumerate(value.type.tensor_type.shape.dim)
            )
            for value in proto.graph.input
            if value.name not in weights
        }

    def _only_size(self, name: str, axis: int) -> int:
        """Return -1, or the size that all profiles agree on: TensorRT fixes a dimension that has one size alone."""
        shapes = [profile[name] for profile in self._profiles if name in profile]
        sizes = {bound[axis] for each in shapes for bound in (each.min, each.max)}
        return sizes.pop() if len(sizes) == 1 else -1

    @property
    def num_io_tensors(self) -> int:
        return len(self._inputs)

    @property
    def num_optimization_profiles(self) -> int:
        return len(self._profiles)

    def get_tensor_name(self, index: int) -> str:
        return list(self._inputs)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._inputs[name]

    def is_shape_inference_io(self, name: str) -> bool:
        return False

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        shapes: ShapeRange = self._profiles[profile][name]
        return [shapes.min, shapes.opt, shapes.max]


class FakeTensorRT:
    """Replaces what in engine/ needs TensorRT. `spoil` changes the models that "engines" are built from."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.spoil: Callable[[onnx.ModelProto], None] = lambda proto: None
        self.built: list[onnx.ModelProto] = []
        self.loaded: list[OnnxEngine] = []
        self._profiles: Any = ()
        backend = Backend("tensorrt", SimpleNamespace(__version__="10.6.0"), H100, H100.arch)
        monkeypatch.setattr(backends, "select_backend", lambda config: (backend, []))
        monkeypatch.setattr(building, "build", self.build)
        monkeypatch.setattr(loading, "load_plan", lambda plan, backend: self.load(bytes(plan.data)))
        monkeypatch.setattr(loading, "load_engine", lambda path, **_: self.load(Path(path).read_bytes()))
        monkeypatch.setattr(runners, "_engine_runner", _onnx_runner)

    def build(self, proto: onnx.ModelProto, model_path: Path, config: BuildConfig, *_: Any) -> Plan:
        made = onnx.ModelProto()
        made.CopyFrom(proto)
        self.spoil(made)
        self.built.append(made)
        self._profiles = config.profiles
        return Plan(memoryview(MARK + made.SerializeToString()), [], [], None, ["FLOAT"])

    def load(self, data: bytes) -> OnnxEngine:
        assert data.startswith(MARK)
        self.loaded.append(OnnxEngine(onnx.ModelProto.FromString(data[len(MARK) :]), self._profiles))
        return self.loaded[-1]


def _onnx_runner(loaded: OnnxEngine, role: str) -> Any:
    from polygraphy.backend.onnxrt import OnnxrtRunner

    runner = OnnxrtRunner(partial(open_session, loaded.proto, Path()), name=role)
    runner.set_profile = loaded.profiles_used.append
    return runner
