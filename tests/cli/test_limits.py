"""A worker that takes more memory or time than it may is ended, with its children, and told in one line."""

from __future__ import annotations

import mmap
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.test_isolation import COMMANDS, patched, run_patched
from tests.support.command_line import environment, run, write_model
from tests.support.patience import patience, wait_for
from tests.support.processes import is_alive
from trtconv.errors import BackendError, ConfigError, ModelError
from trtconv.progress import Step
from trtconv.workers import family
from trtconv.workers.limits import Limits, Meter

HOG = "hog = lambda *_, **__: [bytearray(b'x') * (8 << 20) for _ in range(100)] and time.sleep(60)"
CHILD = """
import os, time
held = bytearray(b'x') * (800 << 20)
open('child', 'w').write(str(os.getpid()))
time.sleep(60)
"""
PARENT = f"import subprocess; hog = lambda *_: subprocess.run([sys.executable, '-c', {CHILD!r}])"


COMPUTED_PADS = """g (float[1,3,8,8] x) => (float[1,3,10,12] y) {
    halves = Constant<value_ints=[0, 0, 1, 2]>()
    pads = Concat<axis=0>(halves, halves)
    y = Pad<mode="reflect">(x, pads)
}"""


@pytest.mark.parametrize("patch", [HOG, PARENT], ids=["itself", "its child"])
def test_memory_is_limited(tmp_path: Path, patch: str) -> None:
    write_model(tmp_path, "static")
    began = time.monotonic()
    result = run_patched(
        f"{patch}\nmodel_io._parse = hog", *COMMANDS["inspect"], "--json", "--limit-memory", "400MiB", cwd=tmp_path
    )
    assert time.monotonic() - began < patience(50)
    assert result.exit_code == result.document["error"]["exit_code"] == 4
    assert result.error == "--limit-memory: more than 400.0 MiB of memory were taken while reading static.onnx"
    assert "a larger --limit-memory" in result.hint
    if patch is PARENT and (tmp_path / "child").exists():
        number = int((tmp_path / "child").read_text() or 0)
        wait_for(lambda: not is_alive(number), seconds=5)


@pytest.mark.parametrize(
    ("status", "held"),
    [
        ("VmRSS:\t  900 kB\nRssAnon:\t   70 kB\nRssFile:\t  820 kB\nRssShmem:\t   10 kB\nVmSwap:\t    5 kB\n", 85),
        ("VmSize:\t1200 kB\nVmRSS:\t  900 kB\nVmData:\t  70 kB\n", 900),  # a sandboxed kernel's
        ("Name:\tkthreadd\n", 0),
    ],
)
def test_what_a_process_holds_is_read_from_its_status(status: str, held: int) -> None:
    assert family.held_in(status) == held << 10


def test_time_is_limited(tmp_path: Path) -> None:
    write_model(tmp_path, "static")
    patch = "model_io._parse = lambda path: time.sleep(60)"
    began = time.monotonic()
    result = run_patched(patch, *COMMANDS["inspect"], "--json", "--limit-time", "4s", cwd=tmp_path)
    assert 4 < time.monotonic() - began < patience(30)
    assert result.exit_code == result.document["error"]["exit_code"] == 4
    assert result.error == "--limit-time: 4 s had passed while reading static.onnx"


def test_shape_inference_that_needs_too_much_is_the_models_fault(tmp_path: Path) -> None:
    write_model(tmp_path, "static")
    patch = "import onnx; onnx.shape_inference.infer_shapes = lambda *_, **__: bytes(1 << 30)"
    result = run_patched(patch, *COMMANDS["rewrite"], cwd=tmp_path)
    assert result.exit_code == 3
    assert result.error == "the shapes of its tensors cannot be inferred: it needs more than 256 MiB"
    assert os.listdir(tmp_path) == ["static.onnx"]


@pytest.mark.parametrize("bound", ["_BASE_BYTES = 200 << 20", "_BASE_SECONDS = 1.0"])
def test_computing_constants_has_bounds_of_its_own(tmp_path: Path, bound: str) -> None:
    write_model(tmp_path, "static", COMPUTED_PADS)
    modules = "import trtconv.passes.constant_values as values, trtconv.progress as progress"
    result = run_patched(
        f"{HOG}\n{modules}\nprogress.{bound}\nvalues.open_session = hog", *COMMANDS["rewrite"], cwd=tmp_path
    )
    assert result.exit_code == 3
    taken = r"2\d\d\.\d MiB of memory" if "BYTES" in bound else "1 s"
    words = rf"took more than {taken}, the limit of this step, while .* \(computing constants\)"
    assert re.fullmatch(words, result.error)
    assert os.listdir(tmp_path) == ["static.onnx"]


def test_a_crash_while_constants_are_computed_is_the_models_fault(tmp_path: Path) -> None:
    """A Div by zero of integers ends ONNX Runtime's process."""
    patch = "import trtconv.passes.constant_values as c; c.open_session = lambda *_, **__: os.kill(os.getpid(), 8)"
    write_model(tmp_path, "static", COMPUTED_PADS)
    result = run_patched(patch, *COMMANDS["rewrite"], cwd=tmp_path)
    assert result.exit_code == 3
    assert "(computing constants): SIGFPE (Floating point exception)" in result.error


def test_a_worker_that_is_ended_leaves_no_temporary_files(tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    write_model(tmp_path, "static")
    patch = "import tempfile\nmodel_io._parse = lambda path: (tempfile.mkdtemp(), time.sleep(60))"
    done = subprocess.run(
        [sys.executable, "-c", patched(patch), *COMMANDS["inspect"], "--limit-time", "5"],
        cwd=tmp_path, env=environment(TMPDIR=str(tmp_path / "temporary")), capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert os.listdir(tmp_path / "temporary") == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--limit-memory", "much"), "--limit-memory: got 'much', expected a size"),
        (("--limit-memory", "0"), "--limit-memory: must be positive"),
        (("--limit-time", "2d"), "--limit-time: got '2d', expected a time"),
        (("--limit-time", "0"), "--limit-time: must be positive"),
        (("--limit-time", "5", "--no-isolate"), "limits apply to a worker process, and none is used"),
    ],
)
def test_a_limit_that_cannot_hold_is_refused(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    result = run("inspect", "any.onnx", *options, cwd=tmp_path)
    assert result.exit_code == 2
    assert said in result.error


# What is measured. ----------------------------------------------------------------------------------------------------


def test_pages_of_mapped_files_do_not_count(tmp_path: Path) -> None:
    """As weights are, which ONNX Runtime maps; the system can drop them at any time."""
    path = tmp_path / "weights.bin"
    path.write_bytes(b"x" * (64 << 20))
    before = family.held_bytes(os.getpid())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[:: mmap.PAGESIZE]) > 0
        assert family.held_bytes(os.getpid()) - before < 32 << 20
    with mmap.mmap(-1, 64 << 20) as held:  # new pages for certain: malloc may give what earlier tests have freed
        held.write(b"x" * len(held))
        assert family.held_bytes(os.getpid()) - before > 60 << 20


def test_a_family_is_counted_and_ended_as_a_whole() -> None:
    grandparent = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    process = subprocess.Popen([sys.executable, "-c", grandparent])
    wait_for(lambda: len(family.members(process.pid)) == 2)
    child = family.members(process.pid)[1]
    family.kill(process.pid)
    process.wait()
    wait_for(lambda: not is_alive(child), seconds=5)


def test_the_default_is_less_than_the_machine_has() -> None:
    assert 0 < Limits().bytes_to_watch < family.machine_bytes()
    assert Limits(memory_bytes=1 << 30).bytes_to_watch == 1 << 30
    for wrong in ({"memory_bytes": 0}, {"seconds": -1}):
        with pytest.raises(ConfigError, match="must be positive"):
            Limits(**wrong)


def test_a_meter_knows_what_was_held_before_a_step() -> None:
    meter = Meter(Limits(seconds=100), bytes_to_watch=1000, began=0.0)
    assert meter.excess(500, now=1.0) is None
    meter.enter(Step("reading (inferring)", is_of_model=True, max_seconds=10, max_bytes=100), now=2.0)
    assert meter.excess(600, now=12.0) is None
    for held, now, words in ((601, 3.0, "100 bytes of memory"), (600, 12.1, "10 s")):
        found = meter.excess(held, now)
        assert isinstance(found, ModelError)
        assert found.what == f"took more than {words}, the limit of this step, while reading (inferring)"
    meter.enter(Step("writing"), now=20.0)
    assert meter.excess(1000, now=100.0) is None
    assert isinstance(meter.excess(1001, now=100.0), BackendError)
    assert isinstance(meter.excess(1000, now=100.1), BackendError)
