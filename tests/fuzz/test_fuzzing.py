"""The fuzzer finds what it is there to find, and trtconv stands a short run of it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

from tests.fuzz import bounding, corpus, counting, page, replaying, running, targets, through_worker
from tests.fuzz.minimising import minimise
from tests.fuzz.model_mutations import mutate_model
from tests.fuzz.running import PASSED, REFUSED
from tests.fuzz.targets import Target
from tests.support.command_line import OPSET_17
from tests.support.extent import IS_WHOLE
from trtconv.errors import ModelError
from trtconv.model import shape_inference

pytestmark = pytest.mark.bounded_inference

REPOSITORY = Path(__file__).parents[2]
SEED, RUNS = 16, 4000 if IS_WHOLE else 500  # a number of runs and no time, so that every machine does the same


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


def take_one_path(run: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each file to `run`, in place of the paths of its kind."""
    kinds = tuple(
        targets.Kind(kind.name, kind.weight, kind.mutate, (Target(kind.targets[0].name, run, None),))
        for kind in targets.KINDS
    )
    monkeypatch.setattr(targets, "KINDS", kinds)
    monkeypatch.setattr(targets, "_PATHS_BESIDE_LOAD", 0)


def test_a_death_costs_one_run_and_not_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    deadly = targets.file_of(SEED, 3)[2]

    def run(path: Path) -> None:
        if path.read_bytes() == deadly:
            os.kill(os.getpid(), signal.SIGSEGV)

    take_one_path(run, monkeypatch)
    tally = running.Tally()
    running.run_inputs(running.Plan(SEED, max_runs=10, batch=10), tally)
    ends = [end for (_, _, end), number in tally.runs.items() for _ in range(number)]
    assert ends.count("SIGSEGV") == 1
    assert len(ends) >= 10
    assert [number for number, _ in tally.failures.values()] == [3]


def test_a_run_that_ends_a_shared_child_is_repeated_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What shape inference does to the child that runs it cheaply is not what it does to a command."""
    is_cheap: list[bool] = []
    monkeypatch.setattr(running, "bound_cheaply", lambda: is_cheap.append(True))

    def run(path: Path) -> None:
        if is_cheap:
            os.kill(os.getpid(), signal.SIGSEGV)

    take_one_path(run, monkeypatch)
    tally = running.Tally()
    running.run_inputs(running.Plan(SEED, max_runs=3), tally)
    assert tally.repeated == tally.num_runs == 3
    assert {end for _, _, end in tally.runs} == {PASSED}


def test_shape_inference_is_cheap_for_models_that_state_small_numbers() -> None:
    def range_to(number: int) -> onnx.ModelProto:
        nodes = f"n = Constant<value_ints=[{number}]>() y = ConstantOfShape(n)"
        growing = "".join(f" z{index} = Mul(x, x)" for index in range(9))
        return onnx.parser.parse_model(f"{OPSET_17} g (float[6] x) => (float[a] y) {{ {nodes}{growing} }}")

    assert bounding.states_small_numbers(range_to(1000))
    assert not shape_inference.stays_small(range_to(1000))
    assert not bounding.states_small_numbers(range_to(1 << 40))


def test_counts_of_several_processes_add_up(tmp_path: Path) -> None:
    kind, target = targets.KINDS[0], targets.KINDS[0].targets[0]
    files = []
    for seed, end in ((1, (PASSED, "")), (2, ("SIGSEGV", ""))):
        tally = running.Tally(Counter(model=1), repeated=seed)
        tally.count(0, kind, target, end)
        tally.count(1, kind, target, (PASSED, ""))
        files.append(tmp_path / f"{seed}.json")
        counting.write_counts(files[-1], counting.counts_of(seed, tally, {(kind.name, target.name, "SIGSEGV"): None}))
    counting.main(str(tmp_path / "sum.json"), *map(str, files))
    counts = read_json(tmp_path / "sum.json")
    assert (counts["seeds"], counts["inputs"], counts["repeated"]) == ([1, 2], {"model": 2}, 3)
    assert {each["end"]: each["runs"] for each in counts["runs"]} == {PASSED: 3, "SIGSEGV": 1}
    counts["runs"].append({**counts["runs"][0], "target": f"{targets.COMMAND}inspect", "end": REFUSED, "runs": 7})
    text = page.page(f"before {page.BEGIN} old {page.END} after", counts)
    assert "4 runs in forked children; `load` takes 75%" in text
    assert "| model | load | 3 | 0 | 1 | 0 |" in text
    assert "| model | inspect | 0 | 7 | 0 |" in text
    assert text.startswith("before ")
    assert text.endswith(" after")


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
    counts = tmp_path / "counts.json"
    command = [sys.executable, "-m", "tests.fuzz", "--seed", str(SEED), "--seconds", "600", "--runs", str(RUNS)]
    command += ["--out", str(tmp_path), "--counts", str(counts)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = Counter({(each["kind"], each["target"], each["end"]): each["runs"] for each in read_json(counts)["runs"]})
    assert sum(runs.values()) >= RUNS
    assert counting.load_share(runs) > 1 / 3  # what cannot be parsed proves little


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def test_a_command_and_its_worker_are_given_files(tmp_path: Path) -> None:
    pytest.importorskip("trtconv.workers")
    kind = next(kind for kind in targets.KINDS if kind.name == "model")
    (target,) = targets.commands_of(kind, SEED, 0)
    assert running.run_one(target, "m.onnx", corpus.model("static"))[0] == PASSED
    assert running.run_one(target, "m.onnx", b"no model")[0] == REFUSED


def test_a_model_that_differs_is_a_success_of_reduce_alone() -> None:
    kind = next(kind for kind in targets.KINDS if kind.name == "model")
    reduce = next(target for target in kind.targets if target.name == "reduce")
    through = Target("reduce", lambda path: through_worker.run(reduce, path), reduce.command)
    text = "g (float[4,8] x) => (float[4,4] y) { t = Transpose<perm=[1,0]>(x) y = MatMul(x, t) }"  # which fp16 rounds
    model = onnx.parser.parse_model(f"{OPSET_17} {text}").SerializeToString()
    assert running.run_one(through, "m.onnx", model)[0] == PASSED
    assert replaying.complaint_of("reduce", 1, "") is None
    assert replaying.complaint_of("rewrite", 1, "") == "exit code 1 without an error: "
    assert replaying.complaint_of("reduce", 1, "Traceback") is not None
    assert replaying.complaint_of("reduce", 2, "") is not None
