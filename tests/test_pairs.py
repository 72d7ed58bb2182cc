"""Engine and manifest are the old pair or the new pair, whenever a build is killed and whoever else writes."""

from __future__ import annotations

import builtins
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.support.command_line import COMMAND, RTX, environment, run, run_command, write_model
from tests.support.extent import IS_WHOLE, part
from trtconv import manifest, pairs, parts
from trtconv.errors import BackendError, ConfigError, ModelError, TrtconvError
from trtconv.manifest import EngineIdentity, Manifest, first_manifest_path, manifest_path, read_manifest

OLD, NEW, OTHER = b"vtrt the old engine", b"vtrt the new engine", b"vtrt one more engine"
# What changes files, or the locks on them.
SYSTEM_CALLS = "openat,write,fsync,rename,unlink,flock,close"
WRITE = """
import hashlib, sys
from pathlib import Path
from trtconv import pairs
from trtconv.manifest import EngineIdentity, Manifest
data = b"vtrt the new engine"
identity = EngineIdentity(hashlib.sha256(data).hexdigest(), len(data))
pairs.write_pair(Path(sys.argv[1]), data, Manifest(trtconv="0.1.0", created=data.decode(), engine=identity))
"""


def write(engine: Path, data: bytes) -> None:
    """Write an engine of these bytes, and its manifest."""
    identity = EngineIdentity(hashlib.sha256(data).hexdigest(), len(data))
    pairs.write_pair(engine, data, Manifest(trtconv="0.1.0", created=data.decode(), engine=identity))


def require_pair(engine: Path, *expected: bytes) -> bytes:
    """Check that the engine is one of these, whole, with its own manifest; return it."""
    data = engine.read_bytes()
    assert data in expected
    found = read_manifest(engine)
    assert found is not None
    assert found.created == data.decode()
    return data


def require_tidy(folder: Path) -> None:
    """Check that a run leaves nothing of the runs before it."""
    assert sorted(os.listdir(folder)) == ["m.engine", "m.engine.json"]


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """An engine that was written with its manifest."""
    path = tmp_path / "m.engine"
    write(path, OLD)
    return path


def test_a_pair_is_written_and_nothing_else(engine: Path) -> None:
    require_pair(engine, OLD)
    write(engine, NEW)
    require_pair(engine, NEW)
    require_tidy(engine.parent)


# Kills. ---------------------------------------------------------------------------------------------------------------

CALLS = {
    "open": (builtins, "open"),
    "flock": (fcntl, "flock"),
    "fsync": (os, "fsync"),
    "replace": (os, "replace"),
    "unlink": (os, "unlink"),
    "close": (os, "close"),
    "listdir": (os, "listdir"),
}


def killed_at(call: int, work: Callable[[], None]) -> bool:
    """Do `work` in a process that ends at the given one of its calls; say whether it got there."""
    child = os.fork()
    if child == 0:
        count = 0

        def counted(function: Callable[..., object]) -> Callable[..., object]:
            def run(*args: object, **options: object) -> object:
                nonlocal count
                count += 1
                if count == call:
                    os._exit(9)
                return function(*args, **options)

            return run

        for module, name in CALLS.values():
            setattr(module, name, counted(getattr(module, name)))
        with contextlib.suppress(BaseException):
            work()
            os._exit(0)
        os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9)
    return status == 9


@pytest.mark.parametrize("old", part([True, False], bool), ids=["over an old pair", "anew"])
def test_a_kill_at_any_call_leaves_a_pair(tmp_path: Path, old: bool) -> None:
    engine, seen, call = tmp_path / "m.engine", set(), 1
    for call in range(1, 200):
        for path in tmp_path.iterdir():
            path.unlink()
        if old:
            write(engine, OLD)
        if not killed_at(call, lambda: write(engine, NEW)):
            break
        if old or engine.exists():
            seen.add(require_pair(engine, OLD, NEW))
        write(engine, OTHER)
        require_pair(engine, OTHER)
        require_tidy(tmp_path)
    assert 15 < call < 100
    assert seen == ({OLD, NEW} if old else {NEW})


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_kill_at_every_system_call_leaves_a_pair(tmp_path: Path) -> None:
    """Every system call of the write, from the first that names the engine's folder; strace counts them."""
    folder = tmp_path / "out"
    folder.mkdir()
    engine = folder / "m.engine"
    trace = ["strace", "-f", "-o", str(tmp_path / "trace"), "-e", f"trace={SYSTEM_CALLS}"]
    command = [sys.executable, "-c", WRITE, str(engine)]
    options = {"env": environment(), "cwd": Path(__file__).parents[1], "capture_output": True}
    for _ in range(2):  # the first run may compile modules
        write(engine, OLD)
        subprocess.run([*trace, *command], check=True, **options)
    seen = set()
    places = system_calls(tmp_path / "trace", folder)
    assert len(places) > 20
    for name, number in places if IS_WHOLE else places[1::3]:
        write(engine, OLD)
        kill = ["-e", f"inject={name}:signal=KILL:when={number}"]
        assert subprocess.run([*trace, *kill, *command], check=False, **options).returncode != 0, (name, number)
        seen.add(require_pair(engine, OLD, NEW))
    assert seen == {OLD, NEW}
    write(engine, OTHER)
    require_tidy(folder)


def system_calls(trace: Path, folder: Path) -> list[tuple[str, int]]:
    """Return the system calls of a trace that touch a folder, or an open file of it, each with its number."""
    counts: dict[str, int] = {}
    is_on, found = False, []
    for line in trace.read_text().splitlines():
        match = re.match(r"\d+\s+(\w+)\(", line)
        if match is None:
            continue
        name = match[1]
        counts[name] = counts.get(name, 0) + 1
        is_on = is_on or str(folder) in line
        if is_on:
            found.append((name, counts[name]))
    return found


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_build_that_is_killed_between_its_renames_leaves_a_pair(tmp_path: Path, call: int) -> None:
    pytest.importorskip("tensorrt_rtx")
    write_model(tmp_path, "static")
    engine = tmp_path / "static.engine"
    command = ["build", "static.onnx", *RTX, "--no-isolate", "--gpu-arch"]
    assert run(*command, "sm_86", cwd=tmp_path).exit_code == 0
    kill = ["strace", "-f", "-o", "/dev/null", "-e", "trace=rename", "-e", f"inject=rename:signal=KILL:when={call}"]
    assert run_command([*kill, *COMMAND, *command, "sm_89"], cwd=tmp_path).exit_code != 0
    found = read_manifest(engine)
    assert found is not None
    assert found.gpu_arch == ("sm_86" if call < 3 else "sm_89")
    assert found.engine.sha256 == hashlib.sha256(engine.read_bytes()).hexdigest()
    assert run(*command, "sm_89", cwd=tmp_path).exit_code == 0
    assert sorted(os.listdir(tmp_path)) == ["static.engine", "static.engine.json", "static.onnx"]


# Company. -------------------------------------------------------------------------------------------------------------


def test_two_writers_of_one_output_leave_a_pair(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stands at each of its renames while the other one goes on."""
    replace, turn = os.replace, threading.Barrier(2)

    def slow(source: Path, target: Path) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            turn.wait(0.05)
        replace(source, target)

    monkeypatch.setattr(os, "replace", slow)
    for _ in range(5):
        threads = [threading.Thread(target=write, args=(engine, data)) for data in (NEW, OTHER)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        require_pair(engine, NEW, OTHER)
        require_tidy(engine.parent)


def test_the_parts_of_a_live_process_stay(engine: Path) -> None:
    with parts.written(engine, lambda file: None) as part:
        other = engine.with_name(".m.engine.0123abcd.part")
        other.write_bytes(b"of a dead process")
        foreign = engine.with_name(".m.engine.notes.part")
        foreign.write_bytes(b"nobody's")
        write(engine, NEW)
        assert part.path.exists()
        assert not other.exists()
        assert foreign.exists()
    assert not part.path.exists()


def test_a_part_that_is_removed_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, removed = fcntl.flock, []

    def late(file: BinaryIO, operation: int) -> None:
        if not removed:
            removed.extend(os.listdir(tmp_path))
            parts.remove_abandoned(tmp_path, "m")
        flock(file, operation)

    monkeypatch.setattr(parts, "_lock", late)
    with parts.written(tmp_path / "m", lambda file: None) as part:
        assert [part.path.name] == os.listdir(tmp_path) != removed
        part.take_name()
    assert os.listdir(tmp_path) == ["m"]


# Failures. ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_disk_that_fails_at_any_call_leaves_a_pair(
    engine: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    original = getattr(os, function)
    for failing in range(1, 20):
        write(engine, OLD)
        calls = []

        def fail(*args: object) -> object:
            calls.append(args)  # noqa: B023
            if len(calls) == failing:  # noqa: B023
                raise OSError(errno.ENOSPC, "No space left on device")
            return original(*args)

        with monkeypatch.context() as patch:
            patch.setattr(os, function, fail)
            with contextlib.suppress(TrtconvError):
                write(engine, NEW)
        require_pair(engine, OLD, NEW)
        if len(calls) < failing:
            break
    assert failing > 3


def test_a_full_disk_leaves_the_old_pair(engine: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises((ConfigError, BackendError), match="File too large"):
            write(engine, b"vtrt" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    require_pair(engine, OLD)
    require_tidy(engine.parent)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_leaves_the_old_pair(engine: Path) -> None:
    engine.parent.chmod(0o555)
    try:
        with pytest.raises(ConfigError, match="Permission denied"):
            write(engine, NEW)
    finally:
        engine.parent.chmod(0o755)
    require_pair(engine, OLD)


# Readers. -------------------------------------------------------------------------------------------------------------


def test_a_manifest_of_another_engine_is_refused_and_taken_on_trust(engine: Path) -> None:
    engine.write_bytes(NEW)
    with pytest.raises(ModelError, match=r"does not fit its manifest \(sha256 [0-9a-f]{12} there") as caught:
        read_manifest(engine)
    assert caught.value.where == str(engine)
    found = read_manifest(engine, trust=True)
    assert found is not None
    assert found.created == OLD.decode()


def test_the_manifest_that_fits_is_read_under_either_name(engine: Path) -> None:
    first = first_manifest_path(engine, hashlib.sha256(OLD).hexdigest())
    manifest_path(engine).rename(first)
    require_pair(engine, OLD)
    manifest_path(engine).write_text("damaged")
    require_pair(engine, OLD)


def test_a_manifest_without_a_hash_is_taken(engine: Path) -> None:
    """As programs of one's own may write them."""
    manifest_path(engine).write_text(json.dumps({"trtconv": "0.1.0"}))
    assert read_manifest(engine) == Manifest(trtconv="0.1.0")


def test_an_engine_whose_name_looks_like_the_name_of_a_first_manifest_keeps_its_own(engine: Path) -> None:
    digits = hashlib.sha256(OLD).hexdigest()[:12]
    other = engine.with_name(f"m.engine.{digits}")
    write(other, OTHER)
    write(engine, NEW)
    require_pair(other, OTHER)
    require_pair(engine, NEW)


def test_a_long_name_has_a_pair_too(tmp_path: Path) -> None:
    engine = tmp_path / ("ü" * 125)
    write(engine, NEW)
    require_pair(engine, NEW)
    assert len(os.fsencode(first_manifest_path(engine, "0" * 64).name)) <= 255


def test_links_stay_links(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    for name in ("m.engine", "m.engine.json"):
        (tmp_path / name).symlink_to(tmp_path / "store" / name)
    write(tmp_path / "m.engine", NEW)
    require_pair(tmp_path / "m.engine", NEW)
    require_tidy(tmp_path / "store")
    assert manifest.manifest_path(tmp_path / "m.engine").is_symlink()
