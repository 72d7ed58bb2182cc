"""Builds small C++ programs of the tests with the machine's C++ compiler; tests skip where there is none."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PLUGIN_SOURCES = REPOSITORY / "plugins_cuda"
CPP_SUFFIXES = (".h", ".cuh", ".cpp", ".cu")


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


def load_cpp(source: Path, *options: str) -> ctypes.CDLL:
    """Compile sources, whose functions are extern "C", into one library and load it.

    It is compiled once for all processes and runs, and again when an option, a header or a source of ours has changed.
    """
    options = ("-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", *options)
    folder = REPOSITORY / "build" / "host" / _key_of(source, *options)
    library = folder / f"lib{source.stem}.so"
    with locked(folder):
        if not library.exists():
            compile_cpp(source, library.with_suffix(".part"), *options).rename(library)
    return ctypes.CDLL(str(library))


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder, and keep other processes from building in it meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _key_of(source: Path, *options: str) -> str:
    """Return what tells a library from that of other sources or options."""
    digest = hashlib.sha256(repr((find_compiler(), source, options)).encode())
    for folder in (PLUGIN_SOURCES, Path(__file__).parent):
        for path in sorted(path for path in folder.rglob("*") if path.suffix in CPP_SUFFIXES):
            digest.update(repr((path, path.read_bytes())).encode())
    return digest.hexdigest()[:16]
