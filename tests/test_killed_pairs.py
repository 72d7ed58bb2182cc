"""Engine and manifest are the old pair or the new pair, whenever a build is killed."""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command_line import COMMAND, RTX, environment, run, run_command, write_model
from tests.support.extent import IS_WHOLE, part
from tests.support.pairs import NEW, OLD, OTHER, require_pair, require_tidy, write
from trtconv.manifest import read_manifest

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
