"""Whole networks measured in one run, without a GPU: what one network's process writes, and the tables made of it."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from tests.benchmark.test_bench_model import IProfiler, Rig
from tests.gpu import measure_networks, network_errors
from tests.gpu.networks import MODELS_VARIABLE, Network
from tests.support.network_tables import tables
from trtconv.benchmark import variants
from trtconv.benchmark.cases import Case
from trtconv.benchmark.one_op_engines import one_op_model
from trtconv.errors import BackendError
from trtconv.plugins.library import PluginLibrary

__all__ = ["IProfiler"]  # the engine's module, as TensorRT's own, has the profiler


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rig:
    rig = Rig(monkeypatch, tmp_path)
    onnx.save(one_op_model(Case("InstanceNorm", (5, 3, 4, 5), "fp32"), "native"), rig.model)
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    monkeypatch.setitem(measure_networks.MEASURED, "small", (Network(0, rig.model.name), None))
    monkeypatch.setattr(measure_networks, "written_graph", rig.written_graph)
    monkeypatch.setattr(measure_networks, "_build_apart", build_here)
    monkeypatch.setattr(measure_networks, "load", lambda path: path)  # the fakes' engines are ONNX models
    library = PluginLibrary(Path("lib.so"), "0" * 64, ())
    monkeypatch.setattr(measure_networks.plugin_library, "find", lambda: library)
    return rig


def build_here(built: Sequence[str], path: Path, options: argparse.Namespace) -> dict[str, str]:
    """Do in this process, which has the fakes, what the process of the builds does."""
    measure_networks._build_engines(built, path, options)
    return {}


def measure(folder: Path, *more: str) -> dict[str, object]:
    out = folder / "out.json"
    options = measure_networks._parse(["--one", "small", "--originals", str(folder), "--sets", "2", *more, str(out)])
    network_errors._run_original("small", 2, folder)
    measure_networks._measure("small", options)
    entry: dict[str, object] = json.loads(out.read_text())
    return entry


def test_every_variant_is_built_compared_and_timed(rig: Rig, tmp_path: Path) -> None:
    rig.spoil["fused"] = 0.01
    rig.auto_differs = True
    engines = measure(tmp_path)["engines"]
    assert isinstance(engines, dict)
    assert {ops: each["timing"]["median_us"] for ops, each in engines.items()} == pytest.approx(
        {"native": 3000, "plugin": 2000, "fused": 1500, "rewritten": 1400, "auto": 1200}
    )
    for title in ("native", "original"):
        assert engines["plugin"][f"error_to_{title}"]["y"] < 1e-6
        assert engines["fused"][f"error_to_{title}"]["y"] > 1e-3
        assert engines["plugin"][f"rms_error_to_{title}"]["y"] < 1e-6
        assert engines["fused"][f"rms_error_to_{title}"]["y"] > 1e-3
    assert engines["fused"]["kinds"]["norm"] == {"count": 1, "microseconds": pytest.approx(1)}
    assert [layer["name"] for layer in engines["fused"]["layers"]] == ["conv", "norm"]


def test_one_that_fails_leaves_the_others(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = rig.build

    def failing(path: Path, config: object, progress: object) -> object:
        if config.ops == "fused":  # type: ignore[attr-defined]
            raise BackendError("TensorRT could not build the engine")
        return build(path, config, progress)  # type: ignore[arg-type]

    monkeypatch.setattr(variants.convert, "build", failing)
    entry = measure(tmp_path)
    engines = entry["engines"]
    assert isinstance(engines, dict)
    assert engines["fused"] == {"problem": "TensorRT could not build the engine"}
    assert engines["plugin"]["timing"]["median_us"] == pytest.approx(2000)
    assert "TensorRT could not build the engine" in "\n".join(tables({"small": entry}))


def test_a_build_that_dies_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[argparse.Namespace] = []

    def dying(*arguments: str) -> SimpleNamespace:
        """Leave engines as the process of the builds does, and die where "plugin" comes."""
        child = measure_networks._parse(list(arguments))
        given.append(child)
        before, dies, _ = child.built.partition("plugin")
        for ops in filter(None, before.split(",")):
            measure_networks._left_by(ops, child.out).touch()
        return SimpleNamespace(wait=lambda: -11 if dies else 0)

    monkeypatch.setattr(measure_networks, "_own", dying)
    options = argparse.Namespace(one="small", opt_level=2, timing_cache=tmp_path / "cache")
    problems = measure_networks._build_apart(["native", "plugin", "fused", "auto"], tmp_path / "model.onnx", options)
    assert problems == {"plugin": "its build ended with status -11"}
    assert [child.built for child in given] == ["native,plugin,fused,auto", "fused,auto"]
    assert {(child.one, child.out, child.opt_level, child.timing_cache) for child in given} == {
        ("small", tmp_path / "model.onnx", 2, tmp_path / "cache")
    }


def test_what_died_is_told_as_a_problem(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dying(built: Sequence[str], path: Path, options: argparse.Namespace) -> dict[str, str]:
        return {"plugin": "died"} | build_here([ops for ops in built if ops != "plugin"], path, options)

    monkeypatch.setattr(measure_networks, "_build_apart", dying)
    engines = measure(tmp_path)["engines"]
    assert isinstance(engines, dict)
    assert engines["plugin"] == {"problem": "died"}
    assert engines["fused"]["timing"]["median_us"] == pytest.approx(1500)


def test_only_the_variants_that_are_asked_for_are_built(rig: Rig, tmp_path: Path) -> None:
    assert list(measure(tmp_path, "--ops", "native,fused")["engines"]) == ["native", "fused"]  # type: ignore[call-overload]


def test_the_tables_hold_times_errors_and_kinds(rig: Rig, tmp_path: Path) -> None:
    rig.is_same = True
    lines = list(tables({"small": measure(tmp_path), "left out": {"problem": "3 s are too few"}}))
    row = next(line for line in lines if line.startswith("| small | 3.000"))
    assert "| 2.000 | 2.000 (as plugin) | 1.400 | 2.000 (as plugin) | 1.50x | 1.50x | 2.14x | 1.50x |" in row
    assert re.search(r"\| native \d\.\de-0\d, plugin \d\.\de-0\d, rewritten \d\.\de-0\d \|$", row)
    assert any("| left out | 3 s are too few |" in line for line in lines)
    assert "| small | plugin | 2 (1) | 1 (1) | - | - | - | - | - |" in lines


def test_errors_are_parts_of_what_the_original_gives() -> None:
    references = [{"y": np.array([3.0, -4.0], np.float16)}, {"y": np.array([0.0, 5.0], np.float16)}]
    exact = [{"y": each["y"].astype(np.float32)} for each in references]
    assert network_errors.largest_errors(references, exact) == network_errors.rms_errors(references, exact) == {"y": 0}
    wrong = [{"y": np.array([3.5, -4.0])}, {"y": np.array([0.0, 5.5])}]
    assert network_errors.largest_errors(references, wrong) == {"y": pytest.approx(0.125)}
    assert network_errors.rms_errors(references, wrong) == {"y": pytest.approx(0.1)}
    broken = [wrong[0], {"y": np.array([np.nan, 0])}]
    assert network_errors.largest_errors(references, broken) == {"y": "not finite"}
    assert network_errors.rms_errors(references, broken) == {"y": "not finite"}


def test_what_does_not_run_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert measure_networks.main([str(tmp_path / "out.json"), "no_network"]) == 2
    assert "no_network unknown" in capsys.readouterr().err
    assert measure_networks.main([str(tmp_path / "out.json"), "--ops", "fast"]) == 2
    assert "fast unknown, expected native" in capsys.readouterr().err
