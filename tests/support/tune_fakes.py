"""A TensorRT for --tune: an engine is its model as ONNX, computes what that does, and takes a given time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from tests.benchmark.test_bench_engines import FakeTensorRT, IProfiler, Tensor
from tests.support.bench_fakes import FakeDevice
from tests.support.fake_tensorrt import FakeBuilders
from trtconv import convert, tuning
from trtconv.comparison import verification
from trtconv.config import BuildConfig
from trtconv.engine.backends import Backend
from trtconv.engine.building import Plan
from trtconv.errors import TrtconvError
from trtconv.gpu.driver import Gpu
from trtconv.manifest import IoTensor
from trtconv.model.walking import walk_nodes
from trtconv.ops.custom_op import DOMAIN
from trtconv.plugins.library import PluginLibrary
from trtconv.tuning import engines

__all__ = ["IProfiler"]  # the engine's module, as TensorRT's own, has the profiler

MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[N,4,64,64] x) => (float[N,20,64,64] y) <int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}> {
  [conv1] c = Conv <pads: ints = [1, 1, 1, 1]> (x, v)
  [norm] n = InstanceNormalization (c, s, b)
  [relu] r = Relu (n)
  [pad] q = Pad <mode: string = "reflect"> (r, p)
  [conv2] y = Conv (q, w)
}
"""
SHAPE = "x=1x4x64x64:2x4x64x64:4x4x64x64"


def write_model(path: Path) -> Path:
    """Write a norm, an activation and a pad between two convolutions, which stay as they are: they are not thin."""
    proto = parser.parse_model(MODEL)
    random = np.random.default_rng(0)
    constants = {
        "v": random.standard_normal((20, 4, 3, 3)) / 6,
        "w": random.standard_normal((20, 20, 3, 3)) / 13,
        "s": random.uniform(1, 4, 20),
        "b": random.uniform(-1, 2, 20),
    }
    for name, values in constants.items():
        proto.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    onnx.save(proto, path)
    return path


@dataclass
class TimedEngine(FakeTensorRT):
    """An engine that takes time on a fake device, and knows its model."""

    device: Any = None
    kind: str = ""
    proto: Any = None
    profiles: list[int] = field(default_factory=list)

    def set_optimization_profile_async(self, profile: int, stream: int) -> bool:
        self.profiles.append(profile)
        return True

    def execute_async_v3(self, stream: int) -> bool:
        self.device.launch(self.kind, lambda: None)
        return super().execute_async_v3(stream)


def kind_of(proto: onnx.ModelProto) -> str:
    """Return which nodes of MODEL the plugins of a graph stand for, as text: "norm relu pad", "native" without any."""
    names = [node.name for node in walk_nodes(proto.graph) if node.domain == DOMAIN]
    left = {node.name for node in walk_nodes(proto.graph)}
    return " + ".join(names) + ("" if not names or {"relu"} <= left else " fused") or "native"


class TuneRig:
    """Takes TensorRT's place in `trtconv.build`; `microseconds` are by kind_of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.microseconds = {"native": 100.0, "norm + pad": 70.0, "pad fused": 50.0, "norm": 90.0, "pad": 80.0}
        self.device = FakeDevice(self.microseconds)
        self.model = write_model(folder / "model.onnx")
        self.built: list[str] = []
        self.configs: list[BuildConfig] = []
        self.engines: list[TimedEngine] = []
        self.before_build: Callable[[str], None] = lambda kind: None
        self.spoil: dict[str, float] = {}
        gpu = Gpu("NVIDIA H100 80GB HBM3", "sm_90", "13.0")
        self.tensorrt, self.num_builders = FakeBuilders(), list[int]()
        backend = Backend("tensorrt", self.tensorrt, gpu, "sm_90")
        monkeypatch.setattr(convert.backends, "select_backend", lambda config: (backend, []))
        monkeypatch.setattr(convert.building, "build", self.build)
        monkeypatch.setattr(tuning.gpu_device, "open_device", lambda: self.device)
        monkeypatch.setattr(engines.loading, "load_plan", self.load_plan)
        monkeypatch.setattr(verification, "run_both", self.run_both(verification.run_both))

    def build(self, proto: onnx.ModelProto, path: Path, config: BuildConfig, *others: Any) -> Plan:
        kind = kind_of(proto)
        self.before_build(kind)
        self.built.append(kind)
        self.configs.append(config)
        self.num_builders.append(self.tensorrt.num_left)
        library = None if kind == "native" else PluginLibrary(path, "0", ("trtconv::InstanceNorm",))
        inputs, outputs = [IoTensor("x", "float", (-1, 4, 64, 64))], [IoTensor("y", "float", (-1, 20, 64, 64))]
        return Plan(memoryview(proto.SerializeToString()), inputs, outputs, library, ["FLOAT"])

    def load_plan(self, plan: Plan, backend: Backend) -> TimedEngine:
        proto = onnx.ModelProto.FromString(bytes(plan.data))
        tensors = {"x": Tensor("INPUT", "FLOAT", (-1, 4, 64, 64)), "y": Tensor("OUTPUT", "FLOAT", (-1, 20, 64, 64))}
        engine = TimedEngine(tensors, known={"y": (4, 20, 64, 64)})
        engine.device, engine.kind, engine.proto = self.device, kind_of(proto), proto
        self.engines.append(engine)
        return engine

    def run_both(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def run(reference: Any, loaded: TimedEngine, *others: Any, **named: Any) -> Any:
            proto = onnx.ModelProto()
            proto.CopyFrom(loaded.proto)
            bias = next(each for each in proto.graph.initializer if each.name == "b")
            values = numpy_helper.to_array(bias) + np.float32(self.spoil.get(loaded.kind, 0.0))
            bias.CopyFrom(numpy_helper.from_array(values, "b"))
            path = self.model.with_name("engine.onnx")
            onnx.save(proto, path)
            return real(reference, path, *others, **named)

        return run


def failing(problem: str, *kinds: str) -> Callable[[str], None]:
    """Return what lets builds of some kinds fail."""

    def fail(kind: str) -> None:
        if kind in kinds:
            raise TrtconvError(problem)

    return fail
