"""`trtconv bench MODEL` without a GPU: engines are ONNX models here, which ONNX Runtime compares for real."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.benchmark.test_bench_engines import FakeTensorRT, IProfiler, Tensor
from tests.support.bench_fakes import FakeDevice
from tests.support.fake_tensorrt import FakeBuilders
from trtconv import BuildConfig, ShapeRange
from trtconv.benchmark import model, variants
from trtconv.benchmark.cases import Case
from trtconv.benchmark.model import bench_model
from trtconv.benchmark.one_op_engines import one_op_model
from trtconv.benchmark.variants import Written
from trtconv.config import EngineOptions
from trtconv.decisions import Decision
from trtconv.engine import engine_runner
from trtconv.engine.backends import Backend
from trtconv.engine.inspector_json import EngineInformation, Layer
from trtconv.engine.live_engine import LiveEngine
from trtconv.errors import BackendError, ConfigError
from trtconv.gpu import device as gpu_device
from trtconv.manifest import LibraryIdentity, Manifest
from trtconv.progress import StepTime
from trtconv.reports.build_report import BuildReport
from trtconv.reports.rewrite_report import RewriteReport

MICROSECONDS = {
    "native": 3000.0,
    "plugin": 2000.0,
    "fused": 1500.0,
    "rewritten": 1400.0,
    "auto": 1200.0,
    "tuned": 1000.0,
}
LAYERS = (Layer("conv", "CaskConvolution"), Layer("norm", "PluginV3", nodes=["norm"]))
SHAPE = (5, 3, 4, 5)

__all__ = ["IProfiler"]  # the engine's module, as TensorRT's own, has the profiler


class TimedEngine(FakeTensorRT):
    """An engine that takes time on a fake device."""

    device: FakeDevice
    ops: str
    device_memory_size_v2 = 3 << 20

    def execute_async_v3(self, stream: int) -> bool:
        self.device.launch(self.ops, lambda: None)
        return super().execute_async_v3(stream)


class Rig:
    """A fake device and builder.

    `spoil` is added to the scale of the engine of each variant. Every variant has a graph of its own, until `is_same`
    says that "fused" is "plugin"; "auto" is "fused" until `auto_differs`.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.device, self.spoil, self.is_same = FakeDevice(MICROSECONDS), dict.fromkeys(MICROSECONDS, 0.0), False
        self.auto_differs = False
        self.built: list[BuildConfig] = []
        self.num_plugins = 1
        self.model = folder / "model.onnx"
        proto = one_op_model(Case("InstanceNorm", (2, 3, 4, 5), "fp32"), "native")
        for value in (*proto.graph.input, *proto.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "N"
        onnx.save(proto, self.model)
        monkeypatch.setattr(gpu_device, "open_device", lambda: self.device)
        self.tensorrt, self.num_builders = FakeBuilders(), list[int]()
        backend = Backend("tensorrt", self.tensorrt, None, "sm_90")
        monkeypatch.setattr(model.backends, "select_backend", lambda config: (backend, []))
        monkeypatch.setattr(model.loading, "load_engine", self.load)
        monkeypatch.setattr(model, "written_graph", self.written_graph)
        monkeypatch.setattr(variants.convert, "build", self.build)
        live = LiveEngine([], 1, 0, EngineInformation(LAYERS, []))
        monkeypatch.setattr(engine_runner, "read_engine", lambda engine: live)

    def written_graph(self, path: Path, config: BuildConfig, ops: str) -> Written:
        digest = "fused" if ops == "auto" and not self.auto_differs else ops
        digest = "plugin" if self.is_same and digest == "fused" else digest
        return Written({"norm": "InstanceNorm"}, 0 if ops == "native" else self.num_plugins, digest)

    def build(self, path: Path, config: BuildConfig, progress: Any) -> BuildReport:
        self.built.append(config)
        self.num_builders.append(self.tensorrt.num_left)
        assert config.output is not None
        engine = config.output.with_suffix(".onnx")
        proto = onnx.load(path)
        assert config.ops is not None
        scale, change = proto.graph.initializer[0], np.float32(self.spoil[config.ops])
        scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) + change, scale.name))
        onnx.save(proto, engine)
        decisions = [Decision("norm", "InstanceNormalization", "trtconv::InstanceNorm", "")] * self.num_plugins
        rewrite = RewriteReport(path, 17, 1, [] if config.ops == "native" else decisions)
        manifest = Manifest(
            trtconv="0.1.0",
            options=EngineOptions(ops=config.ops),
            backend_version="10.6.0",
            plugin_library=LibraryIdentity("plugins.so", sha256="0"),
        )
        steps = [StepTime("building", 1.5)]
        return BuildReport(rewrite, engine, engine, manifest, "TensorRT", [f"a note on {config.ops}"], steps)

    def load(self, path: Path) -> TimedEngine:
        x, y = Tensor("INPUT", "FLOAT", (-1, 3, 4, 5)), Tensor("OUTPUT", "FLOAT", (-1, 3, 4, 5))
        engine = TimedEngine({"x": x, "y": y}, known={"y": SHAPE})
        engine.device, engine.ops = self.device, path.stem
        return engine


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rig:
    return Rig(monkeypatch, tmp_path)


CONFIG = BuildConfig(profiles=[{"x": ShapeRange.parse("1x3x4x5:5x3x4x5:9x3x4x5")}], opt_level=2, tf32=False)


def test_all_engines_have_the_same_options_and_are_timed(rig: Rig) -> None:
    report = bench_model(rig.model, CONFIG, layers=True)
    assert [config.ops for config in rig.built] == ["native", "plugin", "fused"]
    for config in rig.built:
        assert (config.opt_level, config.tf32, config.profiles) == (2, False, CONFIG.profiles)
        assert config.backend == "tensorrt"
    assert len({config.timing_cache for config in rig.built} - {None}) == 1
    assert (rig.num_builders, rig.tensorrt.num_left) == ([1, 1, 1], 0), "TensorRT loads its kernels once"
    assert report.exit_code == 0
    assert report.speedups == pytest.approx({"plugin": 1.5, "fused": 2})
    assert report.shapes == {"x": list(SHAPE)}
    assert report.layer_times["plugin"].by_name == pytest.approx({"conv": 2.0, "norm": 1.0})
    assert rig.device.allocated == {}
    text = report.render()
    assert "1.50x" in text
    assert "2.00x" in text
    assert "3.000" in text
    assert "67%" in text
    assert "3.0 MiB" in text
    assert report.to_json()["engines"]["plugin"]["device_memory_bytes"] == 3 << 20
    assert "x 5x3x4x5" in text
    assert "a note on native" in text


def test_the_model_is_read_once_before_the_variants_and_once_to_compare(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, load = [], model.model_io.load
    monkeypatch.setattr(model.model_io, "load", lambda path, **options: [reads.append(path), load(path, **options)][1])
    bench_model(rig.model, CONFIG, outputs=[rig.model.with_name("out.json")])
    assert reads == [rig.model] * 2
    with pytest.raises(ConfigError, match="is an input"):
        bench_model(rig.model, CONFIG, outputs=[rig.model])
    assert len(rig.built) == 3, "before any build"


def test_layers_are_added_up_by_kind(rig: Rig) -> None:
    report = bench_model(rig.model, CONFIG, layers=True)
    for ops in ("native", "plugin", "fused"):
        kinds = report.layer_times[ops].by_kind
        assert [(kind, each.count) for kind, each in kinds.items()] == [("convolution", 1), ("norm", 1)]
        assert kinds["convolution"].microseconds == pytest.approx(2)
    rows = [line.split() for line in report.render().splitlines()]
    assert ["norm", *["1.0", "(1)"] * 3] in rows
    assert ["all", *["3.0", "(2)"] * 3] in rows
    assert not any(row[:1] == ["pad"] for row in rows), "no engine has one"


def test_a_variant_of_the_same_graph_is_not_built_again(rig: Rig) -> None:
    rig.is_same = True
    report = bench_model(rig.model, CONFIG, layers=True)
    assert [config.ops for config in rig.built] == ["native", "plugin"]
    assert report.same == {"fused": "plugin", "auto": "plugin"}
    assert report.speedups == pytest.approx({"plugin": 1.5})
    assert "fused: the same graph as plugin" in report.render()
    document = json.loads(json.dumps(report.to_json()))
    assert document["same"] == {"fused": "plugin", "auto": "plugin"}
    assert list(document["engines"]) == ["native", "plugin"]


def test_graphs_are_the_same_where_nothing_more_is_fused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    config = BuildConfig(profiles=CONFIG.profiles, precision="fp16")  # no pass asks for it: nothing is calibrated
    written = {str(ops): variants.written_graph(rig.model, config, ops) for ops in variants.VARIANTS}
    assert [each.num_plugins for each in written.values()] == [0, 1, 1, 0], "on 60 numbers a plugin gains nothing"
    assert set(written["native"].ops_by_node.values()) == {"InstanceNormalization"}
    assert set(written["plugin"].ops_by_node.values()) == {"InstanceNorm"}
    assert [variants.same_as_before(written, ops) for ops in written] == [None, None, "plugin", "native"]
    kept = variants.written_graph(rig.model, replace(config, keep_native=["*"]), "plugin")
    assert variants.same_as_before(written | {"plugin": kept}, "fused") is None, "one node differs"


def test_nothing_is_written_beside_the_model(rig: Rig) -> None:
    before = {path: path.read_bytes() for path in rig.model.parent.iterdir()}
    bench_model(rig.model, CONFIG)
    assert {path: path.read_bytes() for path in rig.model.parent.iterdir()} == before
    assert not any(config.output and config.output.parent.exists() for config in rig.built)


@pytest.mark.parametrize("wrong", ["plugin", "fused"])
def test_an_engine_that_differs_is_not_timed(rig: Rig, wrong: str) -> None:
    rig.spoil[wrong] = 0.01
    (right,) = {"plugin", "fused"} - {wrong}
    report = bench_model(rig.model, CONFIG)
    assert report.exit_code == 1
    assert set(report.timings) == {"native", right}
    assert wrong not in rig.device.launched
    assert f"{wrong} does not compute what the model does: output y: max|error| is" in report.render()
    document = json.loads(json.dumps(report.to_json()))
    assert document["engines"][wrong]["timing"] is None
    assert list(document["speedups"]) == [right]


def test_without_an_engine_that_agrees_nothing_is_timed(rig: Rig) -> None:
    rig.spoil |= {"plugin": 0.01, "fused": 0.01}
    report = bench_model(rig.model, CONFIG, layers=True)
    assert report.exit_code == 1
    assert report.timings == report.speedups == {}
    assert rig.device.launched == []


def test_the_tolerance_is_that_of_the_types(rig: Rig) -> None:
    rig.spoil["plugin"] = 0.002  # more than fp32 allows without TF32, less than 16 bits
    assert bench_model(rig.model, CONFIG).exit_code == 1
    half = BuildConfig(profiles=CONFIG.profiles, precision="bf16")
    assert bench_model(rig.model, half).exit_code == 0


def test_json_holds_everything(rig: Rig) -> None:
    document = json.loads(json.dumps(bench_model(rig.model, CONFIG, layers=True).to_json()))
    assert document["speedups"] == pytest.approx({"plugin": 1.5, "fused": 2})
    assert document["machine"]["tensorrt"] == "10.6.0"
    assert document["engines"]["native"]["timing"]["median_us"] == pytest.approx(3000)
    assert document["engines"]["plugin"]["plugins"] == 1
    assert document["engines"]["plugin"]["layers_us"]["conv"] == pytest.approx(2)
    assert document["engines"]["fused"]["kinds"]["norm"] == {"count": 1, "microseconds": pytest.approx(1)}
    assert all(document["comparisons"][ops]["passed"] is True for ops in ("plugin", "fused"))


def test_a_model_without_plugins_is_named(rig: Rig) -> None:
    rig.num_plugins = 0
    assert "no node becomes a plugin" in bench_model(rig.model, CONFIG).render()


def test_a_cache_of_the_user_and_patterns_reach_the_builds(rig: Rig, tmp_path: Path) -> None:
    config = BuildConfig(profiles=CONFIG.profiles, timing_cache=tmp_path / "cache", keep_native=["norm*"])
    bench_model(rig.model, config)
    assert {each.timing_cache for each in rig.built} == {tmp_path / "cache"}
    assert [tuple(each.keep_native) for each in rig.built] == [(), ("norm*",), ("norm*",)]


def test_what_cannot_run_is_told_before_anything_is_built(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="dynamic dimensions and no shape"):
        bench_model(rig.model)
    with pytest.raises(ConfigError, match="no such file"):
        bench_model(rig.model.with_name("other.onnx"))

    def no_gpu(config: BuildConfig) -> Any:
        raise BackendError("no CUDA device found")

    monkeypatch.setattr(model.backends, "select_backend", no_gpu)
    with pytest.raises(BackendError, match="no CUDA device"):
        bench_model(rig.model, CONFIG)
    assert rig.built == []
