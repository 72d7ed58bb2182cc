"""The manifest beside an engine: `model.engine.json` says what is in it, what it needs, and how it came about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
