"""Manifests of an older version, and what a damaged one may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.support.engine_files import DATA
from trtconv.manifest import manifest_path

# As trtconv 0.1.0 wrote them: of an fp16 engine with plugins, and of one of TensorRT-RTX.
MANIFESTS = DATA / "manifests"
TENSORRT, RTX = MANIFESTS / "0.1.0_tensorrt.json", MANIFESTS / "0.1.0_rtx.json"


def write_manifest(folder: Path, content: Any) -> Path:
    """Return an engine's path, with a manifest beside it."""
    manifest_path(folder / "m.engine").write_text(json.dumps(content))
    return folder / "m.engine"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
