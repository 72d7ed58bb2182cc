"""What is not a regular file, under every path that the command line takes: an error in words, and nothing changed."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import Result, run_here
from tests.support.onnx_engine import FakeTensorRT
from tests.support.path_options import PATH_OPTIONS, READ, WRITTEN, command_line, path_params, write_usual_files
from trtconv import convert, reading
from trtconv.errors import BackendError
from trtconv.gpu import device as gpu_device
from trtconv.pages import begun_page

Key = tuple[str, str]
NAME, NO_GPU, LOOP = "special", "there is no GPU", "Too many levels of symbolic links"
# Models that do not differ are not reduced, and what stands for TensorRT here has no timing cache.
UNWRITTEN = {("reduce", "output"), ("build", "timing_cache")}


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def make_loop(path: Path) -> None:
    path.symlink_to("there")
    path.with_name("there").symlink_to(path.name)


# What a path may lead to, and what is said of it where it is to be read, and where it is to be written. Opening some of
# them would wait for ever, reading others never ends, and a file of the kernel says that it is empty.
SPECIAL: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "pipe": (os.mkfifo, "is not a regular file but a pipe", "is not a regular file"),
    "socket": (make_socket, "is not a regular file", "is not a regular file"),
    "endless device": (link_to("/dev/zero"), "is not a regular file but a device", "is not a regular file"),
    "full device": (link_to("/dev/full"), "is not a regular file but a device", "is not a regular file"),
    "stream": (link_to("/dev/stdin"), "is not a regular file", "is an open file of a process"),
    "memory": (link_to("/proc/self/mem"), "Input/output error|is not an .npz file", "is an open file of a process"),
    "kernel": (link_to("/proc/self/status"), "more than the 0 bytes|is not an .npz", "is an open file of a process"),
    "folder": (os.mkdir, "is a folder, expected|holds no images", "is a folder, expected"),
    "link to itself": (lambda path: path.symlink_to(path.name), LOOP, LOOP),
    "links in a circle": (make_loop, LOOP, LOOP),
}  # fmt: skip
ALL = sorted({*READ, *WRITTEN})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the usual files, on a machine that seems to build engines, but has no GPU to time them on."""
    FakeTensorRT(monkeypatch)
    monkeypatch.setattr(begun_page, "read_layers", lambda *_: (None, "it is not an engine"))
    monkeypatch.setattr(convert, "require_precision", lambda *_: None)
    monkeypatch.setattr(convert, "read_engine", lambda *_: None)

    def no_device() -> None:
        raise BackendError(NO_GPU)

    monkeypatch.setattr(gpu_device, "open_device", no_device)
    write_usual_files(tmp_path)
    return tmp_path


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the type of each entry of a folder, and the bytes of its regular files."""
    found = {}
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        found[str(path.relative_to(folder))] = (stat.S_IFMT(mode), path.read_bytes() if stat.S_ISREG(mode) else b"")
    return found


def run_with(folder: Path, key: Key, name: str = NAME) -> Result:
    """Run the command with this path; what it says of other files is a part of the error, too."""
    return run_here(*command_line(key[0], {key[1]: f"{name}{PATH_OPTIONS[key].suffix}"}), cwd=folder)


def test_every_path_of_the_command_line_is_in_the_table() -> None:
    assert {(command, str(param.name)) for command, param in path_params()} == set(PATH_OPTIONS)


@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("key", ALL, ids="-".join)
def test_what_is_no_regular_file(folder: Path, key: Key, special: str) -> None:
    make, read, written = SPECIAL[special]
    if (key, special) == (("run", "output"), "folder"):
        pytest.skip("the outputs go into it")
    path = folder / f"{NAME}{PATH_OPTIONS[key].suffix}"
    make(path)
    before = state(folder)
    result = run_with(folder, key)
    said = [read] * PATH_OPTIONS[key].is_read + [written] * PATH_OPTIONS[key].is_written
    assert re.search("|".join(said), result.error), result.error
    assert path.name in result.error
    assert result.exit_code == (4 if "Input/output error" in result.error else 2)
    assert state(folder) == before


@pytest.mark.parametrize("special", ["nothing", "link to nothing"])
@pytest.mark.parametrize("key", ALL, ids="-".join)
def test_nothing_where_a_file_is_to_be(folder: Path, key: Key, special: str) -> None:
    path = folder / f"{NAME}{PATH_OPTIONS[key].suffix}"
    if special == "link to nothing":
        path.symlink_to("nowhere")
    before = state(folder)
    result = run_with(folder, key)
    if not PATH_OPTIONS[key].is_written:
        assert (result.exit_code, "no such file" in result.error, path.name in result.error) == (2, True, True)
    if result.exit_code:
        assert result.exit_code == 2 or result.error == NO_GPU
        assert state(folder) == before
    else:
        assert state(folder).items() >= before.items(), "a link stays a link"


@pytest.mark.parametrize("key", ALL, ids="-".join)
def test_an_empty_file(folder: Path, key: Key) -> None:
    """It is nothing that can be read, and is replaced where it is to be written."""
    path = folder / f"{NAME}{PATH_OPTIONS[key].suffix}"
    path.touch()
    before = state(folder)
    result = run_with(folder, key)
    assert "defect" not in result.stderr
    if result.exit_code:
        assert state(folder) == before
        assert result.error == NO_GPU or path.name in result.error
        assert result.exit_code == (3 if PATH_OPTIONS[key].suffix == ".onnx" else 4 if result.error == NO_GPU else 2)
    else:
        assert PATH_OPTIONS[key].is_written


# Names. ---------------------------------------------------------------------------------------------------------------

NAMES = {
    "odd": "-a\nerror: b\x1b[31m\x07\u202e 'c\" $(d) %s{e}[f]*?",
    "no text": os.fsdecode(b"a\xff\xc4\xa3b"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ALL, ids="-".join)
def test_names_of_any_characters(folder: Path, key: Key, name: str) -> None:
    """A file of such a name is read and written as any other; what is said of it is one line of characters to see."""
    option, place = PATH_OPTIONS[key], f"./{NAMES[name]}"
    path = folder / f"{NAMES[name]}{option.suffix}"
    if option.is_read:
        path.write_bytes((folder / f"static{option.suffix}").read_bytes())
    result = run_with(folder, key, place)
    assert result.exit_code == 0 or result.error == NO_GPU, result.stderr
    if result.exit_code == 0 and option.is_written and key not in UNWRITTEN:
        assert any(each.startswith(NAMES[name]) for each in os.listdir(folder))
    for shown in (result.stdout, result.stderr):
        assert not {"\x1b", "\x07", "\u202e"}.intersection(shown)
        assert not any(line.startswith("error: b") for line in shown.splitlines())
    path.unlink(missing_ok=True)
    if not option.is_written:
        assert "no such file" in run_with(folder, key, place).error, "Result.error is one line"


# Files that change. ---------------------------------------------------------------------------------------------------


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(64))


CHANGES: dict[str, Callable[[Path], object]] = {
    "shorter": lambda path: os.truncate(path, path.stat().st_size // 2),
    "emptied": lambda path: os.truncate(path, 0),
    "longer": append,
    "gone": os.unlink,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("key", READ, ids="-".join)
def test_a_file_that_changes_once_it_is_opened(
    folder: Path, key: Key, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command reads what it opened, or says that it cannot; nothing else may come of it."""
    path = folder / f"{NAME}{PATH_OPTIONS[key].suffix}"
    content, is_changed = (folder / f"static{path.suffix}").read_bytes(), False

    def open_and_change(*args: Any) -> int:
        nonlocal is_changed
        descriptor = open_regular(*args)
        if Path(args[0]).name == path.name and not is_changed:
            is_changed = True
            CHANGES[change](path)
        return descriptor

    open_regular = reading.open_regular
    monkeypatch.setattr(reading, "open_regular", open_and_change)
    path.write_bytes(content)
    before = set(os.listdir(folder))
    result = run_with(folder, key)
    assert "defect" not in result.stderr
    assert result.exit_code in (0, 2, 3) or result.error == NO_GPU, result.stderr
    if result.exit_code:
        assert set(os.listdir(folder)) <= before
    assert is_changed or PATH_OPTIONS[key].is_written
