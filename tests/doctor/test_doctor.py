"""`trtconv doctor`: what it finds, what it advises, and that a crash of what it tries out harms nobody."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documented_json import assert_documented
from tests.support.plugin_libraries import any_library, compiled_library
from trtconv import doctor
from trtconv.doctor import BackendState, Diagnosis, ExtraState, Finding, LibraryState, findings
from trtconv.doctor.library_binary import LibraryBinary, read_binary
from trtconv.doctor.probing import ProbeResult, run_probes
from trtconv.engine import backends
from trtconv.errors import BackendError
from trtconv.gpu import driver
from trtconv.gpu.driver import Gpu
from trtconv.plugins import library as plugin_library

H100 = Gpu("NVIDIA H100", "sm_90", "13.0")
PACKAGES = {"trtconv": "0.1.0", "onnx": "1", "onnx-graphsurgeon": "1", "onnxruntime": "1", "polygraphy": "1"}
NO_TENSORRT = BackendState("tensorrt", None, False, "not installed", None)
NO_RTX = BackendState("tensorrt-rtx", None, False, "not installed", None)
TENSORRT = BackendState("tensorrt", "10.6.0", True, "builds for the GPU here", True)
RTX = BackendState("tensorrt-rtx", "1.7.1.116", True, "builds without a GPU too", False)
BINARY = LibraryBinary(("getCreators", "setLoggerFinder"), ("sm_80", "sm_90"), ("sm_120",), "13.5")
MISSING = ExtraState("images", "images as inputs", ("Pillow>=9.1",), "run: pip install 'Pillow>=9.1'")
LIBRARY = LibraryState("lib.so", "0.1.0", "0" * 64, BINARY, None, None)


def advice(
    gpu: Gpu | None = None,
    backends: tuple[BackendState, ...] = (NO_TENSORRT, RTX),
    auto: str | None = "tensorrt-rtx",
    library: LibraryState = LIBRARY,
    packages: dict[str, str | None] | None = None,
) -> list[tuple[str, str, str]]:
    """Return level, text and hint of each finding."""
    found = findings.find_problems(packages or dict(PACKAGES), gpu, backends, auto, library)
    return [(each.level, each.what, each.hint or "") for each in found]


# The whole --------------------------------------------------------------------------------------------------------


def test_this_machine() -> None:
    diagnosis = doctor.examine()
    assert_documented(diagnosis.to_json())
    assert diagnosis.exit_code == (0 if any(backend.can_build for backend in diagnosis.backends) else 4)
    for width in (60, 80, 140):
        text = diagnosis.render(width)
        assert max(map(len, text.splitlines())) <= width
        assert "onnx-graphsurgeon" in text


def test_auto_is_what_the_build_would_take() -> None:
    pytest.importorskip("tensorrt_rtx")
    from trtconv.config import BuildConfig

    assert doctor.examine().auto == backends.select_backend(BuildConfig())[0].key


def test_nothing_can_build_is_exit_4_with_the_line_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = ProbeResult({"import": {"error": "No module named 'tensorrt'"}})
    monkeypatch.setattr(doctor, "run_probes", lambda arguments: dict.fromkeys(arguments, missing))
    monkeypatch.setattr(doctor, "find_gpu", lambda: None)
    monkeypatch.setattr(driver, "find_gpu", lambda: None)
    monkeypatch.setattr(backends, "import_backend", lambda key: None)
    diagnosis = doctor.examine()
    assert not diagnosis.can_build
    assert diagnosis.exit_code == 4
    assert diagnosis.auto is None
    text = " ".join(diagnosis.render(120).split())
    assert "error no backend can build an engine here" in text
    assert "pip install 'tensorrt-rtx" in text


def test_a_missing_library_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(plugin_library.ENVIRONMENT_VARIABLE, str(tmp_path / "gone.so"))
    diagnosis = doctor.examine()
    assert diagnosis.library.path is None
    assert any(f"unset {plugin_library.ENVIRONMENT_VARIABLE}" in (each.hint or "") for each in diagnosis.findings)
    assert "gone.so" in diagnosis.render(140)


def test_a_library_that_does_not_load_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.so"
    damaged.write_bytes(b"no library")
    monkeypatch.setenv(plugin_library.ENVIRONMENT_VARIABLE, str(damaged))
    diagnosis = doctor.examine()
    assert diagnosis.library.problem is not None
    assert diagnosis.library.binary is None
    assert any("not usable" in finding.what for finding in diagnosis.findings)


# Advice -----------------------------------------------------------------------------------------------------------


def test_no_advice_where_all_is_well() -> None:
    assert advice() == []
    assert advice(H100, (TENSORRT, RTX), "tensorrt") == []


def test_the_advice_without_a_backend_depends_on_the_gpu() -> None:
    assert "pip install 'tensorrt-rtx" in advice(None, (NO_TENSORRT, NO_RTX), None)[0][2]
    assert "pip install 'tensorrt<" in advice(H100, (NO_TENSORRT, NO_RTX), None)[0][2]


def test_a_backend_that_auto_takes_in_vain() -> None:
    broken = BackendState("tensorrt", "11.2.1", False, "creates no builder", True)
    found = advice(H100, (broken, RTX), "tensorrt")
    assert ("warning", "--backend auto uses tensorrt, which cannot build here", "use: --backend tensorrt-rtx") in found


def test_a_version_whose_engines_no_test_has_run() -> None:
    newest = BackendState("tensorrt", "11.2.1", True, "builds for the GPU here", True)
    ((level, what, hint),) = advice(H100, (newest, RTX), "tensorrt")
    assert level == "warning"
    assert what.startswith("TensorRT 11.2.1: engines of this version have not been run by trtconv's own tests")
    assert "pip install 'tensorrt<11'" in hint


def test_a_gpu_without_the_plugins_backend() -> None:
    assert any("stay native" in what for _, what, _ in advice(H100, (NO_TENSORRT, RTX)))


def test_missing_packages() -> None:
    found = advice(packages=PACKAGES | {"onnxruntime": None})
    assert [(level, what.split(" ")[0]) for level, what, _ in found] == [("error", "onnxruntime")]


@pytest.mark.parametrize(
    ("gpu", "expected"),
    [
        (Gpu("A", "sm_86", "12.4"), None),
        (Gpu("B", "sm_75", "13.0"), "no code for sm_75"),
        (Gpu("C", "sm_120", "13.0"), "the driver runs CUDA 13.0 at most"),
        (Gpu("D", "sm_120", "13.5"), None),
    ],
)
def test_code_for_the_gpu(gpu: Gpu, expected: str | None) -> None:
    found = advice(gpu, (TENSORRT, RTX), "tensorrt")
    assert [what for _, what, _ in found if expected and expected in what] or (expected is None and not found)


def test_a_library_without_its_symbols_or_of_another_version() -> None:
    bare = LibraryState("lib.so", "0.0.9", "0" * 64, LibraryBinary((), ("sm_90",), (), None), None, None)
    texts = [what for _, what, _ in advice(library=bare)]
    assert "the plugin library is of version 0.0.9, trtconv of 0.1.0" in texts
    assert "the plugin library does not export getCreators and setLoggerFinder" in texts


# The library as a file --------------------------------------------------------------------------------------------


def test_the_compiled_library() -> None:
    binary = read_binary(compiled_library())
    assert {"getCreators", "setLoggerFinder", "trtconv_reflect_pad"} <= set(binary.symbols)
    assert all(name.startswith(("trtconv_", "getCreators", "setLoggerFinder")) for name in binary.symbols)
    assert binary.machine_code
    assert all(arch.startswith("sm_") for arch in binary.machine_code)
    assert binary.nvcc is not None


def test_a_library_without_gpu_code() -> None:
    interpreter_library = next(Path(line.split()[-1]) for line in maps() if "libc.so" in line)
    binary = read_binary(interpreter_library)
    assert "malloc" in binary.symbols
    assert (binary.machine_code, binary.ptx, binary.nvcc) == ((), (), None)


def maps() -> list[str]:
    """Return the files that this process has mapped."""
    return Path("/proc/self/maps").read_text().splitlines()


@pytest.mark.parametrize("keep", [0, 4, 63, 64, 1000, 0.5, 0.99])
def test_a_damaged_library_is_an_error_and_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: float
) -> None:
    data = any_library(monkeypatch).read_bytes()
    damaged = tmp_path / "damaged.so"
    damaged.write_bytes(data[: int(keep * len(data)) if 0 < keep < 1 else int(keep)])
    with pytest.raises(BackendError, match="is not a shared library"):
        read_binary(damaged)


def test_a_fat_binary_that_leads_nowhere_ends(tmp_path: Path) -> None:
    data = bytearray(compiled_library().read_bytes())
    start = data.index(struct.pack("<I", 0xBA55ED50))
    data[start + 16 + 4 : start + 16 + 16] = bytes(12)  # the first entry: no header, no code
    broken = tmp_path / "broken.so"
    broken.write_bytes(data)
    with pytest.raises(BackendError, match="has no header"):
        read_binary(broken)


@pytest.mark.parametrize(
    ("arch", "expected"),
    [
        ("sm_80", "machine code"),
        ("sm_89", "machine code"),
        ("sm_90", "machine code"),
        ("sm_75", None),
        ("sm_100", None),
        ("sm_120", "PTX"),
        ("sm_121", "PTX"),
    ],
)
def test_machine_code_runs_within_a_generation_and_ptx_on_later_ones(arch: str, expected: str | None) -> None:
    assert BINARY.code_for(arch) == expected


# Probes -----------------------------------------------------------------------------------------------------------


def test_a_probe_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_probes({"library": ["library", str(any_library(monkeypatch))]})["library"]
    assert result.succeeded("load")
    assert result.value("version") is not None
    assert result.crash is None


def test_a_crash_while_loading_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "crashing_backend.py").write_text("import ctypes\nctypes.string_at(0)\n")
    (tmp_path / "missing_part.py").write_text("import nowhere\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    results = run_probes({"crash": ["backend", "crashing_backend"], "missing": ["backend", "missing_part"]})
    assert results["crash"].crash == f"ended by {signal.Signals.SIGSEGV.name}"
    assert results["crash"].error("import") == "ended by SIGSEGV"
    assert results["missing"].error("import") == "No module named 'nowhere'"


def test_output_of_a_library_does_not_disturb_a_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "talking_backend.py").write_text("print('hello')\nraise ImportError('enough')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run_probes({"it": ["backend", "talking_backend"]})["it"].error("import") == "enough"


def test_tensorrt_rtx_creates_a_builder_without_a_gpu() -> None:
    pytest.importorskip("tensorrt_rtx")
    result = run_probes({"rtx": ["backend", "tensorrt_rtx"]})["rtx"]
    assert result.value("import") is not None
    assert result.succeeded("builder")


def test_a_backend_that_cannot_be_imported_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    crashed = ProbeResult({"import": {}}, "ended by SIGSEGV")
    monkeypatch.setattr(doctor, "run_probes", lambda arguments: dict.fromkeys(arguments, crashed))
    diagnosis = doctor.examine()
    assert diagnosis.auto is None
    assert "ends the process" in diagnosis.auto_reason
    assert diagnosis.exit_code == 4


def test_the_diagnosis_loads_no_library_into_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    library = any_library(monkeypatch)
    script = (
        f"from trtconv import doctor; doctor.examine(); assert {library.name!r} not in open('/proc/self/maps').read()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_full_diagnosis_as_text() -> None:
    library = LibraryState("lib.so", "0.1.0", "0" * 64, BINARY, "machine code", None)
    diagnosis = Diagnosis(PACKAGES, (MISSING,), H100, (TENSORRT, RTX), "tensorrt", "it answers", library, ())
    text = diagnosis.render(100)
    for expected in ("NVIDIA H100 (sm_90), its driver runs CUDA 13.0", "sm_80, sm_90; PTX for sm_120 and later",
                     "nvcc 13.5", "getCreators, setLoggerFinder"):  # fmt: skip
        assert expected in text


@pytest.mark.parametrize(
    ("auto", "states", "problems", "expected"),
    [
        ("tensorrt", (TENSORRT, RTX), (), ("ready", "trtconv build makes engines with plugins")),
        ("tensorrt", (TENSORRT, RTX), (Finding("warning", "old"),), ("limited", "see the findings")),
        ("tensorrt-rtx", (NO_TENSORRT, RTX), (), ("ready", "for RTX GPUs, with InstanceNormalization")),
        (None, (NO_TENSORRT, RTX), (), ("limited", "choose a backend")),
        (None, (NO_TENSORRT, NO_RTX), (), ("not ready", "no backend can build an engine here")),
        ("tensorrt", (TENSORRT, RTX), (Finding("error", "onnx is not installed"),), ("not ready", "onnx is not")),
    ],
)
def test_the_last_line_is_the_verdict(
    auto: str | None, states: tuple[BackendState, ...], problems: tuple[Finding, ...], expected: tuple[str, str]
) -> None:
    diagnosis = Diagnosis(PACKAGES, (), None, states, auto, "so", LIBRARY, problems)
    word, text = diagnosis.verdict
    assert (word, expected[1] in text) == (expected[0], True), text
    assert diagnosis.render(200).splitlines()[-1].split("  ")[0] == word
