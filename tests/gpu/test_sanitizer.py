"""compute-sanitizer finds nothing in any kernel: no access out of bounds, no race, no use of unwritten memory."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu.sanitized_launches import NUM_LAUNCHES, SHORT
from tests.support.command_line import environment
from trtconv.gpu.driver import find_gpu

SANITIZER = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(find_gpu() is None, reason="needs a GPU"),
    pytest.mark.skipif(not Path(SANITIZER).exists(), reason="needs compute-sanitizer, of the CUDA toolkit"),
]


@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck", "initcheck"])
def test_finds_nothing(tool: str) -> None:
    finished = run(tool)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert f"launched {NUM_LAUNCHES}" in finished.stdout


def test_finds_an_output_that_is_too_short() -> None:
    finished = run("memcheck", SHORT)
    assert finished.returncode != 0
    assert "Invalid __global__ write" in finished.stdout


def run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    # cuda-bindings asks the driver for functions that it may not have, and that is no error.
    options = ["--tool", tool, "--error-exitcode", "9", "--report-api-errors", "no"]
    command = [SANITIZER, *options, sys.executable, "-m", "tests.gpu.sanitized_launches", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600)
