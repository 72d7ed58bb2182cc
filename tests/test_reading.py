"""Every file passes the gate: regular, not too large, and read by nobody else."""

from __future__ import annotations

import ast
import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.command_line import run_here, write_model
from tests.support.engine_files import engine_bytes
from tests.test_layout import MODULES
from trtconv import reading
from trtconv.errors import BackendError, ConfigError, ModelError, TrtconvError
from trtconv.reading import FILE, FileKind

SMALL = FileKind("a small file", 10, "is larger than 10 bytes", "shorten it", ModelError)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


# What has a name and is no regular file. Opening most of them waits, or reading them never ends.
SPECIAL: dict[str, tuple[Callable[[Path], None], str]] = {
    "pipe": (os.mkfifo, "is not a regular file but a pipe"),
    "folder": (os.mkdir, "is a folder, expected"),
    "socket": (make_socket, "is not a regular file"),
    "endless device": (lambda path: path.symlink_to("/dev/zero"), "is not a regular file but a device"),
    "empty device": (lambda path: path.symlink_to("/dev/null"), "is not a regular file but a device"),
    "link to itself": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    "nothing": (lambda path: None, "no such file"),
    "link to nothing": (lambda path: path.symlink_to("none"), "no such file"),
}
READERS: dict[str, Callable[[Path], object]] = {
    "read_bytes": lambda path: reading.read_bytes(path, FILE),
    "read_head": lambda path: reading.read_head(path, 4),
    "size_of": reading.size_of,
    "require_readable": reading.require_readable,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("special", SPECIAL)
def test_what_is_no_regular_file_is_refused(tmp_path: Path, special: str, reader: str) -> None:
    make, what = SPECIAL[special]
    path = tmp_path / "special"
    make(path)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ConfigError, match=what) as caught:
        READERS[reader](path)
    assert caught.value.where == str(path)
    assert len(os.listdir("/proc/self/fd")) == before, "a descriptor was left open"


def test_a_file_is_read_and_a_link_to_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to("file")
    for path in (tmp_path / "file", tmp_path / "link"):
        assert reading.read_bytes(path, SMALL) == b"0123456789"
        assert reading.read_head(path, 4) == b"0123"
        assert reading.size_of(path) == 10
        reading.require_readable(path)


def test_a_file_beyond_the_limit_of_its_kind_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(11))
    with pytest.raises(ModelError, match="is larger than 10 bytes") as caught:
        reading.read_bytes(path, SMALL)
    assert (caught.value.where, caught.value.hint) == (str(path), "shorten it")
    assert reading.read_head(path, 3) == bytes(3), "the head of a file of any size is read"
    os.truncate(path, 1 << 40)  # a terabyte of nothing
    for kind in (reading.MODEL, reading.DOCUMENT, reading.ENGINE, reading.TIMING_CACHE, reading.ARRAYS, reading.IMAGE):
        with pytest.raises(TrtconvError, match=r"the limit for|no ONNX file can be"):
            reading.read_bytes(path, kind)


def test_a_file_that_grows_is_not_read_without_end() -> None:
    """Files of the kernel say that they are empty, and may never end."""
    with pytest.raises(ConfigError, match="more than the 0 bytes of its size"):
        reading.read_bytes(Path("/proc/self/status"), FILE)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.EIO, BackendError), (errno.EMFILE, BackendError), (errno.EACCES, ConfigError), (errno.EPERM, ConfigError)],
)
def test_what_the_system_says_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[TrtconvError]
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(expected, match=os.strerror(number)) as caught:
        reading.read_bytes(tmp_path / "file", FILE)
    assert caught.value.where == str(tmp_path / "file")


@pytest.mark.parametrize("name", ["n" * 256, "d/" * 2500 + "n", "null\0character"])
def test_names_that_no_file_has(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        reading.read_bytes(tmp_path / name, FILE)


# Files of other kinds than those of tests/cli/test_special_files.py, and files that nobody names. ---------------------

NAMED: dict[str, tuple[str | Path, ...]] = {
    "dry run": ("build", "special", "--dry-run"),
    "array": ("build", "static.onnx", "--dry-run", "--precision", "fp16", "--calibration", "special.npy"),
    "image": ("build", "static.onnx", "--dry-run", "--precision", "fp16", "--calibration", "special.png"),
}


@pytest.mark.parametrize("named", NAMED)
@pytest.mark.parametrize("special", ["pipe", "endless device", "socket"])
def test_no_command_reads_what_is_no_regular_file(tmp_path: Path, named: str, special: str) -> None:
    write_model(tmp_path, "static")
    command = NAMED[named]
    name = next(str(word) for word in command if str(word).startswith("special"))
    SPECIAL[special][0](tmp_path / name)
    result = run_here(*command, cwd=tmp_path)
    assert (result.exit_code, "is not a regular file" in result.error, name in result.error) == (2, True, True)


@pytest.mark.parametrize("special", ["pipe", "endless device"])
def test_a_manifest_and_an_engine_that_are_no_files(tmp_path: Path, special: str) -> None:
    (tmp_path / "m.engine").write_bytes(engine_bytes())
    SPECIAL[special][0](tmp_path / "m.engine.json")
    result = run_here("inspect", "m.engine", cwd=tmp_path)
    assert result.exit_code == 0
    assert "no manifest beside it" in result.stdout
    SPECIAL[special][0](tmp_path / "special.engine")
    result = run_here("compare", "special.engine", "special.engine", cwd=tmp_path)
    assert (result.exit_code, "is not a regular file" in result.error) == (2, True)


def test_a_special_file_inside_a_folder_of_images_is_passed_over(tmp_path: Path) -> None:
    write_model(tmp_path, "static")
    (tmp_path / "images").mkdir()
    os.mkfifo(tmp_path / "images" / "a.png")
    command = ("build", "static.onnx", "--dry-run", "--precision", "fp16", "--calibration", "images")
    result = run_here(*command, cwd=tmp_path)
    assert (result.exit_code, "holds no images" in result.error) == (2, True)


# The sources. ---------------------------------------------------------------------------------------------------------

OPENERS = frozenset(
    ("open", "read_bytes", "read_text", "fdopen", "load", "load_model", "loadtxt", "genfromtxt", "fromfile", "memmap",
     "mmap", "ZipFile", "copyfile", "copy2", "cmp", "file_digest", "listdir", "iterdir", "scandir")
)  # fmt: skip
# What opens no file of a user, or one that the gate has opened.
ALLOWED = {
    ("reading", "os.open"),  # the gate
    ("reading", "os.fdopen"),
    ("parts", "open"),  # a new file, to write it
    ("parts", "os.open"),  # the same, and what is left of dead processes, to lock it
    ("parts", "os.listdir"),  # their names
    ("manifest", "os.listdir"),  # the names of manifests, which the gate opens
    ("model.foreign_files", "zipfile.ZipFile"),  # what the gate has opened, as all below
    ("inputs.array_files", "zipfile.ZipFile"),
    ("inputs.array_files", "archive.open"),
    ("inputs.images", "Image.open"),
    ("inputs.images", "os.listdir"),  # the names of images, each of which the gate opens
    ("cli.console", "open"),  # the null device in place of a closed stream
    ("cli.console", "os.open"),  # the null device, for what libraries print
    ("native_output", "os.fdopen"),  # a file in memory
    ("cli.console", "os.fdopen"),  # streams and pipes of this process, as all below
    ("workers.worker", "os.fdopen"),
    ("engine.engine_worker", "os.fdopen"),
    ("model.bounded", "os.fdopen"),
    ("model.bounded", "pickle.load"),  # what a child of this process answers
    ("model.bounded", "Path('/proc/self/statm').read_text"),
    ("reports.html.rendering", "(_FOLDER / 'page.css').read_text"),  # the package's own files
    ("reports.html.rendering", "(_FOLDER / 'script' / f'{name}.js').read_text"),
    ("installed", "importlib.metadata.distribution('trtconv').read_text"),  # the metadata of the package itself
    *(("workers.family", called) for called in (  # what the kernel tells of processes and their limits
        "(folder / file).read_text", "(task / 'children').read_text", "Path('/proc/self/cgroup').read_text",
        "Path(f'/proc/{pid}/status').read_text", "Path(f'/proc/{pid}/task').iterdir",
    )),
}  # fmt: skip
# Functions of the package that are called so and read nothing, or read through the gate.
OWN = {"reading.read_bytes", "model_io.load", "loading.load", "load"}


def calls(source: str) -> Iterator[str]:
    """Yield what is called in a source and may open a file, as it is written."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.rsplit(".", 1)[-1] in OPENERS and called not in OWN:
                yield called


def test_no_module_but_the_gate_opens_a_file() -> None:
    found = {(module, called) for module, path in MODULES.items() for called in calls(path.read_text())}
    assert found - ALLOWED == set()
    assert ALLOWED - found == set(), "these are no longer needed"


@pytest.mark.parametrize(
    "source",
    ["open(path)", "path.open('rb')", "Path(name).read_bytes()", "np.load(path)", "json.load(open(x))", "os.open(p, 0)",
     "onnx.load(path)", "onnx.load_model(path)", "Image.open(path)", "io.open(path)", "filecmp.cmp(a, b)"],
)  # fmt: skip
def test_the_test_of_the_sources_sees_a_call(source: str) -> None:
    assert list(calls(source))


def test_only_documents_and_answers_of_our_own_processes_are_read_as_json() -> None:
    users = {module for module, path in MODULES.items() if "json.load" in path.read_text()}
    assert users == {
        "records",  # what the gate has read
        # lines of other processes
        "workers.watch", "doctor.probing", "benchmark.one_op_engines", "engine.engine_worker",
        "engine.inspector_json",  # what TensorRT says of an engine
        "installed",  # the metadata of the package itself
    }  # fmt: skip
