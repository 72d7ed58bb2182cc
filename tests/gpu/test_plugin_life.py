"""The life of a plugin as docs/plugins.md shows it is the life that TensorRT gives it.

TRTCONV_UPDATE_GOLDEN=1 writes the trace into docs/plugins.md instead; read the diff.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu.needs import TENSORRT_ON_GPU
from tests.support.plugin_trace import VARIABLE, document, documented, normalised, trace_lines
from trtconv.gpu.driver import find_gpu

pytestmark = TENSORRT_ON_GPU

UPDATE_VARIABLE = "TRTCONV_UPDATE_GOLDEN"
PROGRAM = Path(__file__).with_name("plugin_life.py")


def test_the_traced_life_is_the_documented_one(tmp_path: Path) -> None:
    import tensorrt

    gpu = find_gpu()
    assert gpu is not None
    finished = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path / "life.engine")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, VARIABLE: "1"},
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    lines = [f"TensorRT {tensorrt.__version__}, {gpu.arch}", *normalised(trace_lines(finished.stderr))]
    if os.environ.get(UPDATE_VARIABLE) == "1":
        document(lines)
    shown = documented()
    assert shown[0].startswith("TensorRT "), f"docs/plugins.md shows no trace: set {UPDATE_VARIABLE}=1"
    if shown[0] != lines[0]:
        pytest.skip(f"docs/plugins.md shows {shown[0]}, this is {lines[0]}")
    assert lines == shown
