"""Run `trtconv` as a user does, in a process of its own, and make the small models that it is run on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnx.parser

from tests.support.warm_python import warm_python
from trtconv.cli import main

COMMAND = (sys.executable, "-m", "trtconv")
RTX = ("--backend", "tensorrt-rtx")
SECONDS = 120
# Variables that nothing reads before a command begins.
READ_LATE = {"COLUMNS", "NO_COLOR", "FORCE_COLOR", "CUDA_VISIBLE_DEVICES", "TRTCONV_PLUGIN_LIBRARY"}
# What a command says every five seconds, which on a busy machine any command may take.
_SLOW = re.compile(r"^[a-z ]+ +\d+ s: .*\n", re.MULTILINE)
OPSET_17 = '<ir_version: 8, opset_import: ["": 17, "my": 1]>'

# One node of each kind that trtconv is about, named as an exporter names them.
BODY = """{
    scale = Constant<value_floats=[1.0, 2.0, 0.5]>()
    bias = Constant<value_floats=[0.0, 1.0, -1.0]>()
    pads = Constant<value_ints=[0, 0, 1, 2, 0, 0, 1, 2]>()
    ["/pad"] padded = Pad<mode="reflect">(x, pads)
    ["/norm"] y = InstanceNormalization<epsilon=1e-5>(padded, scale, bias)
}"""
# Text of models, by the name of the file that `write_model` makes of them.
MODELS = {
    "static": f"g (float[1,3,8,8] x) => (float[1,3,10,12] y) {BODY}",
    "dynamic": f"g (float[N,3,H,W] x) => (float[N,3,h,w] y) {BODY}",
    "wide_pad": f"g (float[1,3,2,2] x) => (float[1,3,4,6] y) {BODY}",
    "resize": 'g (float[1,3,8,8] x, int64[4] sizes) => (float[a,b,c,d] y) { y = Resize<mode="nearest">(x, , , sizes) }',
    "unknown_op": 'g (float[1,3] x) => (float[1,3] y) { ["first"] a = my.Foo(x)  b = my.Foo(a)  y = my.Bar(b) }',
}


def write_model(folder: Path, name: str, text: str | None = None) -> Path:
    """Write one of MODELS, or the model of `text`, as `name.onnx` and return its path."""
    path = folder / f"{name}.onnx"
    onnx.save(onnx.parser.parse_model(OPSET_17 + (MODELS[name] if text is None else text)), path)
    return path


@dataclass(frozen=True)
class Result:
    """How a command ended and what it printed."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """What stands behind `error:`; a failed command prints that line, at most a hint, and nothing else."""
        lines = [line for line in self.stderr.splitlines() if line]
        assert lines, f"no error was printed: {self}"
        assert lines[0].startswith("error: "), self.stderr
        assert all(line.startswith("hint: ") for line in lines[1:]), self.stderr
        assert len(lines) <= 2, self.stderr
        return lines[0].removeprefix("error: ")

    @property
    def hint(self) -> str:
        """What stands behind `hint:`."""
        return next(line for line in self.stderr.splitlines() if line.startswith("hint: ")).removeprefix("hint: ")

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.stdout)


def run(*args: str | Path, cwd: Path = Path(), env: dict[str, str] | None = None, timeout: float = SECONDS) -> Result:
    """Run `trtconv` with these arguments; in a fork of a warm Python, where the environment allows it."""
    usual, env = environment(), env or environment()
    changed = {name for name in usual.keys() | env.keys() if usual.get(name) != env.get(name)}
    if changed - READ_LATE:
        return run_command([*COMMAND, *map(str, args)], cwd=cwd, env=env, timeout=timeout)
    return run_in_fork("from trtconv.__main__ import main\nmain()", *args, cwd=cwd, env=env, timeout=timeout)


def run_in_fork(
    code: str, *args: str | Path, cwd: Path, env: dict[str, str] | None = None, timeout: float = SECONDS
) -> Result:
    """Run Python code with these arguments in a fork of a Python that has imported trtconv."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        streams = (0, stdout.fileno(), stderr.fileno())
        exit_code = warm_python().run(code, [str(arg) for arg in args], cwd, env or environment(), streams, timeout)
        texts = [os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode() for file in (stdout, stderr)]
    return Result(exit_code, texts[0], _SLOW.sub("", texts[1]))


def run_here(*args: str | Path, cwd: Path) -> Result:
    """Run `trtconv` in this process, which saves the imports; for commands that end by themselves."""
    with contextlib.ExitStack() as stack:
        stack.callback(os.chdir, Path.cwd())
        os.chdir(cwd)
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.getsignal(number))
        files = [stack.enter_context(_redirected(name)) for name in ("stdout", "stderr")]
        try:
            main([str(arg) for arg in args])
        except SystemExit as end:
            exit_code = int(end.code or 0)
        sys.stdout.flush()
        sys.stderr.flush()
        texts = [Path(file.name).read_text() for file in files]
    return Result(exit_code, *texts)


@contextlib.contextmanager
def _redirected(name: str) -> Iterator[Any]:
    """Send one standard stream to a file, for Python and for native libraries."""
    number = {"stdout": 1, "stderr": 2}[name]
    python_stream, saved = getattr(sys, name), os.dup(number)
    with tempfile.NamedTemporaryFile("w") as file:
        os.dup2(file.fileno(), number)
        setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115
        try:
            yield file
        finally:
            setattr(sys, name, python_stream)
            os.dup2(saved, number)
            os.close(saved)


def run_python(code: str, *args: str | Path, **options: Any) -> Result:
    """Run Python code with these arguments."""
    return run_command([sys.executable, "-c", code, *map(str, args)], **options)


def run_command(command: Sequence[str], **options: Any) -> Result:
    """Run a command without a CUDA device, in the repository's root unless `options` for subprocess say otherwise."""
    options = {"env": environment(), "timeout": SECONDS, "capture_output": True, "text": True} | options
    done = subprocess.run(command, check=False, **options)
    return Result(done.returncode, done.stdout or "", _SLOW.sub("", done.stderr or ""))


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment with the repository first on Python's path, and `changes`."""
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "120", **changes}


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
