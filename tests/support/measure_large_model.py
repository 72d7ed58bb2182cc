"""Measure peak memory and time of trtconv on a large model.

`python -m tests.support.measure_large_model [--json FILE]`

Every step runs in a process of its own. This one imports nothing large, since Linux counts the memory of the process
that starts another into that one's peak.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PYTHON = sys.executable
TRTCONV = (PYTHON, "-m", "trtconv")
RTX = ("--backend", "tensorrt-rtx")
PACKAGES = ("numpy", "onnx", "onnx-graphsurgeon", "onnxruntime", "protobuf", "tensorrt-rtx")
WHAT = "wall time and peak memory (ru_maxrss) of one process for each step, Python and the libraries included"
INLINE_GIGABYTES = 2.1  # just under protobuf's limit of 2 GiB


@dataclass(frozen=True)
class Measurement:
    """What one command took. `model_bytes` are those of the model's file and its data files together."""

    step: str
    model_bytes: int
    seconds: float
    peak_bytes: int
    exit_code: int
    error: str


def measure(step: str, command: Sequence[str | Path], model_bytes: int = 0) -> Measurement:
    """Run a command and return its wall time and its peak memory (ru_maxrss)."""
    with tempfile.TemporaryFile() as messages:
        start = time.monotonic()
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=messages)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        messages.seek(0)
        lines = messages.read().decode(errors="replace").strip().splitlines()
    error = next((line for line in lines if line.startswith("error:")), "") if process.returncode else ""
    return Measurement(step, model_bytes, round(seconds, 1), usage.ru_maxrss * 1024, process.returncode, error)


def measure_all(folder: Path, gigabytes: float, build_gigabytes: float, inline_gigabytes: float) -> list[Measurement]:
    """Measure every step on models that are made in `folder` and removed again."""
    results = [measure("import of the libraries alone", (PYTHON, "-c", "import trtconv.convert, onnxruntime"))]
    show(results[-1])

    def step(title: str, command: Sequence[str | Path], source: Path) -> None:
        results.append(measure(title, command, size_of(source)))
        show(results[-1])

    for title, size, steps in (
        ("external", gigabytes, ("rewrite", "dry-run", "bf16", "fp16")),
        ("external", build_gigabytes, ("build",)),
        ("inline", inline_gigabytes, ("rewrite", "dry-run")),
    ):
        if not size:
            continue
        with tempfile.TemporaryDirectory(dir=folder) as name:
            source, output = Path(name) / "in", Path(name) / "out"
            output.mkdir()
            model = source / "large.onnx"
            options = ["--inline"] if title == "inline" else []
            step(
                f"{title}: make the model",
                (PYTHON, "-m", "tests.support.large_model", source, str(size), *options),
                source,
            )
            dry_run = (*TRTCONV, "build", model, *RTX, "--dry-run")
            commands: dict[str, tuple[str | Path, ...]] = {
                "rewrite": (*TRTCONV, "rewrite", model, "-o", output / "large.onnx"),
                "dry-run": (*TRTCONV, "build", model, "--backend", "tensorrt", "--dry-run"),
                "bf16": (*dry_run, "--precision", "bf16"),
                "fp16": (*dry_run, "--precision", "fp16"),
                "build": (*TRTCONV, "build", model, *RTX, "-o", output / "large.engine"),
            }
            for key in steps:
                step(f"{title}: {key}", commands[key], source)
    return results


def size_of(folder: Path) -> int:
    """Return how many bytes the files of a folder have."""
    return sum(path.stat().st_size for path in folder.iterdir()) if folder.is_dir() else 0


def show(result: Measurement) -> None:
    """Print one line of the table."""
    sizes = f"{result.model_bytes / 1e9:6.2f} GB {result.seconds:7.1f} s {result.peak_bytes / 1e9:6.2f} GB peak"
    print(f"{result.step:32}{sizes}  {result.error or (result.exit_code or '')}", flush=True)


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    versions = {}
    for package in ("trtconv", *PACKAGES):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    facts = {"cores": os.cpu_count(), "memory_gib": round(memory_bytes / 2**30), "system": platform.system()}
    return facts | {"python": platform.python_version(), "versions": versions}


def main() -> int:
    """Measure, print and write; return 1 when a step failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.3, help="size of the model with external data")
    parser.add_argument("--build-gigabytes", type=float, default=0.3, help="size of the model to build; 0: none")
    parser.add_argument("--inline-gigabytes", type=float, default=INLINE_GIGABYTES, help="without data files; 0: none")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where there is room for two")
    parser.add_argument("--json", type=Path, help="write the measurements to this file")
    args = parser.parse_args()
    results = measure_all(args.folder, args.gigabytes, args.build_gigabytes, args.inline_gigabytes)
    if args.json:
        what = {"what": WHAT, "command": "python -m tests.support.measure_large_model"}
        document = what | {"machine": machine(), "measurements": list(map(asdict, results))}
        args.json.write_text(json.dumps(document, indent=2) + "\n")
    return int(any(result.exit_code for result in results))


if __name__ == "__main__":
    sys.exit(main())
