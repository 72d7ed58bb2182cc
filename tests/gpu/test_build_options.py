"""Options of the build that need a GPU: timing cache, refitting, compatibility."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.gpu.needs import TENSORRT_ON_GPU
from tests.gpu.networks import Network
from tests.support.command_line import COMMAND
from trtconv import BuildConfig, build, refit_engine
from trtconv.comparison import compare
from trtconv.comparison.tolerance import TOLERANCE
from trtconv.errors import BackendError

pytestmark = TENSORRT_ON_GPU

NETWORK = Network(31, make={"network": "fast_neural_style", "height": 128, "width": 160})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = NETWORK.path(tmp_path)
    assert path is not None
    return path


def config(tmp_path: Path, **options: object) -> BuildConfig:
    chosen = {"ops": "plugin", **options}
    return BuildConfig(output=tmp_path / "model.engine", backend="tensorrt", tf32=False, **chosen)  # type: ignore[arg-type]


def test_second_build_with_the_timing_cache_is_faster(model: Path, tmp_path: Path) -> None:
    cache = tmp_path / "timing.cache"
    first = build(model, config(tmp_path, timing_cache=cache))
    second = build(model, config(tmp_path, timing_cache=cache))
    print(f"\nRESULT timing cache: {first.seconds:.1f} s, then {second.seconds:.1f} s, {cache.stat().st_size} bytes")
    assert first.notes == second.notes == []
    assert second.seconds < 0.7 * first.seconds


@pytest.mark.parametrize("damage", ["garbage", "truncated", "foreign"])
def test_a_cache_of_no_use_is_told_and_replaced(model: Path, tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "timing.cache"
    build(model, config(tmp_path, timing_cache=cache, opt_level=0))
    good = cache.read_bytes()
    header = bytes(byte ^ 0x55 for byte in good[:64])
    cache.write_bytes(
        {"garbage": b"x" * 1000, "truncated": good[: len(good) // 2], "foreign": header + good[64:]}[damage]
    )
    report = build(model, config(tmp_path, timing_cache=cache, opt_level=0))
    assert any("timing cache" in note for note in report.notes)
    assert build(model, config(tmp_path, timing_cache=cache, opt_level=0)).notes == []


def test_refitting_a_stripped_engine_gives_its_outputs_back(model: Path, tmp_path: Path) -> None:
    feeds = NETWORK.feeds(model)
    whole = build(model, config(tmp_path, opt_level=1)).engine.stat().st_size
    report = build(model, config(tmp_path, opt_level=1, strip_weights=True))
    stripped = report.engine.stat().st_size
    print(f"\nRESULT strip: {whole} bytes, stripped {stripped}")
    assert stripped < 0.5 * whole
    result = compare(model, refit_engine(report.engine, model), feeds, TOLERANCE["fp32"])
    assert result.passed, result.render()


def test_refittable_engine_takes_the_weights_of_another_model(model: Path, tmp_path: Path) -> None:
    report = build(model, config(tmp_path, opt_level=1, refittable=True))
    folder = tmp_path / "other"
    folder.mkdir()
    other = Network(31, make={**NETWORK.make, "seed": 7}).path(folder)
    assert other is not None
    feeds = NETWORK.feeds(other)
    assert not compare(other, report.engine, feeds, TOLERANCE["fp32"]).passed
    result = compare(other, refit_engine(report.engine, other), feeds, TOLERANCE["fp32"])
    assert result.passed, result.render()


def test_hardware_compatible_engine_is_right(model: Path, tmp_path: Path) -> None:
    report = build(model, config(tmp_path, opt_level=1, hardware_compatible=True))
    assert json.loads(report.manifest_path.read_text())["options"]["hardware_compatible"]
    result = compare(model, report.engine, NETWORK.feeds(model), TOLERANCE["fp32"])
    assert result.passed, result.render()


@pytest.mark.parametrize("option", ["version_compatible", "embed_plugins"])
def test_version_compatible_needs_the_lean_runtime(model: Path, tmp_path: Path, option: str) -> None:
    """Where the lean runtime is installed the engine is built, and an embedded library is found without ours."""
    options: dict[str, bool] = {option: True}
    if find_spec("tensorrt_lean") is None:
        with pytest.raises(BackendError) as caught:
            build(model, config(tmp_path, opt_level=0, **options))
        assert "tensorrt-lean" in (caught.value.hint or "")
        assert not (tmp_path / "model.engine").exists()
        return
    report = build(model, config(tmp_path, opt_level=0, **options))
    result = compare(model, report.engine, NETWORK.feeds(model), TOLERANCE["fp32"])
    assert result.passed, result.render()


def test_ctrl_c_ends_a_build_within_seconds(model: Path, tmp_path: Path) -> None:
    """TensorRT's builder is at work when the signal comes: its first phases are reported, its engine is not."""
    output = tmp_path / "out.engine"
    output.write_bytes(b"older engine")
    command = [*COMMAND, "build", str(model), "--backend", "tensorrt", "-o", str(output), "-v"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "Local timing cache in use" in line or "Compiler backend is used during engine build" in line:
            break
    time.sleep(1)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    seconds = time.monotonic() - start
    print(f"\nRESULT Ctrl-C: {seconds:.1f} s")
    assert process.returncode == 130, errors
    assert seconds < 2
    assert output.read_bytes() == b"older engine"
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".engine", ".onnx"]


def test_an_engine_without_its_lean_runtime_runs_where_it_was_built(model: Path, tmp_path: Path) -> None:
    options = config(tmp_path, version_compatible=True, exclude_lean_runtime=True)
    report = build(model, options)
    assert report.manifest.options.exclude_lean_runtime
    assert compare(model, report.engine, NETWORK.feeds(model), TOLERANCE["fp32"]).passed
