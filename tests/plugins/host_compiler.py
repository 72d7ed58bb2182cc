"""Builds small C++ programs of the tests with the machine's C++ compiler; tests skip where there is none."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PLUGIN_SOURCES = REPOSITORY / "plugins_cuda"


def find_compiler() -> str:
    """Return the machine's C++ compiler; the test skips where there is none."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    return compiler


def compile_cpp(source: Path, output: Path, *options: str) -> Path:
    """Compile `source`, and those among the options, into `output` against the plugin sources; return `output`."""
    command = [find_compiler(), "-std=c++17", "-O2", f"-I{PLUGIN_SOURCES}", *options, str(source), "-o", str(output)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return output


def load_cpp(folder: Path, source: Path, *more: Path) -> ctypes.CDLL:
    """Compile sources, whose functions are extern "C", into one library in `folder` and load it."""
    output = folder / f"lib{source.stem}.so"
    options = ("-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", *map(str, more))
    return ctypes.CDLL(str(compile_cpp(source, output, *options)))
