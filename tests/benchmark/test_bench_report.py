"""`trtconv bench MODEL`: which engines are right, one more by a decision file, percentiles and plots."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark.test_bench_model import CONFIG, Rig
from tests.support.bench_fakes import FakeDevice
from trtconv.benchmark import model, network_plot
from trtconv.benchmark.model import bench_model
from trtconv.errors import ConfigError


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rig:
    return Rig(monkeypatch, tmp_path)


def test_engines_are_held_to_the_error_of_the_native_one(rig: Rig) -> None:
    """Deep networks in fp16 are as far from the model with TensorRT's own layers as with ours."""
    rig.spoil |= {"native": 0.010, "plugin": 0.0105, "fused": 0.013}
    report = bench_model(rig.model, CONFIG)
    assert set(report.timings) == {"native", "plugin"}
    assert list(report.problems) == ["fused"]
    assert re.search(r"of max\|y\| \(mean \S+\), of the native engine \d", report.problems["fused"])
    document = json.loads(json.dumps(report.to_json()))
    errors = {ops: each["outputs"][0]["relative_error"] for ops, each in document["comparisons"].items()}
    assert errors["native"] == pytest.approx(errors["plugin"] / 1.05, rel=0.01)
    assert "y, native: outside the tolerance" in report.render()


def test_what_is_wrong_is_timed_where_that_is_forced(rig: Rig) -> None:
    rig.spoil["fused"] = 0.01
    report = bench_model(rig.model, CONFIG, force=True)
    assert set(report.timings) == {"native", "plugin", "fused"}
    assert report.exit_code == 1
    assert "warning    fused does not compute what the model does, and is timed all the same" in report.render()


def test_the_model_runs_once_an_input_set(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    real = model.exact_reference

    def counted(*arguments: Any) -> Any:
        session = real(*arguments)()

        class Counted:
            def __getattr__(self, name: str) -> Any:
                return getattr(session, name)

            def run(self, *given: Any) -> Any:
                runs.append(1)
                return session.run(*given)

        return Counted

    monkeypatch.setattr(model, "exact_reference", counted)
    assert bench_model(rig.model, CONFIG).exit_code == 0
    assert len(runs) == 2


def test_a_decision_file_is_one_more_variant(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    with pytest.raises(ConfigError, match="no such file"):
        bench_model(rig.model, replace(CONFIG, decisions=file))
    file.write_text(json.dumps({"format": 1, "ops": "plugin", "decisions": []}))
    rig.auto_differs = True
    report = bench_model(rig.model, replace(CONFIG, decisions=file))
    assert list(report.variants) == ["native", "plugin", "fused", "auto", "tuned"]
    assert [(config.ops, config.decisions) for config in rig.built] == [
        ("native", None), ("plugin", None), ("fused", None), ("auto", None), ("plugin", file),
    ]  # fmt: skip
    assert report.speedups["tuned"] == pytest.approx(3)


def test_percentiles_and_throughput_are_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    replays = iter(range(10**6))
    monkeypatch.setattr(FakeDevice, "replay", lambda self, graph: graph * (1 + next(replays) // 3 % 100 / 100))
    report = bench_model(rig.model, CONFIG)
    timing = report.timings["native"]
    assert timing.median_us < timing.high_us < timing.p99_us
    document = json.loads(json.dumps(report.to_json()))
    assert document["engines"]["native"]["per_second"] == pytest.approx(1e6 / timing.median_us)
    assert document["engines"]["native"]["timing"]["p99_us"] == timing.p99_us
    header = next(line for line in report.render().splitlines() if "p50 ms" in line)
    assert header.split()[-10:] == ["p50", "ms", "p90", "ms", "p99", "ms", "per", "second", "memory", "speed"]


@pytest.mark.parametrize("layers", [True, False])
def test_the_plot_shows_every_engine(rig: Rig, monkeypatch: pytest.MonkeyPatch, layers: bool) -> None:
    report = bench_model(rig.model, CONFIG, layers=layers)
    drawn = network_plot.draw(report, ".svg")
    assert drawn == network_plot.draw(report, ".svg"), "the same figures give the same file"
    assert drawn.startswith(b"<?xml")
    assert network_plot.draw(report, ".png").startswith(b"\x89PNG")
    bars: list[tuple[list[str], list[float]]] = []
    monkeypatch.setattr("matplotlib.axes.Axes.barh", lambda self, names, widths, **_: bars.append((names, widths)))
    monkeypatch.setattr("matplotlib.axes.Axes.legend", lambda *_, **__: None)
    network_plot.draw(report, ".svg")
    names = ["native", "plugin", "fused"]
    kinds = [(names, pytest.approx([0.002] * 3)), (names, pytest.approx([0.001] * 3))]
    assert bars == (kinds if layers else [(names, pytest.approx([3, 2, 1.5]))])
