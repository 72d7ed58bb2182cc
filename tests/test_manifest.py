"""The manifest beside an engine says what is in it, what it needs, and how it came about."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import write_model
from trtconv import BuildConfig, build
from trtconv.manifest import FORMAT, manifest_path, read_manifest
from trtconv.shapes import parse_shape_option

pytest.importorskip("tensorrt_rtx")

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
    assert manifest == report.manifest
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
    assert manifest["inputs"] == [{"name": "x", "dtype": "float", "shape": [-1, 3, -1, -1]}]
    assert [decision["node"] for decision in manifest["decisions"]] == ["/norm", "/pad"]
    age = datetime.now(timezone.utc) - datetime.fromisoformat(manifest["created"])
    assert timedelta(0) <= age < timedelta(minutes=5)
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", manifest["trtconv"])


def test_the_manifest_names_the_model_as_it_was_when_the_build_began(tmp_path: Path) -> None:
    """A long build may outlive its model file."""
    model = write_model(tmp_path, "static")
    before = hashlib.sha256(model.read_bytes()).hexdigest()
    report = build(
        model, BuildConfig(backend="tensorrt-rtx"), log=lambda message: model.write_bytes(b"another"), progress=None
    )
    assert report.manifest["model"]["sha256"] == before


@pytest.mark.parametrize("text", [None, "", "{", "[]", '"text"', "\xff", '{"engine": "of another program"}'])
def test_a_manifest_that_cannot_be_read_is_none(tmp_path: Path, text: str | None) -> None:
    engine = tmp_path / "m.engine"
    if text is not None:
        manifest_path(engine).write_bytes(text.encode("latin-1"))
    assert read_manifest(engine) is None


def test_the_format_is_known() -> None:
    assert FORMAT == 1
