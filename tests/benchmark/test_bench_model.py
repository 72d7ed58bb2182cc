"""`trtconv bench MODEL` without a GPU: engines are ONNX models here, which ONNX Runtime compares for real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.benchmark.test_bench_engines import FakeTensorRT, IProfiler, Tensor
from tests.support.bench_fakes import FakeDevice
from trtconv import BuildConfig, ShapeRange
from trtconv.benchmark import model
from trtconv.benchmark.cases import Case
from trtconv.benchmark.model import bench_model
from trtconv.benchmark.one_op_engines import one_op_model
from trtconv.config import EngineOptions
from trtconv.decisions import Decision
from trtconv.errors import BackendError, ConfigError
from trtconv.gpu import device as gpu_device
from trtconv.manifest import LibraryIdentity, Manifest
from trtconv.reports.build_report import BuildReport, RewriteReport

MICROSECONDS = {"native": 3000.0, "plugin": 2000.0}
SHAPE = (5, 3, 4, 5)

__all__ = ["IProfiler"]  # the engine's module, as TensorRT's own, has the profiler


class TimedEngine(FakeTensorRT):
    """An engine that takes time on a fake device."""

    device: FakeDevice
    ops: str

    def execute_async_v3(self, stream: int) -> bool:
        self.device.launch(self.ops, lambda: None)
        return super().execute_async_v3(stream)


class Rig:
    """A fake device and builder; `spoil` is added to the scale of the engine with plugins."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.device, self.spoil = FakeDevice(MICROSECONDS), 0.0
        self.built: list[BuildConfig] = []
        self.num_plugins = 1
        self.model = folder / "model.onnx"
        proto = one_op_model(Case("InstanceNorm", (2, 3, 4, 5), "fp32"), "native")
        for value in (*proto.graph.input, *proto.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "N"
        onnx.save(proto, self.model)
        monkeypatch.setattr(gpu_device, "open_device", lambda: self.device)
        monkeypatch.setattr(model.backends, "select_backend", lambda config: (None, []))
        monkeypatch.setattr(model.loading, "load_engine", self.load)
        monkeypatch.setattr(model.convert, "build", self.build)

    def build(self, path: Path, config: BuildConfig, progress: Any) -> BuildReport:
        self.built.append(config)
        assert config.output is not None
        engine = config.output.with_suffix(".onnx")
        proto = onnx.load(path)
        if config.ops == "plugin":
            scale = proto.graph.initializer[0]
            scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) + np.float32(self.spoil), scale.name))
        onnx.save(proto, engine)
        decisions = [Decision("norm", "InstanceNormalization", "trtconv::InstanceNorm", "")] * self.num_plugins
        rewrite = RewriteReport(path, 17, 1, decisions if config.ops == "plugin" else [])
        manifest = Manifest(
            trtconv="0.1.0",
            options=EngineOptions(ops=config.ops),
            backend_version="10.6.0",
            plugin_library=LibraryIdentity("plugins.so", sha256="0"),
        )
        return BuildReport(rewrite, engine, engine, manifest, "TensorRT", [f"a note on {config.ops}"], 1.5)

    def load(self, path: Path) -> TimedEngine:
        x, y = Tensor("INPUT", "FLOAT", (-1, 3, 4, 5)), Tensor("OUTPUT", "FLOAT", (-1, 3, 4, 5))
        engine = TimedEngine({"x": x, "y": y}, known={"y": SHAPE})
        engine.device, engine.ops = self.device, path.stem
        return engine


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rig:
    return Rig(monkeypatch, tmp_path)


CONFIG = BuildConfig(profiles=[{"x": ShapeRange.parse("1x3x4x5:5x3x4x5:9x3x4x5")}], opt_level=2, tf32=False)


def test_both_engines_have_the_same_options_and_are_timed(rig: Rig) -> None:
    report = bench_model(rig.model, CONFIG, layers=True)
    assert [config.ops for config in rig.built] == ["native", "plugin"]
    for config in rig.built:
        assert (config.opt_level, config.tf32, config.profiles) == (2, False, CONFIG.profiles)
        assert config.backend == "tensorrt"
    assert rig.built[0].timing_cache == rig.built[1].timing_cache is not None
    assert report.exit_code == 0
    assert report.speedup == pytest.approx(1.5)
    assert report.shapes == {"x": list(SHAPE)}
    assert report.layer_times["plugin"] == pytest.approx({"conv": 2.0, "norm": 1.0})
    assert rig.device.allocated == {}
    text = report.render()
    assert "1.50x" in text
    assert "3.000" in text
    assert "67%" in text
    assert "x 5x3x4x5" in text
    assert "a note on native" in text


def test_nothing_is_written_beside_the_model(rig: Rig) -> None:
    before = {path: path.read_bytes() for path in rig.model.parent.iterdir()}
    bench_model(rig.model, CONFIG)
    assert {path: path.read_bytes() for path in rig.model.parent.iterdir()} == before
    assert not any(config.output and config.output.parent.exists() for config in rig.built)


def test_engines_that_differ_are_not_timed(rig: Rig) -> None:
    rig.spoil = 0.01
    report = bench_model(rig.model, CONFIG)
    assert report.exit_code == 1
    assert report.timings == {}
    assert report.speedup is None
    assert rig.device.launched == []
    assert "the two engines differ" in report.render()
    assert json.loads(json.dumps(report.to_json()))["engines"]["plugin"]["timing"] is None


def test_the_tolerance_is_that_of_the_types(rig: Rig) -> None:
    rig.spoil = 0.002  # more than fp32 allows without TF32, less than 16 bits
    assert bench_model(rig.model, CONFIG).exit_code == 1
    half = BuildConfig(profiles=CONFIG.profiles, precision="bf16")
    assert bench_model(rig.model, half).exit_code == 0


def test_json_holds_everything(rig: Rig) -> None:
    document = json.loads(json.dumps(bench_model(rig.model, CONFIG, layers=True).to_json()))
    assert document["speedup"] == pytest.approx(1.5)
    assert document["machine"]["tensorrt"] == "10.6.0"
    assert document["engines"]["native"]["timing"]["median_us"] == pytest.approx(3000)
    assert document["engines"]["plugin"]["plugins"] == 1
    assert document["engines"]["plugin"]["layers_us"]["conv"] == pytest.approx(2)
    assert document["comparison"]["passed"] is True


def test_a_model_without_plugins_is_named(rig: Rig) -> None:
    rig.num_plugins = 0
    assert "no node becomes a plugin" in bench_model(rig.model, CONFIG).render()


def test_a_cache_of_the_user_and_patterns_reach_the_builds(rig: Rig, tmp_path: Path) -> None:
    config = BuildConfig(profiles=CONFIG.profiles, timing_cache=tmp_path / "cache", keep_native=["norm*"])
    bench_model(rig.model, config)
    assert {each.timing_cache for each in rig.built} == {tmp_path / "cache"}
    assert [tuple(each.keep_native) for each in rig.built] == [(), ("norm*",)]


def test_what_cannot_run_is_told_before_anything_is_built(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="dynamic dimensions and no shape"):
        bench_model(rig.model)
    with pytest.raises(ConfigError, match="no such file"):
        bench_model(rig.model.with_name("other.onnx"))

    def no_gpu(config: BuildConfig) -> Any:
        raise BackendError("no CUDA device answers")

    monkeypatch.setattr(model.backends, "select_backend", no_gpu)
    with pytest.raises(BackendError, match="no CUDA device"):
        bench_model(rig.model, CONFIG)
    assert rig.built == []
