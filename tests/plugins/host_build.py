"""Compiles the plugin library with the machine's C++ compiler alone, in seconds.

All of its host code is real: creators, fields, shapes, launch choices, the C launchers. sanitized/cuda stands for CUDA
and the kernels: a device that answers, and launches that are checked and run nothing.
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.plugins.host_compiler import PLUGIN_SOURCES, REPOSITORY, find_compiler, locked
from trtconv.plugins.library import FILE_NAME

HERE = Path(__file__).parent
FUZZER = HERE / "sanitized"
STAND_INS = FUZZER / "cuda"
FLAGS = ("-std=c++17", "-O0", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unknown-pragmas",
         f"-I{HERE}", f"-iquote{STAND_INS}", f"-I{STAND_INS}", f"-I{PLUGIN_SOURCES}")  # fmt: skip
EXPORTS = f"-Wl,--version-script={PLUGIN_SOURCES / 'exports.map'},--exclude-libs,ALL,--no-undefined"
FOLDER = REPOSITORY / "build" / "host-library"
LIBRARY = FOLDER / FILE_NAME


@functools.cache
def build_library() -> Path:
    """Compile what changed since the last time, and return the library."""
    with locked(FOLDER):
        link(LIBRARY, compile_sources(FOLDER, sources_by_area()), "-shared", EXPORTS)
    return LIBRARY


def compile_sources(folder: Path, areas: dict[str, list[Path]], *flags: str) -> list[Path]:
    """Compile what changed into `folder`, and return the objects.

    The sources of an area are compiled as one file, in half the time: most of it goes into headers and templates.
    """
    newest_header = max(path.stat().st_mtime for path in _headers())
    jobs, objects = [], []
    for area, sources in areas.items():
        unit, made = folder / f"{area}.cpp", folder / f"{area}.o"
        text = "".join(f'#include "{source}"\n' for source in sources)
        newest = max(newest_header, *(source.stat().st_mtime for source in sources))
        if not made.exists() or made.stat().st_mtime < newest or unit.read_text() != text:
            unit.write_text(text)
            jobs.append([find_compiler(), *FLAGS, *flags, "-c", str(unit), "-o", str(made)])
        objects.append(made)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(_run, jobs))
    return objects


def link(output: Path, objects: list[Path], *flags: str) -> None:
    """Link the objects into `output`, unless it is newer than each of them."""
    if not output.exists() or output.stat().st_mtime < max(made.stat().st_mtime for made in objects):
        _run([find_compiler(), *flags, *map(str, objects), "-ldl", "-o", str(output)])


def sources_by_area() -> dict[str, list[Path]]:
    """Return the library's sources by folder of plugins_cuda; a file right in it is its own area."""
    areas: dict[str, list[Path]] = {}
    for path in sorted(PLUGIN_SOURCES.rglob("*")):
        if path.suffix in (".cpp", ".cu") and "bench" not in path.parts:
            areas.setdefault(path.relative_to(PLUGIN_SOURCES).parts[0], []).append(path)
    return areas


def _headers() -> Iterator[Path]:
    for folder in (PLUGIN_SOURCES, FUZZER):
        yield from (path for path in folder.rglob("*") if path.suffix in (".h", ".cuh"))


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
