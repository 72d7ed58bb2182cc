"""The fuzzer finds what it is there to find, and trtconv stands a short run of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.fuzz import corpus, counting, running, targets
from tests.fuzz.minimising import minimise
from tests.fuzz.model_mutations import mutate_model
from tests.fuzz.running import PASSED, REFUSED
from tests.fuzz.targets import LOAD, Target
from trtconv.errors import ModelError

REPOSITORY = Path(__file__).parents[2]
SEED, SECONDS = 16, 40


def raise_refusal(path: Path) -> None:
    raise ModelError("is refused")


def raise_refusal_that_cannot_be_shown(path: Path) -> None:
    raise ModelError("\udcff")


def raise_traceback(path: Path) -> None:
    raise KeyError(path.name)


def take_all_memory(path: Path) -> None:
    bytearray(running.MEMORY_BYTES * 2)


@pytest.mark.parametrize(
    ("run", "end"),
    [
        (lambda path: None, PASSED),
        (raise_refusal, REFUSED),
        (raise_refusal_that_cannot_be_shown, "UnicodeEncodeError at no line of trtconv"),
        (raise_traceback, "KeyError at no line of trtconv"),
        (take_all_memory, "MemoryError at no line of trtconv"),
        (lambda path: os.kill(os.getpid(), signal.SIGSEGV), "SIGSEGV"),
    ],
)
def test_every_end_of_a_run_is_told(run: Callable[[Path], Any], end: str) -> None:
    assert running.run_one(Target("test", run, None), "x", b"")[0] == end


def test_a_run_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "CPU_SECONDS", 1)

    def spin(path: Path) -> None:
        while True:
            pass

    assert running.run_one(Target("test", spin, None), "x", b"")[0] == "more than 1 s of CPU"


def test_a_death_costs_one_run_and_not_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    deadly = targets.file_of(SEED, 3)[2]

    def run(path: Path) -> None:
        if path.read_bytes() == deadly:
            os.kill(os.getpid(), signal.SIGSEGV)

    kinds = tuple(
        targets.Kind(kind.name, kind.weight, kind.mutate, (Target(kind.targets[0].name, run, None),))
        for kind in targets.KINDS
    )
    monkeypatch.setattr(targets, "KINDS", kinds)
    monkeypatch.setattr(running, "BATCH", 10)
    monkeypatch.setattr(targets, "_PATHS_BESIDE_LOAD", 0)
    tally = running.Tally()
    running.run_inputs(tally, SEED, 0, time.monotonic() + 60, 10, lambda number: None)
    ends = [end for (_, _, end), number in tally.runs.items() for _ in range(number)]
    assert ends.count("SIGSEGV") == 1
    assert len(ends) >= 10
    assert [number for number, _ in tally.failures.values()] == [3]


def test_an_input_is_the_same_in_every_process() -> None:
    code = "import sys\nfrom tests.fuzz.targets import file_of\nsys.stdout.buffer.write(file_of(16, 5)[2])"
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": "123"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, cwd=REPOSITORY, check=True)
    assert done.stdout == targets.file_of(16, 5)[2]


def test_mutations_change_models_and_most_still_parse() -> None:
    models = corpus.models()
    rng = random.Random(SEED)
    originals = [rng.choice(models) for _ in range(300)]
    changed = [mutate_model(random.Random(number), data, models) for number, data in enumerate(originals)]
    assert sum(old != new for old, new in zip(originals, changed, strict=True)) > 270
    assert sum(parses(data) for data in changed) > 240


def parses(data: bytes) -> bool:
    try:
        return bool(onnx.ModelProto.FromString(data).graph.node)
    except Exception:
        return False


def test_a_failing_file_is_made_smaller() -> None:
    def still_fails(data: bytes) -> bool:
        return parses(data) and any(node.op_type == "Pad" for node in onnx.ModelProto.FromString(data).graph.node)

    small = minimise(corpus.model("static"), still_fails)
    assert still_fails(small)
    assert len(small) < 12


def test_a_short_run_ends_in_success_or_trtconv_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--seed", str(SEED), "--seconds", str(SECONDS)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], capture_output=True, text=True, cwd=REPOSITORY, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout


def test_enough_mutated_models_pass_load() -> None:
    tally = running.Tally()
    running.run_inputs(tally, SEED, 0, time.monotonic() + 20, 600, lambda number: None)
    assert counting.load_share(tally.runs) > 1 / 3
    assert any(target == LOAD for _, target, _ in tally.runs)
