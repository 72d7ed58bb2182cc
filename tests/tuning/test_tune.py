"""`trtconv build --tune` without a GPU: engines are ONNX models that take a given time and are compared for real."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import run_here
from tests.support.tune_fakes import SHAPE, TuneRig, failing
from trtconv import BuildConfig, build, decisions, tuning
from trtconv.errors import ConfigError, Interrupted
from trtconv.manifest import read_manifest
from trtconv.shapes import parse_profiles
from trtconv.units import parse_seconds


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TuneRig:
    return TuneRig(monkeypatch, tmp_path)


def config(rig: TuneRig, *shapes: str | None, **options: object) -> BuildConfig:
    profiles = parse_profiles(shapes or (SHAPE,))
    output = rig.model.with_suffix(".engine")
    return BuildConfig(output=output, backend="tensorrt", profiles=profiles, tune=True, **options)  # type: ignore[arg-type]


def test_the_fastest_is_written_with_what_was_measured(rig: TuneRig, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    report = build(rig.model, config(rig, decisions=file))
    assert rig.built[:3] == ["native", "norm + pad", "pad fused"]
    assert len(set(rig.built)) == len(rig.built), "no graph is built twice"
    assert (set(rig.num_builders), rig.tensorrt.num_left) == ({1}, 0), "TensorRT loads its kernels once"
    assert report.tuning is not None
    assert report.tuning.best == "fused"
    assert report.manifest.options.ops == "fused"
    assert "tuned      native: 0.100 ms" in report.render()
    document = json.loads(file.read_text())
    assert document["ops"] == "fused"
    assert document["measured"]["gpu"] == "NVIDIA H100 80GB HBM3"
    assert document["measured"]["network_us"]["fused"] == pytest.approx(50)
    figures = {each["node"]: each["figures"] for each in document["decisions"]}
    assert set(figures["pad"]["predicted_us"]) == {"native", "plugin norm", "plugin pad", "plugin", "fused"}
    assert figures["pad"]["network_us"] == pytest.approx({"plugin pad": 80, "plugin norm": 90})
    assert rig.device.allocated == {}
    assert rig.device.graphs_alive == 0
    assert len({each.timing_cache for each in rig.configs}) == 1
    assert not any(each.tune for each in rig.configs)


@pytest.mark.parametrize("fastest", ["native", "norm + pad", "pad fused", "norm", "pad"])
def test_a_later_build_follows_the_file_without_measuring(
    rig: TuneRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fastest: str
) -> None:
    file = tmp_path / "plan.json"
    rig.microseconds[fastest] = 10.0
    build(rig.model, config(rig, decisions=file))
    tuned = rig.model.with_suffix(".engine").read_bytes()
    before = file.read_bytes()

    def no_measuring(*arguments: object) -> None:
        raise AssertionError("it measures")

    monkeypatch.setattr(tuning, "tune", no_measuring)
    monkeypatch.setattr(tuning.gpu_device, "open_device", no_measuring)
    rig.built.clear()
    report = build(rig.model, BuildConfig(output=tmp_path / "b", profiles=config(rig).profiles, decisions=file))
    assert rig.built == [fastest]
    assert (tmp_path / "b").read_bytes() == tuned
    assert report.tuning is None
    assert file.read_bytes() == before


def test_every_profile_is_timed_at_its_usual_shapes(rig: TuneRig) -> None:
    build(rig.model, config(rig, SHAPE, None, "x=4x4x64x64"))
    timed = [each for each in rig.engines if each.shapes]
    assert timed
    assert all(each.profiles == [1] for each in timed)
    assert {each.shapes["x"] for each in timed} == {(4, 4, 64, 64)}, "the second profile's come last"


def test_an_interrupt_writes_the_best_so_far_and_ends_with_130(rig: TuneRig, tmp_path: Path) -> None:
    def interrupt(kind: str) -> None:
        if kind == "pad fused":
            raise Interrupted("the build was interrupted")

    rig.before_build = interrupt
    file = tmp_path / "plan.json"
    with pytest.raises(Interrupted, match=r"the best engine so far, plugin, was written to .*model\.engine"):
        build(rig.model, config(rig, decisions=file))
    manifest = read_manifest(rig.model.with_suffix(".engine"))
    assert manifest is not None
    assert manifest.options.ops == "plugin"
    assert decisions.read(file).ops == "plugin"


def test_an_interrupt_before_any_engine_writes_nothing(rig: TuneRig, tmp_path: Path) -> None:
    def interrupt(kind: str) -> None:
        raise Interrupted("the build was interrupted")

    rig.before_build = interrupt
    with pytest.raises(Interrupted):
        build(rig.model, config(rig, decisions=tmp_path / "plan.json"))
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_a_candidate_that_fails_is_told(rig: TuneRig) -> None:
    rig.before_build = failing("no implementation", "pad fused")
    report = build(rig.model, config(rig))
    assert report.manifest.options.ops == "plugin"
    assert "fused: no implementation" in report.render()


def test_a_wrong_engine_is_not_taken(rig: TuneRig) -> None:
    rig.spoil["pad fused"] = 0.5
    report = build(rig.model, config(rig))
    assert report.manifest.options.ops == "plugin"
    assert report.tuning is not None
    (fused,) = (each for each in report.tuning.candidates if each.name == "fused")
    assert fused.problem is not None
    assert "output y: max|error| is" in fused.problem


def test_an_engine_as_far_from_the_model_as_native_is_taken(rig: TuneRig) -> None:
    rig.spoil |= {"native": 0.5, "pad fused": 0.5}
    assert build(rig.model, config(rig)).manifest.options.ops == "fused"


WRONG = {
    "ops": (["--tune", "--ops", "fused"], "--tune: measures what the operators become, and --ops says it"),
    "budget alone": (["--tune-budget", "10m"], "--tune-budget: says how long --tune may measure"),
    "budget": (["--tune", "--tune-budget", "soon"], "--tune-budget: got 'soon', expected a time such as"),
    "no time": (["--tune", "--tune-budget", "0s"], "--tune-budget: must be a time above 0, got 0.0 s"),
    "dry run": (["--tune", "--dry-run"], "--tune: measures engines, and a dry run builds none"),
    "RTX": (["--tune", "--backend", "tensorrt-rtx"], "--tune: TensorRT-RTX does not support plugins"),
    "no weights": (["--tune", "--strip-weights"], "--tune: an engine without weights cannot be timed"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage(rig: TuneRig, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    arguments, error = WRONG[case]
    result = run_here("build", "model.onnx", "--shape", SHAPE, *arguments, cwd=rig.model.parent)
    assert result.exit_code == 2
    assert error in result.error


def test_a_pattern_that_matches_nothing_is_an_error(rig: TuneRig) -> None:
    with pytest.raises(ConfigError, match="'nothing' matches no"):
        build(rig.model, config(rig, keep_native=["nothing"]))
    assert rig.built == []
    build(rig.model, config(rig, keep_native=["relu"]))
    assert "pad fused" not in rig.built


def test_a_decision_file_that_exists_is_not_measured_again(rig: TuneRig, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text('{"format": 1, "decisions": []}')
    with pytest.raises(ConfigError, match="a build without --tune follows it"):
        build(rig.model, config(rig, decisions=file))
    assert rig.built == []


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("2 min", 120)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_seconds(text, "--tune-budget") == seconds
