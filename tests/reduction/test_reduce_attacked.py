"""`trtconv reduce` under attack: crashes, interrupts, limits, full disks; what it wrote is whole, or is not there."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from tests.cli.test_isolation import run_patched
from tests.reduction.test_reduce import ORT, spoil_rewriting, swap_scale_and_bias
from tests.support.command_line import contents, run_here, write_model
from tests.support.comparison_models import write_network
from tests.support.onnx_engine import FakeTensorRT
from trtconv.reduction import recording
from trtconv.reduction.subgraph import Parts

REDUCE = ("reduce", "m.onnx", "-o", "small.onnx", "--precision", "fp16", "--tolerance", "0", *ORT)
IN_A_TRIAL = "import trtconv.reduction.trials as trials\ndef attack(*_):\n    {}\ntrials.Trials._compare = attack"


ROUNDED = """g (float[4] x) => (float[4] y) <float third = {0.3333333}> {
    ["a"] a = Neg(x) ["b"] b = Relu(a) ["c"] c = Mul(b, third) ["d"] y = Relu(c) }"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model that differs in fp16, and files that the outputs replace."""
    write_model(tmp_path, "m", ROUNDED)
    for name in ("small.onnx", "small.rewritten.onnx", "small.npz"):
        (tmp_path / name).write_bytes(b"older")
    return tmp_path


def test_without_an_attack_it_writes(folder: Path) -> None:
    assert run_here(*REDUCE, cwd=folder).exit_code == 1
    assert b"older" not in contents(folder).values()


@pytest.mark.parametrize(
    ("attack", "options", "exit_code", "said"),
    [
        ("os.kill(os.getppid(), signal.SIGINT); time.sleep(60)", (), 130, "interrupted"),
        ("os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)", (), 130, "interrupted"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", (), 4, "crashed while comparing a part of 1 nodes: SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", (), 4, "was killed from outside (SIGKILL)"),
        ("time.sleep(60)", ("--limit-time", "3s"), 4, "--limit-time"),
        ("raise MemoryError", (), 4, "out of memory"),
    ],
    ids=["Ctrl-C", "SIGTERM", "crash", "killed", "time", "memory"],
)
def test_what_ends_a_trial(folder: Path, attack: str, options: tuple[str, ...], exit_code: int, said: str) -> None:
    before = contents(folder)
    result = run_patched(IN_A_TRIAL.format(attack), *REDUCE, *options, cwd=folder)
    assert (result.exit_code, said in result.error) == (exit_code, True), result.stderr
    assert contents(folder) == before


@pytest.mark.parametrize("call", [1, 3, 6])
def test_a_disk_that_is_full_says_nothing_of_a_part(folder: Path, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """A part that cannot be written is not one that does not differ."""
    fsync, calls = os.fsync, []

    def fail(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) >= call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    before = contents(folder)
    result = run_here(*REDUCE, cwd=folder)
    assert (result.exit_code, result.hint) == (4, "free some space")
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("model", "options"),
    [("small.rewritten.onnx", ()), ("m.onnx", ("--inputs", "small.npz")), ("data.onnx", ("--inputs", "x.npz"))],
    ids=["candidate", "inputs", "external data"],
)
def test_no_file_beside_the_output_takes_the_place_of_an_input(
    folder: Path, model: str, options: tuple[str, ...]
) -> None:
    write_network(folder / "small.rewritten.onnx")
    np.savez(folder / "small.npz", x=np.ones(4, np.float32))
    np.savez(folder / "x.npz", x=np.ones(3, np.float32))
    with_data = onnx.load(write_model(folder, "data", "g (float[3] x) => (float[3] y) { y = Add(x, w) }"))
    with_data.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(3, np.float32), "w"))
    location = "small.npz" if model == "data.onnx" else "weights"
    onnx.save(with_data, folder / "data.onnx", save_as_external_data=True, location=location, size_threshold=0)
    before = contents(folder)
    result = run_here("reduce", model, "-o", "small.onnx", *ORT, *options, cwd=folder)
    assert (result.exit_code, "never overwritten" in result.error) == (2, True), result.stderr
    assert contents(folder) == before


def test_engine_and_manifest_are_a_pair_all_the_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two renames cannot be one: a command that is killed between them must not leave an engine of another manifest."""
    FakeTensorRT(monkeypatch).spoil = swap_scale_and_bias
    monkeypatch.setattr("trtconv.reduction.has_tensorrt", lambda runtime: True)
    write_network(folder / "m.onnx")
    replace, seen = os.replace, []

    def rename(source: Path, target: Path) -> None:
        if target.parent == folder:
            seen.append(target.name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", rename)
    assert run_here("reduce", "m.onnx", "-o", "small.onnx", cwd=folder).exit_code == 1
    engine = seen.index("small.engine")
    assert seen[engine - 1].startswith("small.engine.")
    assert seen[engine - 1] != "small.engine.json", "its first name holds the sha256 of the engine"
    assert seen[engine + 1] == "small.engine.json"
    assert {"small.onnx", "small.npz"} < set(seen)


# How often the whole model runs. --------------------------------------------------------------------------------------


def count_runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    runs, open_session = [], recording.open_session

    def count(*args: Any) -> Any:
        runs.append(1)
        return open_session(*args)

    monkeypatch.setattr(recording, "open_session", count)
    return runs


@pytest.mark.parametrize(("max_bytes", "most"), [(1 << 30, 1), (100, 4), (0, 9)])
def test_the_whole_model_runs_as_seldom_as_memory_allows(
    monkeypatch: pytest.MonkeyPatch, max_bytes: int, most: int
) -> None:
    """Nine tensors of 12 bytes: all, eight or none of them are kept."""
    nodes = " ".join(f"t{n + 1} = Add(t{n}, k)" for n in range(9))
    text = f'<ir_version: 8, opset_import: ["": 17]> g (float[3] t0) => (float[3] t9) <float k = {{1.0}}> {{ {nodes} }}'
    parts = Parts(onnx.parser.parse_model(text), Path(), {"t0": np.zeros(3, np.float32)})
    runs = count_runs(monkeypatch)
    monkeypatch.setattr(recording, "MAX_BYTES", max_bytes)
    for level in parts.levels("t9"):
        _, values = parts.extract(level, "t9")
        assert {name: float(each[0]) for name, each in values.items()} == {f"t{9 - len(level)}": 9 - len(level)}
    assert 1 <= len(runs) <= most


def test_a_reduction_runs_the_whole_model_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_network(folder / "m.onnx")
    spoil_rewriting(monkeypatch, swap_scale_and_bias)
    runs = count_runs(monkeypatch)
    assert run_here("reduce", "m.onnx", "-o", "small.onnx", *ORT, cwd=folder).exit_code == 1
    assert len(runs) == 1
