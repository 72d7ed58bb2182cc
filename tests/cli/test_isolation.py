"""A command's work is done in a worker: its crash, its end by a signal and its output reach the user as words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_cli_streams import INTERRUPT_SECONDS
from tests.support.command_line import (
    COMMAND,
    RTX,
    Result,
    environment,
    run,
    run_command,
    run_in_fork,
    run_python,
    write_model,
)
from tests.support.extent import part
from tests.support.patience import patience
from trtconv.cli import ISOLATED, program

# ONNX Runtime's assertion of a positive deviation ends the process.
ABORTS = """g (float[1,4,16,16] x) => (float[1,4,16,16] y) {
    n = RandomNormalLike<scale=0.0, seed=1.0>(x)
    t = Add(x, n)
    y = Neg(t)
}"""
CRASHES = {
    "abort": ("os.abort()", "SIGABRT (Aborted)"),
    "segmentation fault": ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV (Segmentation fault)"),
    "exit of a library": ("os._exit(7)", "the process ended with status 7"),
    "exit of a library as if all were well": ("os._exit(0)", "the process ended with status 0"),
}
COMMANDS = {
    "build": ("build", "static.onnx", *RTX),
    "dry run": ("build", "static.onnx", "--dry-run"),
    "rewrite": ("rewrite", "static.onnx", "-o", "out.onnx"),
    "inspect": ("inspect", "static.onnx"),
    "compare": ("compare", "static.onnx", "static.onnx"),
    "reduce": ("reduce", "static.onnx", "-o", "small.onnx"),
    "run": ("run", "static.onnx", "x.npz"),
    "bench": ("bench", "static.onnx"),
}


IMPORTS = "import os, signal, sys, time, trtconv.model.model_io as model_io"


def patched(patch: str) -> str:
    """Return code that runs the command line with a worker in which `patch` is run first."""
    lines = [
        "import trtconv.child_processes as child_processes",
        f"patch = {f'{IMPORTS}{chr(10)}{patch}{chr(10)}'.replace('{', '{{').replace('}', '}}')!r}",
        "child_processes._ENTRY = child_processes._ENTRY.replace('main()', patch + 'main()')",
        "from trtconv.cli import main",
        "main()",
    ]
    return "\n".join(lines)


def run_patched(patch: str, *args: str, cwd: Path) -> Result:
    return run_in_fork(patched(patch), *args, cwd=cwd)


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize("command", [("compare", "aborts.onnx"), ("build", "--dry-run", "--precision", "fp16")])
def test_an_abort_of_onnx_runtime_is_told(tmp_path: Path, command: tuple[str, ...], options: tuple[str, ...]) -> None:
    write_model(tmp_path, "aborts", ABORTS)
    result = run(*command, "aborts.onnx", *options, cwd=tmp_path)
    assert result.exit_code == 4
    assert "_M_stddev" in result.error, "what was printed"
    assert "SIGABRT" in result.error
    assert ("running aborts.onnx" if command[0] == "compare" else "calibrating aborts.onnx for fp16") in result.error
    assert result.hint
    if options:
        assert result.document["error"]["exit_code"] == 4
        assert "SIGABRT" in result.document["error"]["what"]
    else:
        assert result.stdout == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_runs_foreign_code_survives_its_crash(tmp_path: Path, command: str) -> None:
    write_model(tmp_path, "static")
    patch = "def crash(*_): os.write(2, b'first\\nlast \\x1b[2J words\\n'); os.abort()\nmodel_io._parse = crash"
    result = run_patched(patch, *COMMANDS[command], "--json", cwd=tmp_path)
    assert result.exit_code == 3, "what cannot be read is the model's fault"
    assert result.error == "crashed while reading static.onnx: SIGABRT (Aborted): first | last \\x1b[2J words"
    assert result.document["error"]["exit_code"] == 3
    assert os.listdir(tmp_path) == ["static.onnx"]


@pytest.mark.parametrize("crash", CRASHES)
def test_every_way_to_crash_is_told(tmp_path: Path, crash: str) -> None:
    write_model(tmp_path, "static")
    code, said = CRASHES[crash]
    result = run_patched(f"model_io._parse = lambda path: {code}", *COMMANDS["inspect"], cwd=tmp_path)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.error == f"crashed while reading static.onnx: {said}"


def test_a_crash_after_the_report_does_not_count(tmp_path: Path) -> None:
    write_model(tmp_path, "static")
    result = run_patched("import atexit; atexit.register(os.abort)", *COMMANDS["rewrite"], cwd=tmp_path)
    assert result.exit_code == 0
    assert (tmp_path / "out.onnx").is_file()


def test_much_output_of_libraries_is_cut_and_stops_nothing(tmp_path: Path) -> None:
    write_model(tmp_path, "static")
    patch = "model_io._parse = lambda path: (os.write(2, b'word ' * 200_000), os.abort())"
    result = run_patched(patch, *COMMANDS["inspect"], cwd=tmp_path)
    assert result.exit_code == 3
    assert len(result.error) < 1000


@pytest.mark.parametrize("name", ["build", "dry run", "rewrite", "inspect", "compare"])
@pytest.mark.parametrize("options", part([(), ("--json",), ("--debug",)], lambda options: options != ("--debug",)))
def test_the_worker_prints_what_the_process_itself_would(tmp_path: Path, name: str, options: tuple[str, ...]) -> None:
    write_model(tmp_path, "static")
    alone = run(*COMMANDS[name], *options, "--no-isolate", cwd=tmp_path)
    isolated = run(*COMMANDS[name], *options, cwd=tmp_path)
    changing = ("time  ", '"seconds"', '"created"')

    def lines(text: str) -> list[str]:
        kept = [line for line in text.splitlines() if not any(word in line for word in changing)]
        return [line.replace(" --no-isolate", "") for line in kept]  # which the next command of a dry run has, too

    assert isolated.exit_code == alone.exit_code == 0
    assert lines(isolated.stdout) == lines(alone.stdout)
    assert isolated.stderr == alone.stderr


@pytest.mark.parametrize("args", [("build", "none.onnx"), ("build", "wide.onnx", "--dry-run"), ("compare", "a", "b")])
def test_errors_of_the_worker_are_those_of_the_process_itself(tmp_path: Path, args: tuple[str, ...]) -> None:
    write_model(tmp_path, "wide_pad").rename(tmp_path / "wide.onnx")
    alone, isolated = (run(*args, "--json", *more, cwd=tmp_path) for more in (["--no-isolate"], []))
    assert alone.exit_code in (2, 3)
    assert isolated == alone


def test_a_comparison_that_fails_ends_with_1(tmp_path: Path) -> None:
    write_model(tmp_path, "a", "g (float[3] x) => (float[3] y) { y = Neg(x) }")
    write_model(tmp_path, "b", "g (float[3] x) => (float[3] y) { y = Abs(x) }")
    result = run("compare", "a.onnx", "b.onnx", cwd=tmp_path)
    assert result.exit_code == 1
    assert "DIFFERS" in result.stdout


# Signals. -------------------------------------------------------------------------------------------------------------

SLEEPS = "model_io._parse = lambda path: (open('ready', 'x').close(), sleep())"
SLEEP = """
def sleep():
    try:
        time.sleep(60)
    finally:
        open('tidied', 'x').close()
"""
DEAF = "sleep = lambda: (signal.pthread_sigmask(signal.SIG_BLOCK, [2, 15]), time.sleep(60))"


def start(tmp_path: Path, sleep: str, *options: str) -> tuple[subprocess.Popen[str], int]:
    """Start a command that sleeps in its worker; return its process and the worker's number."""
    write_model(tmp_path, "static")
    code = patched(f"{sleep}\n{SLEEPS}")
    process = subprocess.Popen(
        [sys.executable, "-c", code, *COMMANDS["inspect"], "--json", *options],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: (tmp_path / "ready").exists())
    time.sleep(0.1)
    return process, int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


def wait_for(is_so: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("sleep", [SLEEP, DEAF], ids=["in Python", "deaf"])
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "Ctrl-C"])
def test_a_signal_ends_both_within_two_seconds(tmp_path: Path, how: str, sleep: str) -> None:
    """Ctrl-C reaches the whole group of processes."""
    process, worker = start(tmp_path, sleep)
    began = time.monotonic()
    if how == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.Signals[how])
    stdout, stderr = process.communicate(timeout=30)
    assert time.monotonic() - began < patience(INTERRUPT_SECONDS + 0.3)
    assert process.returncode == 130
    assert stderr == "error: interrupted\n"
    assert Result(130, stdout, stderr).document["error"]["exit_code"] == 130
    assert not is_alive(worker)
    assert (tmp_path / "tidied").exists() == (sleep is SLEEP)


@pytest.mark.parametrize(
    "delay", part([0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5], {0.0, 0.06, 0.15, 0.3}.__contains__)
)
def test_ctrl_c_while_it_starts_leaves_no_traceback(tmp_path: Path, delay: float) -> None:
    write_model(tmp_path, "static")
    process = subprocess.Popen(
        [*COMMAND, *COMMANDS["build"]],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: len(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()) > 0)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in stderr) in [(130, False), (0, False)], stderr
    assert process.returncode == 0 or "interrupted" in stderr


def test_a_worker_that_is_killed_is_told(tmp_path: Path) -> None:
    process, worker = start(tmp_path, SLEEP)
    os.kill(worker, signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=30)
    result = Result(process.returncode, stdout, stderr)
    assert result.exit_code == 4
    assert result.error == "was killed from outside (SIGKILL) while reading static.onnx"
    assert "memory" in result.hint
    assert result.document["error"]["exit_code"] == 4


@pytest.mark.parametrize("sleep", [SLEEP, DEAF], ids=["in Python", "deaf"])
def test_a_worker_does_not_outlive_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleep: str) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    process, worker = start(tmp_path, sleep)
    assert [path.name[:8] for path in temporary.iterdir()] == ["trtconv-"]
    process.kill()
    wait_for(lambda: not is_alive(worker), seconds=10)
    process.communicate()
    assert list(temporary.iterdir()) == []


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """As under nohup, or behind & in a script."""
    write_model(tmp_path, "static")
    process = subprocess.Popen(
        [*COMMAND, *COMMANDS["inspect"]],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    for _ in range(10):
        time.sleep(0.05)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


# What is started. -----------------------------------------------------------------------------------------------------


def test_the_commands_of_a_worker_are_those_with_its_options() -> None:
    options = {name: {option.name for option in command.params} for name, command in program.cli.commands.items()}
    assert {name for name, names in options.items() if "no_isolate" in names} == ISOLATED


def test_the_parent_imports_no_foreign_library(tmp_path: Path) -> None:
    write_model(tmp_path, "static")
    code = """
import atexit, sys
names = ("onnx", "numpy", "onnxruntime", "rich", "tensorrt_rtx", "onnx_graphsurgeon")
atexit.register(lambda: print(*(name for name in names if name in sys.modules), "end", file=sys.stderr))
from trtconv.cli import main
main()
"""
    result = run_python(code, *COMMANDS["rewrite"], cwd=tmp_path)
    assert (result.exit_code, result.stderr) == (0, "end\n")


def test_nothing_is_imported_from_the_current_folder(tmp_path: Path) -> None:
    write_model(tmp_path, "static")
    for name in ("onnx", "numpy", "onnxruntime", "secrets"):
        (tmp_path / f"{name}.py").write_text("raise ImportError(__file__)")
    result = run_command([*COMMAND, *COMMANDS["rewrite"]], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "out.onnx").is_file()


def test_no_isolate_stays_in_the_process(tmp_path: Path) -> None:
    write_model(tmp_path, "aborts", ABORTS)
    assert run("compare", "aborts.onnx", "aborts.onnx", "--no-isolate", cwd=tmp_path).exit_code == -signal.SIGABRT


def test_python_stays_in_the_process(tmp_path: Path) -> None:
    model = write_model(tmp_path, "static")
    code = "import subprocess, sys, trtconv; subprocess.Popen = None; print(trtconv.dry_run(sys.argv[1]).opset)"
    assert run_python(code, model).stdout == "17\n"


def test_a_process_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    write_model(tmp_path, "static")
    code = f"import sys; sys.executable = '/no/such/python'\n{patched('')}"
    result = run_python(code, *COMMANDS["inspect"], cwd=tmp_path)
    assert result.exit_code == 4
    assert result.error == "no worker process can be started: No such file or directory"
