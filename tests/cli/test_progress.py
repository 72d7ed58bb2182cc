"""Progress: a plain line every few seconds, bars on a terminal, nothing with --json."""

from __future__ import annotations

import errno
import io
import os
import pty
import re
import subprocess
import threading
from pathlib import Path

import pytest
from rich.console import Console

import trtconv
from tests.support.command_line import COMMAND, RTX, environment, write_model
from trtconv import displays
from trtconv.displays import BarProgress, PlainProgress
from trtconv.progress import NoProgress, Progress, StepTime, StepTimes, announce, heard_by
from trtconv.reports.build_report import describe_time
from trtconv.watching import watched

CLEAR_LINE = "\x1b[2K"


class Clock:
    """A clock that goes by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(displays.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_plain_lines_come_every_few_seconds_whatever_tensorrt_does(clock: Clock) -> None:
    stream = io.StringIO()
    plain = PlainProgress(stream, interval_seconds=5)
    for second in range(1, 21):  # one long step: TensorRT says nothing at all
        clock.now = 100.0 + second
        if second == 4:
            plain.phase_start("Building engine", None, 6)
        if second == 8:
            plain.step_complete("Building engine", 0)
            plain.phase_start("Timing tactics", "Building engine", 3)
        if second == 12:
            plain.phase_finish("Timing tactics")
        plain.tick()
        plain.tick()
    assert stream.getvalue().splitlines() == [
        "building   5 s: Building engine 0/6",
        "building   10 s: Timing tactics 0/3",
        "building   15 s: Building engine 1/6",
        "building   20 s: Building engine 1/6",
    ]


def test_a_short_build_prints_no_line(clock: Clock) -> None:
    stream = io.StringIO()
    plain = PlainProgress(stream)
    plain.phase_start("Building engine", None, 6)
    clock.now += 4.9
    plain.tick()
    assert stream.getvalue() == ""


def test_a_stream_that_nobody_reads_stops_no_build(clock: Clock) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    plain = PlainProgress(Closed(), interval_seconds=0)
    plain.tick()


@pytest.mark.parametrize("kind", [PlainProgress, BarProgress])
def test_odd_orders_of_phases_do_no_harm(kind: type[PlainProgress | BarProgress]) -> None:
    display: Progress = kind(io.StringIO())
    display.tick()
    display.phase_finish("never started")
    display.step_complete("never started", 3)
    display.phase_start("inner", "never started", 0)
    display.phase_start("inner", "inner", 2)  # TensorRT may use a name twice
    display.step_complete("inner", 7)
    display.phase_finish("inner")
    display.phase_finish("inner")
    display.phase_finish("inner")
    display.tick()


def on_terminal(*args: str, columns: int = 80, exit_code: int = 0) -> tuple[str, str]:
    """Run `trtconv` with a terminal as standard error; return what came there, and standard output."""
    leader, follower = pty.openpty()
    env = environment(TERM="xterm", COLUMNS=str(columns), LINES="30")
    process = subprocess.Popen([*COMMAND, *args], env=env, stdout=subprocess.PIPE, stderr=follower)
    os.close(follower)
    seen = b""
    try:
        while chunk := os.read(leader, 65536):
            seen += chunk
    except OSError:  # the other end is closed: Linux answers with EIO
        pass
    os.close(leader)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == exit_code
    return seen.decode(), stdout.decode()


def test_bars_show_on_a_terminal_and_vanish(tmp_path: Path) -> None:
    model = str(write_model(tmp_path, "static"))
    seen, report = on_terminal("build", model, *RTX)
    assert "Building engine" in seen
    assert "━" in seen
    assert "\x1b" not in report
    assert report.startswith("model ")
    assert "━" not in seen.rpartition(CLEAR_LINE)[2], "the last bar stays"
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") == 1, "the cursor is not shown again"


def test_bars_vanish_before_an_error_is_printed(tmp_path: Path) -> None:
    model = str(write_model(tmp_path, "static"))
    seen, report = on_terminal("build", model, *RTX, "--workspace", "1B", exit_code=4)
    assert seen.rpartition(CLEAR_LINE)[2].removeprefix("\x1b[?25h").lstrip().startswith("error: ")
    assert report == ""


def test_inner_phases_are_indented() -> None:
    bars = BarProgress(io.StringIO())
    for name, parent in [("outer", None), ("inner", "outer"), ("innermost", "inner"), ("other", "outer")]:
        bars.phase_start(name, parent, 1)
    assert [task.description for task in bars._bars.tasks] == ["outer", "  inner", "    innermost", "  other"]


def test_bars_fit_into_a_line(tmp_path: Path) -> None:
    model = str(write_model(tmp_path, "static"))
    seen, _ = on_terminal("build", model, *RTX, columns=80)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
    assert max(len(line) for line in re.split(r"[\r\n]+", plain)) <= 80


def test_nothing_shows_with_json(tmp_path: Path) -> None:
    model = str(write_model(tmp_path, "static"))
    seen, report = on_terminal("build", model, *RTX, "--json")
    assert seen == ""
    assert report.startswith("{")


def test_verbose_shows_messages_instead_of_bars(tmp_path: Path) -> None:
    model = str(write_model(tmp_path, "static"))
    seen, _ = on_terminal("build", model, *RTX, "--verbose")
    assert "info: " in seen
    assert "━" not in seen


def test_every_step_and_every_run_of_a_calibration_is_told(tmp_path: Path) -> None:
    told = []

    class Recorder(NoProgress):
        def phase_start(self, name: str, parent: str | None, num_steps: int) -> None:
            told.append((name, parent, num_steps))

        def step_complete(self, name: str, step: int) -> None:
            told.append((name, step))

        def phase_finish(self, name: str) -> None:
            told.append((name, "ends"))

    text = "g (float[1,4] x, float[4,4] w) => (float[1,4] y) { y = MatMul(x, w) }"
    config = trtconv.BuildConfig(precision="fp16", backend="tensorrt")
    trtconv.dry_run(write_model(tmp_path, "m", text), config, progress=Recorder())
    runs, step = "Running calibration inputs", "calibrating m.onnx for fp16"
    assert told == [
        ("reading m.onnx", None, 0),
        ("reading m.onnx", "ends"),
        ("predicting the times of m.onnx", None, 0),
        ("predicting the times of m.onnx", "ends"),
        ("rewriting m.onnx", None, 0),
        ("rewriting m.onnx", "ends"),
        (step, None, 0),
        (runs, step, 3),
        (runs, 0),
        (runs, 1),
        (runs, 2),
        (runs, "ends"),
        ("Running branches that no input takes", step, 0),
        ("Running branches that no input takes", "ends"),
        (step, "ends"),
    ]


def test_two_calls_in_one_process_do_not_hear_each_other() -> None:
    first, second = StepTimes(), StepTimes()

    def work(times: StepTimes, name: str, begins: threading.Barrier) -> None:
        with heard_by(times.hear):
            begins.wait(10)
            watched(lambda: announce(name), NoProgress(), name="inner")

    begins = threading.Barrier(2)
    given = ((first, "reading first.onnx"), (second, "reading second.onnx"))
    threads = [threading.Thread(target=work, args=(*each, begins)) for each in given]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [[step.name for step in times.steps()][1:] for times in (first, second)] == [[name] for _, name in given]


def test_the_time_of_a_report_is_the_whole_time_by_kind_of_step() -> None:
    steps = [("starting", 0.5), ("reading m.onnx", 0.01), ("calibrating m.onnx for fp16", 94.0), ("building m", 6.5)]
    verified = [("loading m.onnx", 0.25), ("running m.onnx", 1.0), ("comparing a with b", 0.5)]
    times = [StepTime(*each) for each in (*steps, *verified)]
    assert describe_time(times) == "102.8 s: starting 0.5, calibrating 94.0, building 6.5, verifying 1.8"
    assert describe_time([StepTime("starting", 0.01)]) == "0.0 s"


def test_a_step_that_nobody_can_count_has_no_count() -> None:
    bars = BarProgress(io.StringIO())
    bars.phase_start("reading a.onnx", None, 0)
    bars.phase_start("Running inputs", "reading a.onnx", 3)
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as shown:
        console.print(bars._bars.get_renderable())
    first, second = shown.get().splitlines()
    assert "/" not in first
    assert second.rstrip().endswith("0/3")
