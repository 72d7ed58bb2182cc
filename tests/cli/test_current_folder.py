"""Nothing is imported or loaded from the current folder, whatever lies there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.test_isolation import COMMANDS
from tests.support.command_line import environment, run_command, write_model
from tests.support.extent import part
from trtconv import child_processes
from trtconv.benchmark import one_op_engines
from trtconv.benchmark.cases import all_cases
from trtconv.doctor import probing
from trtconv.progress import NoProgress

MODULES = (
    "click", "numpy", "onnx", "onnxruntime", "onnx_graphsurgeon", "tensorrt", "tensorrt_rtx", "polygraphy", "rich",
    "google", "ml_dtypes", "trtconv", "sitecustomize", "usercustomize", "json", "secrets", "tempfile", "socket", "cuda",
)  # fmt: skip
LIBRARIES = ("libcuda.so.1", "libnvinfer.so.10", "libtrtconv_plugins.so", "libtensorrt_rtx.so.1", "libcudart.so.12")
MARK = "from-the-current-folder"
ALL = {**COMMANDS, "doctor": ("doctor",), "plugins": ("plugins",)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model, and with modules that leave a mark when they run; a library that is none does not load."""
    write_model(tmp_path, "static")
    np.savez(tmp_path / "x.npz", x=np.ones((1, 3, 8, 8), np.float32))
    for name in MODULES:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / MARK)!r}, 'a').write('{name} ')")
    for name in LIBRARIES:
        (tmp_path / name).write_bytes(b"not a library")
    return tmp_path


def marks(folder: Path) -> str:
    path = folder / MARK
    return path.read_text() if path.exists() else ""


def safe_environment(**changes: str) -> dict[str, str]:
    """An environment whose lists of folders have empty entries, which mean the current folder."""
    variables = environment(**changes)
    variables["PYTHONPATH"] = f"{Path(__file__).parents[2]}"
    variables["LD_LIBRARY_PATH"] = ":/usr/lib"
    return variables


@pytest.mark.parametrize("name", part(ALL, {"build", "bench", "doctor"}.__contains__))
def test_no_command_imports_from_the_current_folder(folder: Path, name: str) -> None:
    """`-P` stands for the installed program, whose folder is the first on its path."""
    plain = run_command([sys.executable, "-P", "-m", "trtconv", *ALL[name]], cwd=folder, env=safe_environment())
    assert marks(folder) == ""
    assert plain.exit_code in ((4,) if name == "bench" else (0,)), plain.stderr


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the flag is new in 3.11")
def test_a_module_run_by_python_m_imports_nothing_from_there_either(folder: Path) -> None:
    """But for `trtconv` itself, and what Python imports before it runs any module: docs/guide.md says so."""
    for name in ("trtconv", "sitecustomize", "usercustomize"):
        (folder / f"{name}.py").unlink()
    done = run_command([sys.executable, "-m", "trtconv", *COMMANDS["rewrite"]], cwd=folder, env=safe_environment())
    assert (done.exit_code, marks(folder)) == (0, "")


def run_child(command: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> subprocess.CompletedProcess[str]:
    monkeypatch.setenv("PYTHONPATH", f":{Path(__file__).parents[2]}:")
    monkeypatch.setenv("LD_LIBRARY_PATH", ":")
    pipe, variables = subprocess.PIPE, child_processes.environment()
    with subprocess.Popen(command, cwd=folder, env=variables, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        assert child.stdin is not None
        child.stdin.write("[]\n")
        child.stdin.flush()
        child.wait(timeout=60)  # with its input open: a worker ends with its parent
        assert child.stdout is not None
        assert child.stderr is not None
        return subprocess.CompletedProcess(command, child.returncode, child.stdout.read(), child.stderr.read())


@pytest.mark.parametrize("has_flag", [True, False], ids=["with -P", "as before 3.11"])
def test_children_do_not_even_with_empty_entries_in_the_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch, has_flag: bool
) -> None:
    if not has_flag:
        monkeypatch.setattr(child_processes, "_SAFE_PATH", ())
        (folder / "sitecustomize.py").unlink()  # before 3.11 no path but PYTHONPATH is there yet
    command = child_processes.module_command(one_op_engines.WORKER)
    if not has_flag:
        monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    done = run_child(command, folder, monkeypatch)
    assert (done.returncode, marks(folder)) == (0, ""), done.stderr


def test_the_environment_of_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", ":/a::/b:")
    monkeypatch.setenv("LD_LIBRARY_PATH", ":")
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    variables = child_processes.environment()
    assert variables["PYTHONPATH"] == "/a:/b"
    assert "LD_LIBRARY_PATH" not in variables
    assert variables["ORT_DISABLE_TELEMETRY"] == variables["PYTHONSAFEPATH"] == "1"


def test_the_workers_of_bench_and_the_probes_of_doctor_are_safe(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    out = tmp_path_factory.mktemp("engines")
    built = one_op_engines.build_engines(
        list(all_cases())[:1], ["native"], out, 1, NoProgress(), backend="tensorrt-rtx"
    )
    probing.run_probes({"rtx": ["backend", "tensorrt_rtx"]})
    assert len(built) == 1
    assert marks(folder) == ""


def test_nothing_is_written_into_the_home_folder(tmp_path: Path) -> None:
    """ONNX Runtime's telemetry makes files there unless a variable is set before its import."""
    (tmp_path / "home").mkdir()
    write_model(tmp_path, "static")
    variables: dict[str, Any] = environment(HOME=str(tmp_path / "home"))
    for name in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"):
        variables.pop(name, None)
    for name in ("compare", "dry run"):
        assert run_command([sys.executable, "-m", "trtconv", *ALL[name]], cwd=tmp_path, env=variables).exit_code == 0
    assert os.listdir(tmp_path / "home") == []
