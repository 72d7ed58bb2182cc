"""--ops auto and --tune on full TensorRT: never slower than native but for noise, and followed without measuring."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.gpu.needs import TENSORRT_ON_GPU
from tests.gpu.networks import NETWORKS
from trtconv import BuildConfig, ShapeRange, build, tuning
from trtconv.benchmark.model import bench_model
from trtconv.costs.tables import table_for
from trtconv.gpu.driver import find_gpu

pytestmark = TENSORRT_ON_GPU


def network(name: str, folder: Path) -> Path:
    path = NETWORKS[name].path(folder)
    if path is None:
        pytest.skip(f"TRTCONV_TEST_MODELS names no folder with {NETWORKS[name].file}")
    target = folder / "model.onnx"
    if path != target:
        shutil.copy(path, target)
    return target


@pytest.mark.parametrize("name", ["fast_neural_style_fp16", "cyclegan_fp16", "xfeat_fp16"])
def test_what_is_tuned_is_not_slower_than_native(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, file = network(name, tmp_path), tmp_path / "plan.json"
    config = BuildConfig(output=tmp_path / "a.engine", backend="tensorrt", tune=True, tune_budget_s=120, decisions=file)
    report = build(model, config)
    assert report.tuning is not None
    print(report.render())
    measured = json.loads(file.read_text())["measured"]["network_us"]
    assert measured["native"] > 0
    monkeypatch.setattr(tuning, "tune", lambda *_: pytest.fail("it measures"))
    again = build(model, replace(config, output=tmp_path / "b.engine", tune=False, tune_budget_s=None))
    assert [(each.node, each.became) for each in again.rewrite.decisions] == [
        (each.node, each.became) for each in report.rewrite.decisions
    ]
    timed = bench_model(model, BuildConfig(decisions=file), force=True)
    noise = table_for(find_gpu()).noise
    native = timed.timings["native"].median_us
    for variant in ("auto", "tuned"):
        own = timed.timings[timed.same.get(variant, variant)].median_us
        assert own - native <= noise.of(native), timed.render()


def test_profiles_are_timed_each(tmp_path: Path) -> None:
    import onnx

    from models.make_models import make

    path = tmp_path / "dynamic.onnx"
    onnx.save(make("fast_neural_style", height=64, width=64, dynamic=True), path)
    (name,) = (value.name for value in onnx.load(path).graph.input)
    shapes = [{name: ShapeRange.parse(f"1x3x{size}x{size}")} for size in (64, 128)]
    config = BuildConfig(
        output=tmp_path / "a.engine", backend="tensorrt", opt_level=1, tune=True, tune_budget_s=60, profiles=shapes
    )
    report = build(path, config)
    assert report.tuning is not None
    assert report.tuning.candidates[0].name == "native"
    assert report.tuning.candidates[0].median_us is not None
