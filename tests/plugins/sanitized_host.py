"""Fuzzes the plugins' host code, built by the machine's C++ compiler alone, with sanitizers or without.

`python -m tests.plugins.sanitized_host ITERATIONS SEED` runs it with them; the objects stay in build/sanitized.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.plugins.host_build import FOLDER, FUZZER, compile_sources, link, sources_by_area
from tests.plugins.host_compiler import REPOSITORY, locked

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g1")
SANITIZED_FOLDER = REPOSITORY / "build" / "sanitized"


def build_fuzzer(is_sanitized: bool = True) -> Path:
    """Compile what changed since the last time, and return the program."""
    folder, flags = (SANITIZED_FOLDER, SANITIZERS) if is_sanitized else (FOLDER, ())
    areas = {**sources_by_area(), "fuzzer": sorted(FUZZER.glob("*.cpp"))}
    program = folder / "fuzz_host"
    with locked(folder):
        link(program, compile_sources(folder, areas, *flags), *flags)
    return program


def run_fuzzer(program: Path, iterations: int, seed: int) -> subprocess.CompletedProcess[str]:
    """Run so many iterations; what went wrong is in the error stream, and the exit code then is not 0."""
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1:abort_on_error=1"}
    command = [str(program), str(iterations), str(seed)]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


if __name__ == "__main__":
    finished = run_fuzzer(build_fuzzer(), int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write(finished.stdout)
    refusals = [line for line in finished.stderr.splitlines() if not line.startswith("[trtconv]")]
    sys.stderr.write("\n".join(refusals[-60:]) + "\n")
    sys.exit(finished.returncode)
