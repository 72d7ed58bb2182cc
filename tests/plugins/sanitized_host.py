"""Builds the plugins' host code and its fuzzer with sanitizers, by the machine's C++ compiler alone.

`python tests/plugins/sanitized_host.py ITERATIONS SEED` runs it; the objects stay in build/sanitized.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from host_compiler import PLUGIN_SOURCES, REPOSITORY, find_compiler

HERE = Path(__file__).parent
STAND_INS = HERE / "sanitized" / "cuda"  # for CUDA's headers and for our kernels
FLAGS = ("-std=c++17", "-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wall", "-Wextra",
         "-Wno-unknown-pragmas", f"-I{HERE}", f"-iquote{STAND_INS}", f"-I{STAND_INS}",
         f"-I{PLUGIN_SOURCES}")  # fmt: skip


def build_fuzzer(folder: Path) -> Path:
    """Compile what changed since the last time, and return the program.

    The sources of an area are compiled as one file, in half the time: most of it goes into headers and templates.
    """
    compiler = find_compiler()
    folder.mkdir(parents=True, exist_ok=True)
    newest_header = max(path.stat().st_mtime for path in _headers())
    jobs, objects = [], []
    for area, sources in _sources_by_area().items():
        unit, made = folder / f"{area}.cpp", folder / f"{area}.o"
        text = "".join(f'#include "{source}"\n' for source in sources)
        newest = max(newest_header, *(source.stat().st_mtime for source in sources))
        if not made.exists() or made.stat().st_mtime < newest or unit.read_text() != text:
            unit.write_text(text)
            jobs.append([compiler, *FLAGS, "-c", str(unit), "-o", str(made)])
        objects.append(str(made))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(_run, jobs))
    program = folder / "fuzz_host"
    if jobs or not program.exists():
        _run([compiler, "-fsanitize=address,undefined", *objects, "-ldl", "-o", str(program)])
    return program


def run_fuzzer(program: Path, iterations: int, seed: int) -> subprocess.CompletedProcess[str]:
    """Run so many iterations; what went wrong is in the error stream, and the exit code then is not 0."""
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1:abort_on_error=1"}
    command = [str(program), str(iterations), str(seed)]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def _sources_by_area() -> dict[str, list[Path]]:
    """Return the fuzzer's sources, and those of each folder of plugins_cuda; a file right in it is its own area."""
    areas = {"sanitized": sorted((HERE / "sanitized").glob("*.cpp"))}
    for path in sorted(PLUGIN_SOURCES.rglob("*")):
        if path.suffix in (".cpp", ".cu") and "bench" not in path.parts:
            areas.setdefault(path.relative_to(PLUGIN_SOURCES).parts[0], []).append(path)
    return areas


def _headers() -> Iterator[Path]:
    for folder in (PLUGIN_SOURCES, HERE / "sanitized"):
        yield from (path for path in folder.rglob("*") if path.suffix in (".h", ".cuh"))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")


if __name__ == "__main__":
    finished = run_fuzzer(build_fuzzer(REPOSITORY / "build" / "sanitized"), int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write(finished.stdout)
    refusals = [line for line in finished.stderr.splitlines() if not line.startswith("[trtconv]")]
    sys.stderr.write("\n".join(refusals[-60:]) + "\n")
    sys.exit(finished.returncode)
