"""`trtconv inspect` and `trtconv doctor` on a machine with a GPU and full TensorRT."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu.needs import TENSORRT_ON_GPU
from tests.support.command_line import write_model
from tests.support.documented_json import assert_documented
from trtconv import BuildConfig, build, doctor
from trtconv.inspection import inspect
from trtconv.inspection.differences import diff
from trtconv.inspection.engine_inspection import inspect_engine
from trtconv.shapes import parse_profiles

pytestmark = TENSORRT_ON_GPU


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), "dynamic")


@pytest.fixture(scope="module")
def engine(model: Path) -> Path:
    profiles = parse_profiles(["x=1x3x8x8:1x3x16x16:2x3x32x32", None, "x=1x3x8x8"])
    return build(model, BuildConfig(backend="tensorrt", profiles=profiles, ops="plugin")).engine


def test_a_loaded_engine(engine: Path) -> None:
    inspection = inspect_engine(engine)
    assert inspection.not_loaded_because is None, inspection.not_loaded_because
    assert inspection.layers is not None
    # Two plugins, in layers of their own for each of the two profiles.
    assert [layer.type for layer in inspection.layers].count("PluginV3") == 4
    assert all(layer.formats for layer in inspection.layers if layer.type == "PluginV3")
    assert all(layer.precision == "float32" for layer in inspection.layers if layer.type == "PluginV3")
    assert inspection.num_profiles == 2
    assert [tuple(profile.max) for profile in inspection.tensors[0].profiles] == [(2, 3, 32, 32), (1, 3, 8, 8)]
    assert inspection.device_memory_bytes is not None
    assert all(match.matches for match in inspection.matches)
    assert inspection.warnings == []
    assert_documented(inspection.to_json())
    print(inspection.render(140))


def test_with_plugins_against_native(model: Path, engine: Path, tmp_path: Path) -> None:
    profiles = parse_profiles(["x=1x3x8x8"])
    native = build(model, BuildConfig(tmp_path / "n.engine", profiles=profiles, backend="tensorrt", ops="native"))
    difference = diff(inspect(engine), inspect(native.engine))
    assert {"nodes", "layers", "profiles"} <= {change.section for change in difference.changes}


def test_the_parser_checks_a_model(model: Path) -> None:
    inspection = inspect(model, backend="tensorrt")
    assert inspection.to_json()["backend"]["checked"]
    assert inspection.to_json()["problems"] == []


def test_doctor() -> None:
    diagnosis = doctor.examine()
    print(diagnosis.render(140))
    assert diagnosis.can_build
    assert diagnosis.auto == "tensorrt"
    assert diagnosis.backends[0].takes_plugins
    assert diagnosis.library.code_for_gpu in ("machine code", "PTX")
    assert [finding for finding in diagnosis.findings if finding.level == "error"] == []
