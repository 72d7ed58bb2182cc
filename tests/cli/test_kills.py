"""Builds and rewrites that are killed at random moments leave the old output or the new one, whole.

`make kill` runs 200 of each; TRTCONV_KILLS and TRTCONV_KILL_SEED say how many and which moments.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from tests.support.command_line import COMMAND, RTX, environment, write_model
from tests.support.patience import patience, wait_for
from tests.support.processes import is_alive
from trtconv.manifest import read_manifest
from trtconv.model import model_io
from trtconv.workers import family

NUM_KILLS = int(os.environ.get("TRTCONV_KILLS", "5"))  # at least one for each of TARGETS
SEED = int(os.environ.get("TRTCONV_KILL_SEED", "1"))
ARCHITECTURES = ("sm_86", "sm_89")
TARGETS = (
    (signal.SIGKILL, "command"),
    (signal.SIGKILL, "worker"),
    (signal.SIGTERM, "command"),
    (signal.SIGINT, "command"),
    (signal.SIGINT, "group"),
)
# How the command may end: 0 where the signal came too late, 4 where its worker was killed.
ENDS = {signal.SIGKILL: (-signal.SIGKILL, 4, 0), signal.SIGTERM: (130, 0), signal.SIGINT: (130, 0)}


def start(folder: Path, words: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Start a command, and return when it handles signals: what comes before is Python's own start."""
    process = subprocess.Popen(
        [*COMMAND, *words], cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: catches_sigterm(process.pid) or process.poll() is not None)
    return process


def catches_sigterm(pid: int) -> bool:
    found = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return found is not None and bool(int(found[1], 16) >> (signal.SIGTERM - 1) & 1)


def kill(process: subprocess.Popen[bytes], number: signal.Signals, target: str) -> bool:
    """Send a signal to the command, its worker or its group; say whether it still ran."""
    if process.poll() is not None:
        return False
    workers = family.members(process.pid)[1:]
    if target == "group":
        os.killpg(process.pid, number)
    elif target == "worker" and workers:
        try:
            os.kill(workers[0], number)
        except ProcessLookupError:  # it has ended since
            return False
    else:
        process.send_signal(number)
    return True


def run_kills(folder: Path, commands: list[tuple[str, ...]], require_whole: Callable[[], None]) -> int:
    """Kill the commands in turn; check the output after each; return how many were hit before their end."""
    moments = random.Random(SEED)
    process, began = start(folder, commands[0]), time.monotonic()
    assert process.wait(120) == 0
    seconds = time.monotonic() - began
    num_hit = 0
    for index in range(NUM_KILLS):
        number, target = TARGETS[index % len(TARGETS)]
        process = start(folder, commands[(index + 1) % len(commands)])
        time.sleep(moments.uniform(0, seconds))
        family_before = family.members(process.pid)
        num_hit += kill(process, number, target)
        began = time.monotonic()
        assert process.wait(60) in ENDS[number], (index, number, target)
        if number is not signal.SIGKILL:
            assert time.monotonic() - began < patience(5)
        require_whole()
        wait_for(lambda: not any(map(is_alive, family_before)))  # noqa: B023
        require_whole()
    assert start(folder, commands[0]).wait(120) == 0
    require_whole()
    print(f"{num_hit} of {NUM_KILLS} were hit before their end, at moments of seed {SEED}")
    return num_hit


def test_builds_that_are_killed_leave_a_pair(tmp_path: Path) -> None:
    rtx = pytest.importorskip("tests.support.rtx")
    write_model(tmp_path, "static")
    engine = tmp_path / "static.engine"

    def require_pair() -> None:
        manifest, data = read_manifest(engine), engine.read_bytes()
        assert manifest is not None
        assert manifest.gpu_arch in ARCHITECTURES
        assert manifest.engine.sha256 == hashlib.sha256(data).hexdigest()
        assert rtx.accepts(data)

    commands = [("build", "static.onnx", *RTX, "--gpu-arch", arch) for arch in ARCHITECTURES]
    assert run_kills(tmp_path, commands, require_pair) > 0
    assert sorted(os.listdir(tmp_path)) == ["static.engine", "static.engine.json", "static.onnx"]


def test_rewrites_that_are_killed_leave_a_model_with_its_data(tmp_path: Path) -> None:
    model = onnx.load(write_model(tmp_path, "static"))
    weights = onnx.helper.make_tensor("weights", onnx.TensorProto.FLOAT, [1 << 20], bytes(4 << 20), raw=True)
    model.graph.initializer.append(weights)
    onnx.save(model, tmp_path / "static.onnx", save_as_external_data=True, location="weights.bin")
    out = tmp_path / "out"
    out.mkdir()

    def require_model() -> None:
        assert model_io.load(out / "new.onnx").opset == 17
        assert (out / "weights.bin").read_bytes() == (tmp_path / "weights.bin").read_bytes()

    commands = [("rewrite", "static.onnx", "-o", "out/new.onnx", "--ops", ops) for ops in ("plugin", "fused")]
    assert run_kills(tmp_path, commands, require_model) > 0
    assert sorted(os.listdir(out)) == ["new.onnx", "weights.bin"]
    shutil.rmtree(out)
    out.mkdir()
    (out / ".weights.bin.0123abcd.part").write_bytes(b"of a run that was killed")
    assert start(tmp_path, commands[0]).wait(120) == 0
    require_model()
    assert sorted(os.listdir(out)) == ["new.onnx", "weights.bin"]
