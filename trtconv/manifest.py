"""The manifest beside an engine: `model.engine.json` says what is in it, what it needs, and how it came about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trtconv.config import BuildConfig
from trtconv.shapes import ShapeRange

FORMAT = 1


def manifest_path(engine_path: Path) -> Path:
    """Return where the manifest of an engine is."""
    return engine_path.with_name(engine_path.name + ".json")


def read_manifest(engine_path: Path) -> dict[str, Any] | None:
    """Return an engine's manifest, or None where there is none of trtconv's that can be read."""
    try:
        content = json.loads(manifest_path(engine_path).read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and "trtconv" in content else None


def to_text(manifest: dict[str, Any]) -> str:
    """Return the manifest as the text of its file."""
    return json.dumps(manifest, indent=2) + "\n"


def config_as_built(content: Mapping[str, Any]) -> BuildConfig:
    """Return the options that a manifest names, for an engine that holds its weights and is not written to a file."""
    options, is_rtx = content["options"], content["backend"] == "tensorrt-rtx"
    return BuildConfig(
        profiles=[{name: ShapeRange.parse(text) for name, text in each.items()} for each in content["profiles"]],
        backend=content["backend"],
        gpu_arch=content["gpu_arch"] if is_rtx else None,
        workspace_bytes=options["workspace_bytes"],
        opt_level=options["opt_level"],
        tf32=options["tf32"],
        ops=None if is_rtx else options["ops"],
        precision=options["precision"],
        io_types=options["io_types"],
        version_compatible=options["version_compatible"],
        hardware_compatible=options["hardware_compatible"],
        refittable=options["refittable"],
    )
