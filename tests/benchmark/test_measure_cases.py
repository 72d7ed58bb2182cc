"""Engines of many models, native and as `--ops auto` makes them, without a GPU: the fakes' engines are ONNX models."""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from tests.benchmark.test_bench_model import MICROSECONDS, IProfiler, Rig
from tests.gpu import measure_cases
from tests.gpu.measure_cases import Case, cases_of
from tests.support.bench_fakes import FakeDevice
from trtconv.benchmark.cases import Case as OneOp
from trtconv.benchmark.one_op_engines import one_op_model
from trtconv.gpu.driver import Gpu

__all__ = ["IProfiler"]  # the engine's module, as TensorRT's own, has the profiler


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rig:
    rig = Rig(monkeypatch, tmp_path)
    rig.auto_differs = True
    onnx.save(one_op_model(OneOp("InstanceNorm", (5, 3, 4, 5), "fp32"), "native"), rig.model)
    monkeypatch.setattr(measure_cases, "written_graph", rig.written_graph)
    monkeypatch.setattr(measure_cases, "_build_apart", build_here)
    monkeypatch.setattr(FakeDevice, "gpu", Gpu("NVIDIA H200", "sm_90", "13.0", 4900.0), raising=False)
    return rig


def build_here(cases: Sequence[Case], folder: Path, options: argparse.Namespace, deadline: float) -> None:
    """Do in this process, which has the fakes, what the processes of the builds do."""
    for case in cases:
        left = measure_cases._left_by(case, folder)
        left.write_bytes(pickle.dumps(measure_cases._build(case, folder, options.opt_level)))


def measure(rig: Rig) -> dict[str, Any]:
    out = rig.model.with_name("out.json")
    assert measure_cases.main([str(out), str(rig.model), "--workers", "2"]) == 0
    cases: dict[str, Any] = json.loads(out.read_text())["cases"]
    return cases


def test_a_case_is_compared_and_timed_in_each_precision(rig: Rig) -> None:
    cases = measure(rig)
    assert list(cases) == ["model fixed fp16", "model fixed fp32"]
    for entry in cases.values():
        assert entry["us"] == pytest.approx({"native": 3000, "auto": 1200})
        assert not entry["is_slower"]
        assert entry["problem_of_outputs"] is None
        assert entry["kinds"]["auto"]["norm"]["count"] == 1
    assert {config.precision for config in rig.built} == {None, "fp16"}
    caches = [config.timing_cache for config in rig.built]
    assert len(caches) == 4
    assert len(set(caches)) == 2, "the engines of a case share one"


def test_what_is_wrong_is_told(rig: Rig) -> None:
    rig.spoil["auto"] = 0.5
    assert "max|error| is" in measure(rig)["model fixed fp32"]["problem_of_outputs"]


def test_what_is_slower_is_built_and_timed_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MICROSECONDS, "auto", 3061)
    rig.device = FakeDevice(MICROSECONDS)
    cases = measure(rig)
    assert len(rig.built) == 8
    for entry in cases.values():
        assert entry["is_slower"]
        assert entry["first"] == entry["us"]
    rig.built.clear()
    monkeypatch.setitem(MICROSECONDS, "auto", 3059)
    rig.device = FakeDevice(MICROSECONDS)
    assert not any(entry["is_slower"] for entry in measure(rig).values()), "within 2 %"
    assert len(rig.built) == 4


def test_what_auto_leaves_native_is_not_built(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_cases, "same_as_before", lambda written, ops: "native")
    assert measure(rig) == {"model fixed fp32": {"same": True}, "model fixed fp16": {"same": True}}
    assert rig.built == []


def test_a_build_that_dies_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []

    def dying(command: Sequence[str]) -> SimpleNamespace:
        """Leave engines as the process of the builds does, and die at the second."""
        options = measure_cases._parse(list(command[3:]))
        cases: list[Case] = pickle.loads(options.built.read_bytes())
        given.append([case.name for case in cases])
        for case in cases if len(cases) == 1 else cases[:1]:
            measure_cases._left_by(case, options.out).write_bytes(pickle.dumps("same"))
        return SimpleNamespace(wait=lambda seconds: None, returncode=-11)

    monkeypatch.setattr(measure_cases.subprocess, "Popen", dying)
    cases = [Case(Path(f"{name}.onnx"), "fixed", None, {}) for name in "abc"]
    measure_cases._build_apart(cases, tmp_path, argparse.Namespace(opt_level=None), float("inf"))
    assert given == [[f"{name} fixed fp32" for name in "abc"], ["c fixed fp32"]]
    left = [pickle.loads(measure_cases._left_by(case, tmp_path).read_bytes()) for case in cases]
    assert left == ["same", "its build ended with status -11", "same"]


def test_open_shapes_have_two_sizes(tmp_path: Path) -> None:
    proto = one_op_model(OneOp("InstanceNorm", (2, 3, 4, 5), "fp32"), "native")
    for value in (*proto.graph.input, *proto.graph.output):
        for axis in (0, 2, 3):
            value.type.tensor_type.shape.dim[axis].dim_param = f"d{axis}"
    path = tmp_path / "open.onnx"
    onnx.save(proto, path)
    found = [(case.name, dict(case.shapes)) for case in cases_of(path)]
    assert found == [
        ("open small fp32", {"x": (1, 3, 96, 96)}),
        ("open small fp16", {"x": (1, 3, 96, 96)}),
        ("open large fp32", {"x": (1, 3, 512, 512)}),
        ("open large fp16", {"x": (1, 3, 512, 512)}),
    ]
