"""The story of a conversion in Python: defaults, data files beside the model, nothing left behind by a failure."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

import trtconv
from tests.support.command_line import OPSET_17, contents, write_model
from trtconv import BuildConfig, ShapeRange, convert, pairs
from trtconv.errors import ConfigError

RTX = {"backend": "tensorrt-rtx"}
WEIGHTS = "weights.bin"


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """A model whose weights lie in a file beside it."""
    folder = tmp_path / "models"
    folder.mkdir()
    body = '{ p = Constant<value_ints=[0, 1, 0, 1]>()  a = Mul(x, w)  y = Pad<mode="reflect">(a, p) }'
    model = onnx.parser.parse_model(f"{OPSET_17} g (float[1,512] x) => (float[1,514] y) {body}")
    model.graph.initializer.append(numpy_helper.from_array(np.full(512, 0.5, np.float32), "w"))
    path = folder / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location=WEIGHTS, size_threshold=1000)
    assert (folder / WEIGHTS).stat().st_size == 2048
    return path


def test_the_engine_stands_beside_the_model_by_default(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    report = trtconv.build(str(write_model(tmp_path, "static")), BuildConfig(**RTX))
    assert (report.engine, report.manifest_path) == (tmp_path / "static.engine", tmp_path / "static.engine.json")
    assert report.seconds > 0


def test_an_engine_of_a_model_with_data_files(external: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    report = trtconv.build(external, BuildConfig(**RTX))
    assert b"\x00\x00\x00\x3f" * 512 in report.engine.read_bytes(), "the weights are not in the engine"


@pytest.mark.parametrize("command", ["build", "rewrite"])
def test_a_data_file_is_never_overwritten(external: Path, command: str) -> None:
    before = contents(external.parent)
    output = external.parent / WEIGHTS
    if command == "build":
        pytest.importorskip("tensorrt_rtx")
    convert = {
        "build": lambda: trtconv.build(external, BuildConfig(output=output, **RTX)),
        "rewrite": lambda: trtconv.rewrite(external, output),
    }
    with pytest.raises(ConfigError, match="is an input, which is never overwritten"):
        convert[command]()
    assert contents(external.parent) == before


def test_a_failed_rewrite_takes_its_data_files_back(
    external: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    target.mkdir()

    seen: list[list[str]] = []

    def fail_at_the_model(descriptor: int) -> None:
        """The data file is written first, then its name into the folder."""
        seen.append(sorted(os.listdir(target)))
        if len(seen) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail_at_the_model)
        with pytest.raises(trtconv.TrtconvError, match="No space left"):
            trtconv.rewrite(external, target / "model.onnx")
    assert WEIGHTS in seen[2], "the data file was there before the model"
    assert contents(target) == {}
    assert (external.parent / WEIGHTS).exists()
    trtconv.rewrite(external, target / "model.onnx")
    assert sorted(contents(target)) == ["model.onnx", WEIGHTS]


@pytest.mark.parametrize(
    "options",
    [
        {"backend": "tensorrt-rtx", "decisions": Path("plan.json")},
        {"backend": "tensorrt-rtx", "timing_cache": Path("timing.cache")},
        {"backend": "tensorrt", "gpu_arch": "sm_89"},
        {"profiles": ({"picture": ShapeRange((1,), (1,), (1,))},)},
    ],
)
def test_a_dry_run_refuses_what_the_build_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = write_model(tmp_path, "dynamic")
    before = contents(tmp_path)
    with pytest.raises(ConfigError):
        trtconv.dry_run(model, BuildConfig(**options))
    assert contents(tmp_path) == before


def test_a_dry_run_needs_no_shapes(tmp_path: Path) -> None:
    assert trtconv.dry_run(write_model(tmp_path, "dynamic")).decisions


def test_bad_output_is_told_before_the_long_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_model(tmp_path, "static")
    (tmp_path / "m.engine.json").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        trtconv.build(model, BuildConfig(output=tmp_path / "m.engine", **RTX))
    with pytest.raises(ConfigError, match="no such file"):
        trtconv.build(tmp_path / "no" / "model.onnx")


def test_the_model_is_never_the_manifest(tmp_path: Path) -> None:
    """`-o m` writes m.json too."""
    model = write_model(tmp_path, "static").rename(tmp_path / "m.json")
    with pytest.raises(ConfigError, match="is an input, which is never overwritten"):
        trtconv.build(model, BuildConfig(output=tmp_path / "m", **RTX))


def test_files_of_a_conversion_are_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx")
    calls: list[str] = []
    monkeypatch.setattr(pairs, "write_pair", lambda engine, data, manifest: calls.append(engine.name))
    monkeypatch.setattr("trtconv.reports.build_report.BuildReport.render", lambda self: "")
    trtconv.build(write_model(tmp_path, "static"), BuildConfig(**RTX))
    assert calls == ["static.engine"]
    assert os.listdir(tmp_path) == ["static.onnx"]


@pytest.mark.parametrize(
    ("model", "engine"),
    [
        ("net.onnx", "net.engine"),
        ("net.v1.1.onnx", "net.v1.1.engine"),
        ("net.v1.2.onnx", "net.v1.2.engine"),
        ("net.v1.2", "net.v1.2.engine"),
        ("net", "net.engine"),
        ("NET.ONNX", "NET.engine"),
        (".onnx", ".engine"),
        ("a.b/net.pt.onnx", "a.b/net.pt.engine"),
    ],
)
def test_dots_in_a_name_mean_nothing(model: str, engine: str) -> None:
    assert convert.default_engine_path(Path(model)) == Path(engine)
