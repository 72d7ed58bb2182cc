"""A disk that fills up while a command writes: every file of the user's is as it was, or whole and new."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.benchmark.test_bench_model import Rig
from tests.reduction.test_reduce import spoil_rewriting, swap_scale_and_bias
from tests.support.command_line import contents, environment, run_here
from tests.support.extent import IS_WHOLE
from tests.support.onnx_engine import FakeTensorRT
from tests.support.path_options import PATH_OPTIONS, WRITTEN, command_line, write_usual_files
from trtconv.pages import begun_page

PAGE = 4096
DISK_PAGES = 64
ROOMS = (0, 1, 2, 3, 5) if IS_WHOLE else (0, 1, 5)  # pages that are left
# The exit code of a command that could write. No timing cache is written without TensorRT.
FINISHED = {key: 1 if key[0] == "reduce" else 0 for key in WRITTEN if key[1] != "timing_cache"}
SET_BY_SET = {("compare", "save_outputs"): {"target-1.npz"}}  # what stays of a run that failed at its second input set


def attack_all(folder: Path) -> dict[str, Any]:
    """Run every command that writes onto the disk in `folder`, with little room there; return how each ended."""
    found = {}
    for command, name in FINISHED:
        for room in ROOMS:
            with pytest.MonkeyPatch.context() as patch:
                found[f"{command} {name} {room}"] = attack(folder, command, name, room, patch)
    return found


def attack(folder: Path, command: str, name: str, room: int, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    FakeTensorRT(patch)
    patch.setattr(begun_page, "read_layers", lambda *_: (None, "it is not an engine"))
    words = command_line(command, {name: f"disk/target{PATH_OPTIONS[command, name].suffix}"})
    if command == "bench":
        words[words.index("static.onnx")] = Rig(patch, folder).model.name
        words += ["--shape", "x=5x3x4x5"]
    if command == "reduce":
        spoil_rewriting(patch, swap_scale_and_bias)
        words += ["--runtime", "onnxruntime"]
    disk = folder / "disk"
    for path in (*disk.iterdir(), *folder.glob("static.engine*")):  # of the run before
        path.unlink()
    for kept in ("target", "target.npz", "target.png", "target.onnx"):
        if name != "decisions":  # which would be followed
            (disk / kept).write_bytes(b"older")
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(PAGE)):
                pass
        except OSError:
            filler.truncate(max(filler.tell() - room * PAGE, 0))
    before = contents(disk) | contents(folder)
    result = run_here(*words, cwd=folder)
    after = contents(disk) | contents(folder)
    new = [each for each in after if after[each] != before.get(each)]
    lost = [each for each in before if each not in after]
    return {"exit_code": result.exit_code, "stderr": result.stderr, "new": new, "lost": lost}


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("full")
    (folder / "disk").mkdir()
    write_usual_files(folder)
    with_external_data(folder)
    script = f'mount -t tmpfs -o size={DISK_PAGES * PAGE} none "$0/disk" || exit 99; exec "$@"'
    private = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    command = [*private, "bash", "-c", script, folder, sys.executable, "-m", "tests.cli.test_full_disk"]
    try:
        done = subprocess.run(
            [*map(str, command), str(folder)], check=False, env=environment(), timeout=300, text=True,
            capture_output=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if done.returncode == 99 or done.stderr.startswith("unshare:"):
        pytest.skip(f"no file system can be mounted here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def with_external_data(folder: Path) -> None:
    """Give the model a data file, which a rewritten model takes along."""
    model = onnx.load(folder / "static.onnx")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((1, 3, 10, 12), np.float32), "w"))
    norm = next(node for node in model.graph.node if node.output[0] == "y")
    norm.output[0] = "n"
    model.graph.node.append(onnx.helper.make_node("Add", ["n", "w"], ["y"]))
    onnx.save(model, folder / "static.onnx", save_as_external_data=True, location="weights", size_threshold=0)


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("key", FINISHED, ids="-".join)
def test_old_or_new_and_nothing_between(ends: dict[str, Any], key: tuple[str, str], room: int) -> None:
    end = ends[f"{' '.join(key)} {room}"]
    assert end["lost"] == [each for each in end["new"] if each.endswith(".part")] == []
    if end["exit_code"] == FINISHED[key]:
        assert room > 0
        assert end["new"]
    else:
        assert end["exit_code"] == 4, end["stderr"]
        assert "No space left on device" in end["stderr"]
        assert "hint: free some space" in end["stderr"]
        assert set(end["new"]) <= SET_BY_SET.get(key, set())


def test_some_room_is_enough_for_some(ends: dict[str, Any]) -> None:
    """Else the disk would be too small to show anything between all and nothing."""
    assert {key for key in FINISHED if ends[f"{' '.join(key)} {ROOMS[-1]}"]["exit_code"] == FINISHED[key]}


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        FileNotFoundError(errno.ENOENT, "No usable temporary directory"),
    ],
    ids=["full", "none"],
)
@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        ("reduce static.onnx -o small.onnx", 4),
        ("build \udcff.onnx --backend tensorrt-rtx", 4),
        ("build static.onnx --backend tensorrt-rtx", 0),
        ("build static.onnx --dry-run --backend tensorrt-rtx", 0),
        ("inspect static.onnx", 0),
        ("compare static.onnx static.onnx", 0),
    ],
    ids=["reduce", "name that is not text", "build", "dry run", "inspect", "compare"],
)
def test_no_room_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, exit_code: int, error: OSError
) -> None:
    write_usual_files(tmp_path)
    (tmp_path / "\udcff.onnx").write_bytes((tmp_path / "static.onnx").read_bytes())
    for function in ("mkdtemp", "TemporaryFile"):
        monkeypatch.setattr(tempfile, function, lambda *_, **__: (_ for _ in ()).throw(error))
    result = run_here(*words.split(), cwd=tmp_path)
    assert result.exit_code == exit_code, result.stderr
    if exit_code:
        assert result.error == f"no folder for temporary files can be made: {error.strerror}"
        assert "set TMPDIR" in result.hint


if __name__ == "__main__":
    print(json.dumps(attack_all(Path(sys.argv[1]))))
