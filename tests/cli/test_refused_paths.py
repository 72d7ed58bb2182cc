"""Paths that lead nowhere, too far, or to streams: an error that names them, and nothing written anywhere else."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import COMMAND, RTX, environment, run, run_here, write_model

LONG = "n" * 256
FAR = "d/" * 2500 + "n"

# Of each command, a path that is to be read (READ) or written (WRITTEN).
READ = {
    "build": ("build", "PATH.onnx"),
    "dry run": ("build", "PATH.onnx", "--dry-run"),
    "inspect": ("inspect", "PATH.onnx"),
    "rewrite": ("rewrite", "PATH.onnx", "-o", "out.onnx"),
    "compare": ("compare", "static.onnx", "PATH.onnx"),
    "inputs": ("compare", "static.onnx", "static.onnx", "--inputs", "PATH.npz"),
    "array": ("compare", "static.onnx", "static.onnx", "--inputs", "PATH.npy"),
    "image": ("compare", "static.onnx", "static.onnx", "--inputs", "PATH.png"),
    "calibration": ("build", "static.onnx", "--dry-run", "--precision", "fp16", "--calibration", "PATH.npz"),
    "run": ("run", "PATH.onnx", "x.npz"),
    "run on": ("run", "static.onnx", "PATH.npz"),
    "reduce": ("reduce", "PATH.onnx", "-o", "small.onnx"),
}
WRITTEN = {
    "build": ("build", "static.onnx", *RTX, "-o", "PATH"),
    "rewrite": ("rewrite", "static.onnx", "-o", "PATH"),
    "decisions": ("build", "static.onnx", "--dry-run", "--backend", "tensorrt", "--decisions", "PATH"),
    "plot": ("compare", "static.onnx", "static.onnx", "--plot", "PATH.png"),
    "bench": ("bench", "static.onnx", "--out", "PATH"),
    "page": ("inspect", "static.onnx", "--html", "PATH"),
    "report": ("build", "static.onnx", "--dry-run", "--report", "PATH"),
    "inputs": ("compare", "static.onnx", "static.onnx", "--save-inputs", "PATH.npz"),
    "outputs": ("compare", "static.onnx", "static.onnx", "--save-outputs", "PATH.npz"),
    "run": ("run", "static.onnx", "x.npz", "-o", "PATH.npz"),
    "reduce": ("reduce", "static.onnx", "-o", "PATH.onnx"),
}
COMMANDS = {**{f"{name} reads": words for name, words in READ.items()},
            **{f"{name} writes": words for name, words in WRITTEN.items()}}  # fmt: skip


def at(path: str | Path, words: tuple[str, ...]) -> list[str]:
    return [word.replace("PATH", str(path)) for word in words]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path, "static")
    return tmp_path


@pytest.mark.parametrize("path", [LONG, FAR], ids=["a long name", "a long path"])
@pytest.mark.parametrize("command", COMMANDS)
def test_names_that_are_too_long(folder: Path, command: str, path: str) -> None:
    result = run_here(*at(path, COMMANDS[command]), cwd=folder)
    assert (result.exit_code, "File name too long" in result.error) == (2, True)
    assert result.hint == "choose a shorter name"
    assert os.listdir(folder) == ["static.onnx"]


@pytest.mark.parametrize("length", [248, 249, 255])
def test_a_name_that_leaves_no_room_for_the_manifest(folder: Path, length: int) -> None:
    """The engine's own name would fit."""
    model = (folder / "static.onnx").rename(folder / ("n" * (length - 5) + ".onnx"))
    result = run_here("build", model.name, *RTX, cwd=folder)
    fits = length == 248  # beside n...n.engine.json
    assert result.exit_code == (0 if fits else 2), result.stderr
    assert len(os.listdir(folder)) == (3 if fits else 1)
    assert fits or "File name too long" in result.error


def test_a_name_of_many_bytes_and_few_letters_is_written(folder: Path) -> None:
    name = "\N{DESERT}" * 60 + ".onnx"
    assert run_here("rewrite", "static.onnx", "-o", name, cwd=folder).exit_code == 0
    assert (folder / name).is_file()


# Folders that nobody may enter. ---------------------------------------------------------------------------------------


def as_a_user() -> None:
    """Give up what lets root pass by the permissions of folders; of others nothing changes."""
    libc = ctypes.CDLL(None)
    drop_from_bounding_set, dac_override, dac_read_search = 24, 1, 2
    for capability in (dac_override, dac_read_search):
        libc.prctl(drop_from_bounding_set, capability, 0, 0, 0)


RUN_ALL = """
import json, sys
from pathlib import Path
from tests.support.command_line import run_here
for words in json.load(sys.stdin):
    result = run_here(*words, cwd=Path.cwd())
    print(json.dumps([result.exit_code, result.stderr]))
"""


def test_folders_that_may_not_be_searched_and_files_that_may_not_be_read(folder: Path) -> None:
    for name in ("closed", "shut.npz"):
        (folder / name).mkdir()
        (folder / name).chmod(0)
    (folder / "shut.onnx").write_bytes((folder / "static.onnx").read_bytes())
    (folder / "shut.onnx").chmod(0)
    runs = [*(at("closed/n", words) for words in COMMANDS.values()), *(at("shut", words) for words in READ.values())]
    runs = [words for words in runs if (folder / words[-1]).suffix not in (".npy", ".png") or "closed/n" in words[-1]]
    try:
        done = subprocess.run(
            [sys.executable, "-c", RUN_ALL], check=True, cwd=folder, env=environment(), text=True, timeout=120,
            input=json.dumps(runs), stdout=subprocess.PIPE, preexec_fn=as_a_user,
        )  # fmt: skip
    finally:
        for name in ("closed", "shut.npz"):
            (folder / name).chmod(0o700)
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ends) == len(runs)
    for words, (exit_code, stderr) in zip(runs, ends, strict=True):
        assert exit_code == 2, (words, stderr)
        assert "Permission denied" in stderr or "is not writable" in stderr, (words, stderr)
        assert "closed" in stderr or "shut" in stderr
    assert os.listdir(folder / "closed") == []


# Streams of the process itself. ---------------------------------------------------------------------------------------


STREAMS = [
    (command, stream)
    for command, words in WRITTEN.items()
    for stream in ("link", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/proc/self/fd/1")
    if stream == "link" or words[-1] not in ("PATH.npz", "PATH.onnx")  # which a stream's own name does not end in
]


@pytest.mark.parametrize(("command", "stream"), STREAMS)
def test_streams_are_no_files_to_write(folder: Path, command: str, stream: str) -> None:
    """Here all of them are files, which would be replaced."""
    for name in ("link", "link.npz", "link.onnx", "link.png"):
        (folder / name).symlink_to("/dev/stdout")
    before = sorted(os.listdir(folder))
    words = [word.replace("PATH.png", "PATH") if stream != "link" else word for word in WRITTEN[command]]
    result = run_here(*at(stream, tuple(words)), cwd=folder)
    assert result.exit_code == 2
    is_read_first = command == "decisions"  # it is there
    assert ("is not a decision file" if is_read_first else "is an open file of a process") in result.error
    assert sorted(os.listdir(folder)) == before


def test_standard_output_of_a_command_is_not_replaced(folder: Path) -> None:
    with (folder / "output").open("w") as output:
        done = subprocess.run(
            [*COMMAND, *at("/dev/stdout", WRITTEN["build"])], check=False, cwd=folder, env=environment(), text=True,
            timeout=120, stdout=output, stderr=subprocess.PIPE,
        )  # fmt: skip
    assert (done.returncode, "is an open file of a process" in done.stderr) == (2, True)
    assert (folder / "output").read_bytes() == b""
    assert not Path("/dev/stdout.json").exists()


@pytest.mark.parametrize("path", ["/", ".", "..", ""])
@pytest.mark.parametrize("command", ["build", "rewrite"])
def test_folders_are_no_files_to_write(folder: Path, command: str, path: str) -> None:
    result = run_here(*at(path, WRITTEN[command]), cwd=folder)
    assert (result.exit_code, "is a folder, expected a file name" in result.error) == (2, True)


# The home folder. -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("build", "static.onnx", "--dry-run", "--precision", "fp16"),
        ("build", "static.onnx", *RTX),
        ("compare", "static.onnx", "static.onnx"),
    ],
    ids=["calibration", "build", "compare"],
)
def test_nothing_is_written_into_the_home_folder(folder: Path, words: tuple[str, ...]) -> None:
    """ONNX Runtime would keep an identity of this machine and a database there."""
    for name in ("home", "temporary"):
        (folder / name).mkdir()
    variables = environment(HOME=str(folder / "home"), TMPDIR=str(folder / "temporary"))
    for name in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"):
        variables.pop(name, None)
    result = run(*words, cwd=folder, env=variables)
    assert result.exit_code == 0, result.stderr
    assert list((folder / "home").rglob("*")) == list((folder / "temporary").rglob("*")) == []
