"""The manifest beside an engine says what is in it, what it needs, and how it came about."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.command_line import write_model
from tests.support.manifests import JSON, RTX, TENSORRT, write_manifest
from trtconv import BuildConfig, build
from trtconv.config import EngineOptions, Ops
from trtconv.decisions import KEPT_FP32, Decision
from trtconv.errors import ConfigError
from trtconv.manifest import FORMAT, Manifest, manifest_path, require_manifest
from trtconv.shapes import ShapeRange, parse_profiles, parse_shape_option

# What a reader may rely on, by key; a change of it needs a new FORMAT.
SCHEMA: dict[str, Any] = {
    "format": int,
    "trtconv": str,
    "created": str,
    "model": {"file": str, "sha256": str, "opset": int},
    "engine": {"sha256": str, "bytes": int},
    "backend": str,
    "backend_version": str,
    "gpu": (str, type(None)),
    "gpu_arch": str,
    "plugin_library": (dict, type(None)),
    "plugins": [str],
    "options": {
        "workspace_bytes": (int, type(None)),
        "opt_level": (int, type(None)),
        "tf32": (bool, type(None)),
        "ops": str,
        "precision": (str, type(None)),
        "io_types": dict,
        "version_compatible": bool,
        "hardware_compatible": bool,
        "refittable": bool,
        "strip_weights": bool,
        "embed_plugins": bool,
        "exclude_lean_runtime": bool,
    },
    "profiles": [dict],
    "inputs": [{"name": str, "dtype": str, "shape": [int]}],
    "outputs": [{"name": str, "dtype": str, "shape": [int]}],
    "decisions": [{"node": str, "op": str, "became": (str, type(None)), "reason": str}],
    "kept_fp32": list,
    "verified": (dict, type(None)),
}


def require(value: Any, schema: Any, path: str = "manifest") -> None:
    if isinstance(schema, dict):
        assert value.keys() == schema.keys(), path
        for key, inner in schema.items():
            require(value[key], inner, f"{path}.{key}")
    elif isinstance(schema, list):
        assert isinstance(value, list), path
        for index, item in enumerate(value):
            require(item, schema[0], f"{path}[{index}]")
    else:
        assert isinstance(value, schema), path


def test_the_manifest_tells_the_build(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    model = write_model(tmp_path, "dynamic")
    profile = dict([parse_shape_option("x=1x3x4x4:1x3x8x8:2x3x16x16")])
    config = BuildConfig(
        output=tmp_path / "m.plan",
        backend="tensorrt-rtx",
        gpu_arch="sm_120",
        profiles=[profile],
        tf32=False,
        workspace_bytes=1 << 30,
    )
    report = build(model, config)
    assert report.manifest_path == tmp_path / "m.plan.json"
    manifest = json.loads(report.manifest_path.read_text())
    assert manifest == report.manifest.to_json()
    require(manifest, SCHEMA)
    plan = report.engine.read_bytes()
    assert manifest["engine"] == {"sha256": hashlib.sha256(plan).hexdigest(), "bytes": len(plan)}
    assert manifest["model"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert (manifest["backend"], manifest["gpu_arch"]) == ("tensorrt-rtx", "sm_120")
    asked = {"workspace_bytes": 1 << 30, "opt_level": None, "tf32": False, "ops": "native"}
    assert asked.items() <= manifest["options"].items()
    assert not any(value for name, value in manifest["options"].items() if name not in asked)
    assert manifest["profiles"] == [{"x": "1x3x4x4:1x3x8x8:2x3x16x16"}]
    assert (manifest["plugins"], manifest["plugin_library"]) == ([], None)
    assert manifest["inputs"] == [{"name": "x", "dtype": "float32", "shape": [-1, 3, -1, -1]}]
    assert [decision["node"] for decision in manifest["decisions"]] == ["/norm", "/pad"]
    age = datetime.now(timezone.utc) - datetime.fromisoformat(manifest["created"])
    assert timedelta(0) <= age < timedelta(minutes=5)
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", manifest["trtconv"])


def test_the_manifest_names_the_model_as_it_was_when_the_build_began(tmp_path: Path) -> None:
    """A long build may outlive its model file."""
    pytest.importorskip("tensorrt_rtx")
    model = write_model(tmp_path, "static")
    before = hashlib.sha256(model.read_bytes()).hexdigest()
    report = build(
        model, BuildConfig(backend="tensorrt-rtx"), log=lambda message: model.write_bytes(b"another"), progress=None
    )
    assert report.manifest.model is not None
    assert report.manifest.model.sha256 == before


# Manifests of 0.1.0, and the way back to a config. ------------------------------------------------------------------


@pytest.mark.parametrize("path", [TENSORRT, RTX], ids=["tensorrt", "rtx"])
def test_a_manifest_of_0_1_0_is_read_and_written_as_it_was(path: Path) -> None:
    """Options that came later are added, at their defaults."""
    content = json.loads(path.read_text())
    written = json.loads(Manifest.from_json(content).to_text())
    later = {each.name: each.default for each in fields(EngineOptions) if each.name not in content["options"]}
    assert written == content | {"options": content["options"] | later}
    assert list(written) == list(content), "the keys stay in their order"


def test_the_fields_of_a_manifest_of_0_1_0() -> None:
    manifest = Manifest.from_json(json.loads(TENSORRT.read_text()))
    assert manifest.model is not None
    assert (manifest.model.file, manifest.model.opset) == ("style.onnx", 17)
    assert (manifest.backend, manifest.gpu_arch, manifest.engine.bytes) == ("tensorrt", "sm_90", 82543)
    assert manifest.plugin_library is not None
    assert manifest.plugin_library.sha256 == "9f" * 32
    assert (manifest.options.precision, manifest.options.tf32, manifest.options.ops) == ("fp16", False, "plugin")
    assert manifest.inputs[0].shape == (1, 3, 24, 32)
    assert [decision.became for decision in manifest.decisions].count(None) == 1
    assert {decision.became for decision in manifest.kept_fp32} == {KEPT_FP32}
    assert manifest.verified is not None
    assert manifest.verified.tolerance == "0.02 max|y|"


def test_the_config_of_a_manifest_of_0_1_0() -> None:
    expected = BuildConfig(
        profiles=parse_profiles(["x=1x3x4x4:1x3x8x8:2x3x16x16", None, "x=4x3x8x8"]),
        backend="tensorrt-rtx",
        gpu_arch="sm_89",
        tf32=False,
        precision="fp16",
    )
    assert Manifest.from_json(json.loads(RTX.read_text())).config() == expected


def test_options_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    content = json.loads(RTX.read_text())
    content["options"] |= {"opt_level": 9}
    engine = write_manifest(tmp_path, content)
    with pytest.raises(ConfigError, match="options do not fit together: --opt-level: optimisation level 9") as caught:
        require_manifest(engine, "how it was built")
    assert caught.value.where == str(manifest_path(engine))


def test_what_is_not_finite_comes_back() -> None:
    content = json.loads(TENSORRT.read_text())
    content["verified"]["max_abs_error"] = "inf"
    manifest = Manifest.from_json(content)
    assert manifest.verified is not None
    assert manifest.verified.max_abs_error == float("inf")
    assert manifest.to_json()["verified"] == content["verified"]


SHAPES = st.lists(st.integers(0, 2**40), max_size=4).map(lambda dims: ShapeRange(*(tuple(dims),) * 3))
NAMES = st.text(max_size=8)


@st.composite
def configs(draw: st.DrawFn) -> BuildConfig:
    """Every build that full TensorRT can be asked for."""
    precision = draw(st.sampled_from([None, "fp16", "bf16"]))
    ops: Ops | None = draw(st.sampled_from([None, *get_args(Ops)]))
    flags = {name: draw(st.booleans()) for name in ("version_compatible", "hardware_compatible")}
    flags["exclude_lean_runtime"] = flags["version_compatible"] and draw(st.booleans())
    if precision is None:
        flags |= {name: draw(st.booleans()) for name in ("refittable", "strip_weights")}
    return BuildConfig(
        profiles=tuple(draw(st.lists(st.dictionaries(NAMES, SHAPES, max_size=3), max_size=3))),
        backend="tensorrt",
        workspace_bytes=draw(st.none() | st.integers(1, 2**62)),
        opt_level=draw(st.none() | st.integers(0, 5)),
        tf32=draw(st.none() | st.booleans()),
        ops=ops,
        precision=precision,
        io_types={}
        if precision is None
        else draw(st.dictionaries(NAMES, st.sampled_from(["fp16", "keep"]), max_size=3)),
        embed_plugins=ops != "native" and draw(st.booleans()),
        **flags,
    )


@settings(deadline=None, derandomize=True)
@given(configs(), st.lists(st.builds(Decision, NAMES, NAMES, st.none() | NAMES, NAMES, st.dictionaries(NAMES, JSON))))
def test_a_config_comes_back_as_it_was_built(config: BuildConfig, decisions: list[Decision]) -> None:
    manifest = Manifest(
        trtconv="1", backend="tensorrt", options=config.recorded(), profiles=config.profiles, decisions=decisions
    )
    back = Manifest.from_json(json.loads(manifest.to_text()))
    assert [decision.node for decision in back.decisions] == [decision.node for decision in decisions]
    assert back.options == config.recorded()
    version_compatible = config.version_compatible or config.embed_plugins
    expected = replace(config, strip_weights=False, embed_plugins=False, version_compatible=version_compatible)
    assert back.config() == expected
    assert back.to_json() == manifest.to_json()


def test_the_format_is_known() -> None:
    assert FORMAT == 1


def test_a_report_s_manifest_is_read_as_a_document_too() -> None:
    manifest = Manifest(trtconv="0.1.0", backend="tensorrt-rtx", gpu_arch="sm_89")
    assert manifest["gpu_arch"] == manifest.to_json()["gpu_arch"] == "sm_89"
    with pytest.raises(KeyError):
        _ = manifest["nonsense"]
