"""Ctrl-C ends a command with 130 and one line, also while something is being imported."""

from __future__ import annotations

import contextlib
import itertools
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.test_cli_streams import INTERRUPT_SECONDS
from tests.cli.test_isolation import COMMANDS, run_patched
from tests.support.command_line import COMMAND, environment, run_command, run_python, write_model
from tests.support.extent import part
from tests.support.patience import patience

# Import systems and extension modules turn KeyboardInterrupt into an ImportError, or drop it.
SWALLOW = """
def swallow(name):
    try:
        os.kill(os.getpid(), signal.{number})
        time.sleep(5)
    except KeyboardInterrupt:
        raise ImportError("initialization failed") from None
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("isolate", [True, False], ids=["in a worker", "without"])
def test_an_import_that_swallows_an_interrupt_does_not_count(tmp_path: Path, number: str, isolate: bool) -> None:
    write_model(tmp_path, "static")
    patch = f"{SWALLOW.format(number=number)}\nimport importlib; importlib.import_module = swallow"
    if isolate:
        result = run_patched(patch, *COMMANDS["build"], "--json", cwd=tmp_path)
    else:
        code = f"import os, signal, sys, time\nfrom trtconv.cli import main\nimport trtconv.convert\n{patch}\nmain()"
        result = run_python(code, *COMMANDS["build"], "--json", "--no-isolate", cwd=tmp_path)
    assert (result.exit_code, result.error) == (130, "interrupted")
    assert result.document["error"]["exit_code"] == 130


@pytest.mark.parametrize(
    ("module", "options", "number"),
    [
        *((module, options, number)
          for module, options in [("trtconv.cli", ()), ("json", ()), ("subprocess", ()), ("click", ("--no-isolate",))]
          for number in ("SIGINT", "SIGTERM")),
        ("trtconv.interrupts", (), "SIGINT"),  # before the handlers are set, SIGTERM ends the process without a word
        ("trtconv.errors", (), "SIGINT"),
    ],
)  # fmt: skip
def test_an_interrupt_while_the_program_is_imported_leaves_no_traceback(
    tmp_path: Path, module: str, options: tuple[str, ...], number: str
) -> None:
    code = f"""
import os, runpy, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r} and self in sys.meta_path:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.{number})

sys.meta_path.insert(0, Finder())
runpy.run_module("trtconv", run_name="__main__")
"""
    result = run_python(code, "inspect", "any.onnx", "--json", *options, cwd=tmp_path)
    assert (result.exit_code, result.stderr) == (130, "error: interrupted\n")
    assert result.document["error"] == {"what": "interrupted", "where": None, "hint": None, "exit_code": 130}


INTERRUPTED = """
import os, time, trtconv.model.model_io as model_io
model_io.load = lambda *_, **__: (os.kill(os.getpid(), 2), time.sleep(5))
"""


@pytest.mark.parametrize("options", [(), ("--no-isolate",)], ids=["in a worker", "without"])
def test_an_interrupt_is_one_line(tmp_path: Path, options: tuple[str, ...]) -> None:
    write_model(tmp_path, "static")
    if options:
        code = f"{INTERRUPTED}\nfrom trtconv.cli import main\nmain()"
        result = run_python(code, *COMMANDS["rewrite"], *options, cwd=tmp_path)
    else:
        result = run_patched(INTERRUPTED, *COMMANDS["rewrite"], cwd=tmp_path)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "error: interrupted\n")


@pytest.mark.parametrize(
    "when",
    [
        "from trtconv.cli import main\nmain()",
        "from trtconv import interrupts\ninterrupts.end_at_once()\nos.kill(os.getpid(), 2)",
    ],
    ids=["at work", "while it starts"],
)
def test_a_terminal_shows_an_interrupt_on_a_line_of_its_own(tmp_path: Path, when: str) -> None:
    """The cursor stands behind the ^C that the terminal has shown."""
    write_model(tmp_path, "static")
    leader, follower = pty.openpty()
    words = [*COMMANDS["rewrite"], "--no-isolate"]
    process = subprocess.Popen(
        [sys.executable, "-c", f"{INTERRUPTED}\n{when}", *words], cwd=tmp_path, stderr=follower, env=environment()
    )
    os.close(follower)
    shown = ""
    with contextlib.suppress(OSError):  # the other end is closed
        while chunk := os.read(leader, 4096):
            shown += chunk.decode()
    os.close(leader)
    assert process.wait(60) == 130
    assert "\r\nerror: interrupted\r\n" in shown


def test_an_interrupt_after_the_report_does_not_count(tmp_path: Path) -> None:
    write_model(tmp_path, "static")
    patch = "import atexit; atexit.register(lambda: (os.kill(os.getpid(), 2), os.kill(os.getpid(), 15)))"
    result = run_patched(patch, *COMMANDS["rewrite"], cwd=tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")


def test_the_installed_program_is_the_one_that_minds_its_imports() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    assert 'trtconv = "trtconv.__main__:main"' in project.read_text()
    assert run_command([sys.executable, "-c", "from trtconv.__main__ import main"]).exit_code == 0


SLOW = """g (float[1,64,64,64] x) => (float[1,64,64,64] y) {
    n = Constant<value_int=20000>()
    c = Constant<value_int=1>()
    goes = Cast<to=9>(c)
    y = Loop(n, goes, x) <body = body (int64 i, bool k, float[1,64,64,64] a) => (bool l, float[1,64,64,64] b) {
        l = Identity(k)
        s = Sin(a)
        b = Cos(s)
    }>
}"""  # for a minute


@pytest.mark.parametrize(
    "options", part([(), ("--no-isolate",)], lambda options: not options), ids=["in a worker", "without"]
)
def test_ctrl_c_ends_a_calibration(tmp_path: Path, options: tuple[str, ...]) -> None:
    write_model(tmp_path, "slow", SLOW)
    command = [*COMMAND, "build", "slow.onnx", "--dry-run", "--precision", "fp16", *options]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, env=environment(), text=True)
    try:
        assert process.stderr is not None
        said = list(itertools.takewhile(lambda line: "Running calibration inputs 0/3" not in line, process.stderr))
        assert all(re.fullmatch(r"dry run +\d+ s: .*\n", line) for line in said), said
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=60)
        assert time.monotonic() - begin < patience(INTERRUPT_SECONDS)
    finally:
        process.kill()
    assert (process.returncode, printed.splitlines()[-1:]) == (130, ["error: interrupted"])


def test_ctrl_c_ends_a_calibration_of_a_python_caller(tmp_path: Path) -> None:
    code = """
import sys, threading, time, _thread
import trtconv
from tests.support.extent import part
from tests.support.patience import patience
from trtconv.progress import NoProgress

class Interrupter(NoProgress):
    def phase_start(self, name, parent, num_steps):
        if name == "Running calibration inputs":
            threading.Timer(1, _thread.interrupt_main).start()

try:
    trtconv.dry_run(sys.argv[1], trtconv.BuildConfig(precision="fp16"), progress=Interrupter())
except KeyboardInterrupt:
    begin = time.monotonic()
    while any(thread.name == "trtconv-calibration" for thread in threading.enumerate()):
        assert time.monotonic() - begin < patience(2), "the run goes on"
    print("interrupted")
"""
    result = run_python(code, str(write_model(tmp_path, "slow", SLOW)), cwd=tmp_path)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "interrupted\n", "")


def test_ctrl_c_while_a_python_caller_imports_a_library_is_no_error_of_the_model(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys, time
import trtconv, trtconv.model.onnx_session as onnx_session
{SWALLOW.format(number="SIGINT")}
onnx_session._import_runtime = lambda: swallow("onnxruntime")
try:
    trtconv.dry_run(sys.argv[1], trtconv.BuildConfig(precision="fp16"))
except KeyboardInterrupt:
    print("interrupted")
"""
    text = "g (float[1,4] x, float[4,4] w) => (float[1,4] y) { y = MatMul(x, w) }"
    result = run_python(code, str(write_model(tmp_path, "m", text)), cwd=tmp_path)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "interrupted\n", "")


def test_an_interrupt_that_python_lets_not_through_is_not_told() -> None:
    """As in a callback of the import system; the command ends by `was_interrupted` all the same."""
    code = (
        "import os, signal, weakref; from trtconv import interrupts; interrupts.raise_interrupts()\n"
        "class Module: pass\n"
        "module = Module(); held = weakref.ref(module, lambda _: os.kill(os.getpid(), signal.SIGINT))\n"
        "del module; print(interrupts.was_interrupted())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("True\n", "")
