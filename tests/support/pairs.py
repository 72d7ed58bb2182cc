"""Engines of a few bytes with their manifests: written, and held to be a pair."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from trtconv import pairs
from trtconv.manifest import EngineIdentity, Manifest, read_manifest

OLD, NEW, OTHER = b"vtrt the old engine", b"vtrt the new engine", b"vtrt one more engine"


def write(engine: Path, data: bytes) -> None:
    """Write an engine of these bytes, and its manifest."""
    identity = EngineIdentity(hashlib.sha256(data).hexdigest(), len(data))
    pairs.write_pair(engine, data, Manifest(trtconv="0.1.0", created=data.decode(), engine=identity))


def require_pair(engine: Path, *expected: bytes) -> bytes:
    """Check that the engine is one of these, whole, with its own manifest; return it."""
    data = engine.read_bytes()
    assert data in expected
    found = read_manifest(engine)
    assert found is not None
    assert found.created == data.decode()
    return data


def require_tidy(folder: Path) -> None:
    """Check that a run leaves nothing of the runs before it."""
    assert sorted(os.listdir(folder)) == ["m.engine", "m.engine.json"]
