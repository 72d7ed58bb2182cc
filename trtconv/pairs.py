"""Write an engine and its manifest so that they are a pair at every moment, whenever the process is killed.

The new manifest is written first under a name that holds the engine's sha256. The engine taking its name decides; then
the manifest takes its usual name as well. Whoever reads finds the manifest that fits the engine under either name.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import BinaryIO

from trtconv import parts
from trtconv.manifest import Manifest, first_manifest_path, first_manifest_paths, manifest_path


def write_pair(engine_path: Path, data: bytes | memoryview, manifest: Manifest) -> None:
    """Write an engine and its manifest, which holds the engine's sha256.

    Raises ConfigError or BackendError where one of them cannot be written; the engine is then the old one or the new
    one, each with its manifest. Builds of one output side by side take turns for the last step.
    """
    assert manifest.engine.sha256 is not None
    usual_path = manifest_path(engine_path)
    text = manifest.to_text().encode()
    first_path = first_manifest_path(engine_path, manifest.engine.sha256)
    with ExitStack() as stack:
        engine = stack.enter_context(parts.written(engine_path, partial(_write, data)))
        first = stack.enter_context(parts.written(first_path, partial(_write, text), stem=usual_path.name))
        usual = stack.enter_context(parts.written(usual_path, partial(_write, text)))
        with parts.locked(engine.target.parent):
            first.take_name()
            engine.take_name()
            usual.take_name()
            for path in first_manifest_paths(engine_path):
                os.unlink(path)


def _write(data: bytes | memoryview, file: BinaryIO) -> None:
    file.write(data)
