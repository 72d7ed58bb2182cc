"""Interrupts end a build at once and leave no file; closed and full streams harm neither the work nor the exit code."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import onnx
import pytest

from models import make_models
from tests.support.command_line import (
    COMMAND,
    MODELS,
    RTX,
    SECONDS,
    Result,
    contents,
    environment,
    run_command,
    run_in_fork,
    write_model,
)
from tests.support.extent import part, whole_sweep
from tests.support.path_options import write_usual_files
from tests.support.patience import patience
from tests.support.warm_python import warm_python
from trtconv.cli.program import cli

INTERRUPT_SECONDS = 2.0


@pytest.fixture(scope="module")
def slow_build(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The arguments of a build that would take 15 s: TensorRT-RTX needs one second for each profile."""
    path = tmp_path_factory.mktemp("slow") / "cyclegan.onnx"
    onnx.save(make_models.make("cyclegan", channels=4, height=24, width=32, dynamic=True), path)
    shapes = [f"--shape=image=1x3x{size}x{size}:1x3x{size + 8}x{size + 8}:1x3x64x64" for size in range(16, 48, 2)]
    return ["build", str(path), *RTX, *(word for shape in shapes for word in ("--profile", shape))]


@pytest.mark.parametrize("number", part([signal.SIGINT, signal.SIGTERM], {signal.SIGINT}.__contains__))
def test_an_interrupted_build_ends_at_once(tmp_path: Path, slow_build: list[str], number: signal.Signals) -> None:
    output = tmp_path / "out.engine"
    output.write_bytes(b"older engine")
    before = contents(tmp_path)
    command = [*COMMAND, *slow_build, "-o", str(output), "--json"]
    process = subprocess.Popen(
        [*command, "-v"], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "Compiler backend is used during engine build" in line:
            break
    time.sleep(1)  # now the builder compiles
    start = time.monotonic()
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    seconds = time.monotonic() - start
    assert process.returncode == 130
    assert seconds < patience(INTERRUPT_SECONDS)
    said = stderr.strip().splitlines()[-1]  # the shorter by the parent, where the worker is too busy to answer
    assert said in ("error: the build was interrupted, no engine was written", "error: interrupted")
    assert '"exit_code": 130' in stdout
    assert contents(tmp_path) == before


def test_an_interrupt_before_the_build_ends_at_once(tmp_path: Path) -> None:
    write_model(tmp_path, "static")
    code = "import os, signal, sys, trtconv.engine.backends as e; from trtconv.cli import main\n"
    code += "e.select_backend = lambda config: os.kill(os.getpid(), signal.SIGINT)\nmain(sys.argv[1:])"
    command = [COMMAND[0], "-c", code, "build", "static.onnx"]
    result = run_command(command, cwd=tmp_path)
    assert result.exit_code == 130
    assert result.error == "interrupted"
    assert os.listdir(tmp_path) == ["static.onnx"]


def shell(folder: Path, line: str) -> Result:
    """Run a line of bash in which `trtconv` is the command; the exit code is the first program's of a pipe."""
    function = f'trtconv() {{ {shlex.join(COMMAND)} "$@"; }}'
    script = f"{function}\n{line}\nexit ${{PIPESTATUS[0]}}"
    return run_command(["bash", "-c", script], cwd=folder)


@pytest.mark.parametrize(
    ("line", "exit_code"),
    [
        ("trtconv --help | true", 0),
        pytest.param("trtconv build static.onnx --backend tensorrt-rtx | true", 0, marks=whole_sweep),
        pytest.param("trtconv build static.onnx --backend tensorrt-rtx --json | true", 0, marks=whole_sweep),
        ("trtconv build static.onnx --backend tensorrt-rtx -v 2>&1 | head -n 1", 0),
        pytest.param("trtconv build static.onnx --backend tensorrt-rtx -v 2>/dev/full", 0, marks=whole_sweep),
        ("trtconv build static.onnx --backend tensorrt-rtx >&- 2>&-", 0),
        ("trtconv --help >&-", 0),
        ("trtconv build no_such.onnx 2>&-", 2),
        pytest.param("trtconv build no_such.onnx 2>&1 | true", 2, marks=whole_sweep),
        ("trtconv build no_such.onnx --json | true", 2),
        ("trtconv build static.onnx --backend tensorrt-rtx >/dev/full", 4),
    ],
)
def test_closed_and_full_streams(tmp_path: Path, line: str, exit_code: int) -> None:
    write_model(tmp_path, "static")
    result = shell(tmp_path, line)
    assert result.exit_code == exit_code
    assert "Exception ignored" not in result.stderr
    assert "Traceback" not in result.stderr
    if "static" in line:
        assert (tmp_path / "static.engine.json").is_file()


# Of each command, words and the exit code that they have.
COMMANDS = {
    "help": ("--help", 0),
    "version": ("--version", 0),
    "help of a command": ("run --help", 0),
    "build": ("build static.onnx --dry-run --backend tensorrt", 0),
    "compare": ("compare static.onnx static.onnx", 0),
    "compare, which differ": ("compare static.onnx other.onnx", 1),
    "compare as JSON": ("compare static.onnx other.onnx --json", 1),
    "reduce": ("reduce static.onnx -o small.onnx", 0),
    "run": ("run static.onnx static.npz", 0),
    "bench": ("bench static.onnx --json", 4),
    "rewrite": ("rewrite static.onnx -o new.onnx", 0),
    "plugins": ("plugins", 0),
    "path of the plugins": ("plugins --path", 0),
    "inspect": ("inspect static.onnx", 0),
    "doctor": ("doctor", 0),
}


def run_into(output: int, words: str, folder: Path) -> Result:
    """Run a command whose standard output is a descriptor."""
    code = "from trtconv.__main__ import main\nmain()"
    with tempfile.TemporaryFile() as stderr:
        streams = (0, output, stderr.fileno())
        exit_code = warm_python().run(code, words.split(), folder, environment(), streams, SECONDS)
        return Result(exit_code, "", os.pread(stderr.fileno(), 1 << 16, 0).decode())


def test_every_command_is_among_them() -> None:
    assert {words.split()[0] for words, _ in COMMANDS.values()} >= set(cli.commands)


@pytest.mark.usefixtures("plugin_library")
@pytest.mark.parametrize("name", COMMANDS)
def test_no_reader_and_no_room_for_a_report(tmp_path: Path, name: str) -> None:
    """Work that nobody reads about ends as usual: `compare ... | head -n 1` still says that two models differ."""
    words, exit_code = COMMANDS[name]
    write_usual_files(tmp_path)
    write_model(tmp_path, "other", MODELS["static"].replace("0.5]", "0.25]"))
    read, write = os.pipe()
    os.close(read)
    unread = run_into(write, words, tmp_path)
    os.close(write)
    assert unread.exit_code == exit_code, unread
    assert unread.stderr == "" or exit_code == 4
    full = os.open("/dev/full", os.O_WRONLY)
    result = run_into(full, words, tmp_path)
    os.close(full)
    assert result.exit_code == 4
    assert exit_code == 4 or result.error == "standard output cannot be written: No space left on device"


def test_a_closed_standard_error_does_not_spill_into_the_document(tmp_path: Path) -> None:
    result = shell(tmp_path, "trtconv build no_such.onnx --json 2>&-")
    assert result.document["error"]["exit_code"] == 2


def test_what_native_libraries_print_is_shown_nowhere(tmp_path: Path) -> None:
    """onnx.checker prints a warning of its experimental operators to standard output."""
    text = '{ a = ImageScaler<bias=[0.0], scale=1.0>(x)  y = Pad<mode="reflect", pads=[0,0,1,1,0,0,1,1]>(a) }'
    model = onnx.parser.parse_model(
        f'<ir_version: 3, opset_import: ["": 7]> g (float[1,1,8,8] x) => (float[1,1,10,10] y) {text}'
    )
    onnx.save(model, tmp_path / "old.onnx")
    result = shell(tmp_path, "trtconv rewrite old.onnx -o new.onnx --json")
    assert result.exit_code == 0, result.stderr
    assert result.document["num_rewritten"] == 1
    assert result.stderr == ""


@pytest.mark.parametrize("options", [(), ("--no-isolate",)], ids=["in a worker", "without"])
@pytest.mark.parametrize("quiet", ["-q", "--quiet", "-vq"])
def test_quiet_hides_what_libraries_print_by_themselves(tmp_path: Path, quiet: str, options: tuple[str, ...]) -> None:
    """As onnx's checker does of experimental ops."""
    write_model(tmp_path, "static")
    code = """
import os
import trtconv.child_processes as child_processes
patch = "import os, trtconv.model.model_io as io; read = io.load\\n"
patch += "def load(*args, **named):\\n    os.write(1, b'native'); os.write(2, b'native')\\n"
patch += "    return read(*args, **named)\\n"
patch += "io.load = load\\n"
child_processes._ENTRY = child_processes._ENTRY.replace("main()", patch.replace("{", "{{") + "main()")
exec(patch)
from trtconv.cli import main
main()
"""
    for flags, shown in (((), "native"), ((quiet,), "")):
        result = run_in_fork(code, "build", "static.onnx", "--dry-run", *flags, *options, cwd=tmp_path)
        assert result.exit_code == 0
        assert (shown in result.stderr) if shown else (result.stdout, result.stderr) == ("", "")
