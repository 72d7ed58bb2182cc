"""What the build back end asks pip for, with and without a compiler on the machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

BACKEND = Path(__file__).parents[2] / "build_backend" / "backend.py"


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the back end on a machine whose only programs are those that a test puts into tmp_path."""
    pytest.importorskip("scikit_build_core")
    specification = importlib.util.spec_from_file_location("backend", BACKEND)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setenv("PATH", str(tmp_path))
    for variable in ("CXX", "CUDACXX"):
        monkeypatch.delenv(variable, raising=False)
    return module


def write_program(path: Path, output: str = "") -> None:
    path.write_text(f"#!/bin/sh\necho '{output}'\n")
    path.chmod(0o755)


def test_no_compiler_is_one_sentence(backend: ModuleType) -> None:
    with pytest.raises(SystemExit) as caught:
        backend.require_host_compiler()
    message = str(caught.value.code)
    assert "apt-get install g++" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["c++", "g++", "clang++"])
def test_any_compiler_will_do(backend: ModuleType, tmp_path: Path, name: str) -> None:
    write_program(tmp_path / name)
    backend.require_host_compiler()


def test_named_compiler_must_exist(backend: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(tmp_path / "g++")
    monkeypatch.setenv("CXX", "g++-99 -m64")
    with pytest.raises(SystemExit):
        backend.require_host_compiler()


@pytest.mark.skipif(Path("/usr/local/cuda/bin/nvcc").exists(), reason="this machine has a CUDA toolkit")
@pytest.mark.parametrize(
    ("nvcc_output", "needs_packages"),
    [
        (None, True),
        ("Cuda compilation tools, release 12.4, V12.4.131", False),
        ("Cuda compilation tools, release 13.0, V13.0.48", False),
        ("Cuda compilation tools, release 12.3, V12.3.107", True),
        ("Cuda compilation tools, release 11.8, V11.8.89", True),
        ("no version here", True),
    ],
)
def test_packages_are_asked_for_where_nvcc_is_missing_or_old(
    backend: ModuleType, tmp_path: Path, nvcc_output: str | None, needs_packages: bool
) -> None:
    if nvcc_output is not None:
        write_program(tmp_path / "nvcc", nvcc_output)
    assert bool(backend.cuda_requirements()) == needs_packages


def test_without_the_library_nothing_is_needed_to_compile_it(backend: ModuleType) -> None:
    asked = backend.get_requires_for_build_editable({"wheel.cmake": "false"})  # on a machine without a compiler
    assert [each for each in asked if "nvidia" in each or each.startswith(("cmake", "ninja"))] == []
    with pytest.raises(SystemExit):
        backend.get_requires_for_build_editable({})
