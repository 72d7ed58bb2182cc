"""Builds in a worker process, with full TensorRT and the plugin library: progress, Ctrl-C, a killed worker, --tune."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import trtconv
from tests.gpu.needs import TENSORRT_ON_GPU
from tests.gpu.networks import Network
from tests.support.command_line import COMMAND, contents, environment, run
from tests.support.patience import wait_for
from tests.support.processes import is_alive
from tests.test_isolate import Listener
from trtconv import BuildConfig
from trtconv.comparison import compare
from trtconv.comparison.tolerance import TOLERANCE
from trtconv.engine.loading import load_engine

pytestmark = TENSORRT_ON_GPU

NETWORK = Network(31, make={"network": "fast_neural_style", "height": 128, "width": 160})
# What TensorRT says at the begin of the part of a build that takes long.
BUILDING = ("Local timing cache in use", "Compiler backend is used during engine build")
LIBRARY = "libnvinfer.so"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = NETWORK.path(tmp_path)
    assert path is not None
    return path


@dataclass(frozen=True)
class Build:
    """A command in the middle of a build over an older engine: its process, its worker, the folder as it was."""

    process: subprocess.Popen[str]
    worker: int
    folder: Path
    before: dict[str, bytes]

    def end(self) -> str:
        """Wait for the end and return the line that tells it, the last but a hint; nothing may be left of the build."""
        _, errors = self.process.communicate(timeout=30)
        assert not is_alive(self.worker)
        assert contents(self.folder) == self.before
        assert list((self.folder / "tmp").iterdir()) == []
        assert "Traceback" not in errors
        return [line for line in errors.splitlines() if line and not line.startswith("hint: ")][-1]


def start_build(model: Path) -> Build:
    folder = model.parent
    output, manifest = folder / "out.engine", folder / "out.engine.json"
    output.write_bytes(b"older engine")
    manifest.write_text("{}")
    (folder / "tmp").mkdir()
    before = contents(folder)
    process = subprocess.Popen(
        [*COMMAND, "build", str(model), "--backend", "tensorrt", "-o", str(output), "-v"],
        env=environment(TMPDIR=str(folder / "tmp")), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert any(any(words in line for words in BUILDING) for line in process.stderr), "it ended before it built"
    time.sleep(1)
    (worker,) = children_of(process.pid)
    return Build(process, worker, folder, before)


def children_of(process: int) -> list[int]:
    """Return the children of a process, by the table of all: not every kernel lists them by parent."""
    parents = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(file.parent.name)] = int(file.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
    return [child for child, parent in parents.items() if parent == process]


def test_an_isolated_build_is_that_of_the_process_itself(model: Path, tmp_path: Path) -> None:
    listener, messages = Listener(), []
    config = BuildConfig(output=tmp_path / "there.engine", backend="tensorrt", ops="plugin", tf32=False, opt_level=1)
    there = trtconv.build(model, config, progress=listener, log=messages.append, isolate=True)
    assert there.manifest.plugins
    assert sum(decision.became is not None for decision in there.rewrite.decisions) == NETWORK.num_plugins
    assert len(listener.phases) > 1
    assert min(listener.steps, listener.ticks) > 0
    assert messages
    result = compare(model, there.engine, NETWORK.feeds(model), TOLERANCE["fp32"])
    assert result.passed, result.render()
    assert trtconv.dry_run(model, config).decisions == there.rewrite.decisions


def test_ctrl_c_ends_parent_and_worker_in_the_middle_of_a_build(model: Path) -> None:
    """A terminal sends the signal to both."""
    build = start_build(model)
    began = time.monotonic()
    os.killpg(build.process.pid, signal.SIGINT)
    wait_for(lambda: build.process.poll() is not None)
    seconds = time.monotonic() - began
    print(f"\nRESULT Ctrl-C in an isolated build: {seconds:.2f} s")
    assert build.end() in ("error: the build was interrupted, no engine was written", "error: interrupted")
    assert build.process.returncode == 130
    assert seconds < 2


def test_a_worker_that_is_killed_in_the_middle_of_a_build_is_told_in_one_line(model: Path) -> None:
    build = start_build(model)
    assert any(LIBRARY in line for line in maps_of(build.worker))
    assert not any(LIBRARY in line for line in maps_of(build.process.pid))
    os.kill(build.worker, signal.SIGKILL)
    error = build.end()
    print(f"\nRESULT {error}")
    assert build.process.returncode == 4
    assert error.startswith("error: was killed from outside (SIGKILL) while building")


def test_tuning_works_in_a_worker(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "tuned.engine"
    began = time.monotonic()
    result = run(
        *("build", model, "--backend", "tensorrt", "-o", output, "--opt-level", "1", "--json"),
        *("--tune", "--tune-budget", "30s", "--limit-time", "5m"),
    )
    print(f"\nRESULT --tune in a worker: {time.monotonic() - began:.0f} s")
    assert result.exit_code == 0, result.stderr
    candidates = {each["name"]: each for each in result.document["tuning"]["candidates"]}
    assert candidates["native"]["median_us"] > 0
    assert json.loads(output.with_name("tuned.engine.json").read_text())["backend"] == "tensorrt"
    assert load_engine(output) is not None


def maps_of(process: int) -> list[str]:
    return Path(f"/proc/{process}/maps").read_text().splitlines()
