"""Loading an engine: what is wrong with the file, the package, the GPU or the library is said, and nothing crashes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.command_line import write_model
from trtconv import BuildConfig, build, load_engine, manifest
from trtconv.engine import backends
from trtconv.errors import BackendError, ConfigError, ModelError
from trtconv.gpu import driver
from trtconv.gpu.driver import Gpu
from trtconv.ops import CUSTOM_OPS
from trtconv.plugins import library as plugin_library

H100 = Gpu("NVIDIA H100", "sm_90", "13.0")
RTX_4090 = Gpu("NVIDIA RTX 4090", "sm_89", "13.0")


class FakeTensorRT:
    """Stands for the package `tensorrt`, which does not work without a GPU; its runtime loads `loads`."""

    __version__ = "10.6.0"

    class ILogger:
        """As in TensorRT."""

    def __init__(self, loads: Any) -> None:
        self.loads = loads
        self.loaded = b""
        self.libraries: list[str] = []
        self.held: set[str] = set()  # the creators in its registry
        self.num_questions = 0

    def Runtime(self, logger: Any) -> Any:  # noqa: N802 - TensorRT's name
        if self.loads is None:
            logger.log(SimpleNamespace(name="ERROR"), "the cause\n  of it")
            logger.log(SimpleNamespace(name="ERROR"), "its consequence")

        def load(data: bytes) -> Any:
            self.loaded = data
            return self.loads

        return SimpleNamespace(deserialize_cuda_engine=load)

    def get_plugin_registry(self) -> Any:
        def load_library(path: str) -> object:
            self.libraries.append(path)
            return object()

        def get_creator(name: str, version: str, domain: str) -> object:
            self.num_questions += 1
            return object() if name in self.held else None

        return SimpleNamespace(get_creator=get_creator, load_library=load_library)


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    """An installed TensorRT beside an H100."""
    fake = FakeTensorRT(loads="the engine")
    monkeypatch.setattr(backends, "import_backend", lambda key: fake)
    monkeypatch.setattr(driver, "find_gpu", lambda: H100)
    monkeypatch.setattr(backends, "version_of", {"tensorrt_cu12_bindings": "10.6.0"}.get)
    return fake


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """What looks like a plan of TensorRT, without a manifest."""
    path = tmp_path / "model.engine"
    path.write_bytes(b"ftrt" + bytes(100))
    return path


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "plugins.so"
    path.write_bytes(b"library")
    monkeypatch.setenv(plugin_library.ENVIRONMENT_VARIABLE, str(path))
    return path


def write_manifest(plan: Path, text: str) -> None:
    plan.with_name(plan.name + ".json").write_text(text)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_engine(tmp_path / "no.engine")
    with pytest.raises(ConfigError, match="is a folder, expected"):
        load_engine(tmp_path)


def test_no_engine(tmp_path: Path) -> None:
    for content in (b"", b"ftr", b"<html>"):
        path = tmp_path / "x.engine"
        path.write_bytes(content)
        with pytest.raises(ModelError, match="is not a TensorRT engine"):
            load_engine(path)


def test_a_package_that_is_not_installed(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "import_backend", lambda key: None)
    with pytest.raises(BackendError, match="needs TensorRT, which is not installed") as caught:
        load_engine(plan)
    assert "pip install 'tensorrt<" in (caught.value.hint or "")


def test_no_gpu_is_told_before_tensorrt_crashes(
    plan: Path, tensorrt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "find_gpu", lambda: None)
    with pytest.raises(BackendError, match="no CUDA device was found"):
        load_engine(plan)


def test_a_driver_that_is_too_old_is_told_before_tensorrt_crashes(
    plan: Path, tensorrt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "find_gpu", lambda: Gpu("NVIDIA V100", "sm_70", "11.8"))
    with pytest.raises(BackendError, match=r"needs a driver for CUDA 12, the driver here runs CUDA 11.8"):
        load_engine(plan)
    with pytest.raises(BackendError, match="needs a driver for CUDA 12"):
        backends.select_backend(BuildConfig(backend="tensorrt"))


@pytest.mark.parametrize(
    ("manifest", "is_loaded"),
    [
        (None, True),
        ('{"plugins": [], "made by": "another program"}', True),
        ('{"trtconv": "0.1", "plugins": []}', False),
        ('{"trtconv": "0.1", "plugins": ["trtconv::ReflectPad version 1"]}', True),
        ("?", True),
    ],
)
def test_the_plugin_library_is_loaded_where_it_is_needed(
    plan: Path, tensorrt: FakeTensorRT, library: Path, manifest: str | None, is_loaded: bool
) -> None:
    if manifest is not None:
        write_manifest(plan, manifest)
    assert load_engine(plan) == "the engine"
    assert tensorrt.libraries == ([str(library)] if is_loaded else [])


def test_the_registry_is_asked_until_it_holds_the_plugins(
    plan: Path, tensorrt: FakeTensorRT, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_engine(plan)
    asked = tensorrt.num_questions
    load_engine(plan)
    assert tensorrt.libraries == [str(library)]
    assert tensorrt.num_questions == asked > 0
    other = FakeTensorRT(loads="the engine")
    other.held = set(CUSTOM_OPS)  # another copy of the library has registered them
    monkeypatch.setattr(backends, "import_backend", lambda key: other)
    for _ in range(2):
        load_engine(plan)
    assert other.libraries == []
    assert other.num_questions == len(CUSTOM_OPS)


def test_a_library_that_did_not_load_is_tried_again(
    plan: Path, tensorrt: FakeTensorRT, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = SimpleNamespace(get_creator=lambda *args: None, load_library=lambda path: None)
    with monkeypatch.context() as broken:
        broken.setattr(tensorrt, "get_plugin_registry", lambda: registry)
        load_engine(plan)
    load_engine(plan)
    assert tensorrt.libraries == [str(library)]


def test_a_missing_library_is_an_error_only_where_it_is_needed(
    plan: Path, tensorrt: FakeTensorRT, library: Path
) -> None:
    library.unlink()
    assert load_engine(plan) == "the engine"
    write_manifest(plan, '{"trtconv": "0.1", "plugins": ["trtconv::ReflectPad version 1"]}')
    with pytest.raises(BackendError, match=r"plugin library was not found; searched: .*plugins.so"):
        load_engine(plan)


def test_an_engine_without_a_manifest_tells_where_the_library_was_searched(
    plan: Path, tensorrt: FakeTensorRT, library: Path
) -> None:
    library.unlink()
    tensorrt.loads = None
    with pytest.raises(BackendError, match="cannot load it: the cause of it") as caught:
        load_engine(plan)
    assert (caught.value.hint or "").startswith("if it holds plugins of trtconv: the plugin library was not found")
    assert str(library) in (caught.value.hint or "")


def test_a_library_that_does_not_load_says_why(
    plan: Path, tensorrt: FakeTensorRT, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = SimpleNamespace(get_creator=lambda *args: None, load_library=lambda path: None)
    monkeypatch.setattr(tensorrt, "get_plugin_registry", lambda: registry)
    write_manifest(plan, '{"trtconv": "0.1", "plugins": ["trtconv::ReflectPad version 1"]}')
    with pytest.raises(BackendError, match=r"does not load the plugin library: .*(too short|invalid ELF)"):
        load_engine(plan)


@pytest.mark.parametrize("wrong", ['"plugins": 3', '"engine": []', '"engine": {"bytes": "many"}', '"format": 2'])
def test_a_damaged_manifest_is_said(plan: Path, tensorrt: FakeTensorRT, wrong: str) -> None:
    write_manifest(plan, f'{{"trtconv": "0.1", {wrong}}}')
    with pytest.raises(ConfigError, match="does not have the format that this trtconv writes") as caught:
        load_engine(plan)
    assert caught.value.where == f"{plan}.json"
    assert "move its manifest away" in (caught.value.hint or "")


def test_a_truncated_engine_is_told_by_its_manifest(plan: Path, tensorrt: FakeTensorRT) -> None:
    write_manifest(plan, '{"trtconv": "0.1", "plugins": [], "engine": {"bytes": 2000}}')
    with pytest.raises(ModelError, match="has 104 bytes, 2000 were written"):
        load_engine(plan)


@pytest.mark.parametrize(
    ("manifest", "gpu", "hint"),
    [
        (
            '{"trtconv": "0.1", "plugins": [], "backend_version": "10.9.0"}',
            H100,
            "built with version 10.9.0, and version 10.6.0 is installed",
        ),
        (
            '{"trtconv": "0.1", "plugins": [], "backend_version": "10.9.0", "options": {"exclude_lean_runtime": true}}',
            H100,
            "without its lean runtime: load it by IRuntime.load_runtime with libnvinfer_lean of 10.9.0",
        ),
        ('{"trtconv": "0.1", "plugins": [], "gpu_arch": "sm_89"}', H100, "built for sm_89, this GPU is sm_90"),
        ('{"trtconv": "0.1", "plugins": [], "gpu_arch": "sm_89"}', RTX_4090, "build it again"),
    ],
)
def test_an_engine_that_does_not_load_says_why(
    plan: Path, tensorrt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch, manifest: str, gpu: Gpu, hint: str
) -> None:
    monkeypatch.setattr(driver, "find_gpu", lambda: gpu)
    tensorrt.loads = None
    write_manifest(plan, manifest)
    with pytest.raises(BackendError, match=r"TensorRT 10.6.0 cannot load it: the cause of it$") as caught:
        load_engine(plan)
    assert hint in (caught.value.hint or "")


def test_an_rtx_engine_without_a_gpu_says_so(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    if driver.find_gpu() is not None:
        pytest.skip("there is a GPU")
    report = build(write_model(tmp_path, "static"), BuildConfig(backend="tensorrt-rtx"))
    with pytest.raises(BackendError, match="needs a GPU, and no CUDA device was found") as caught:
        load_engine(report.engine)
    assert caught.value.hint == "check: nvidia-smi"
    report.manifest_path.unlink()
    report.engine.write_bytes(report.engine.read_bytes()[:-100])
    with pytest.raises(BackendError, match=r"cannot load it: .*Serialization assertion"):
        load_engine(report.engine)


@pytest.mark.parametrize(
    ("gpu", "note"), [(H100, "TensorRT-RTX does not run on this GPU (NVIDIA H100, sm_90)"), (RTX_4090, None)]
)
def test_rtx_says_when_this_gpu_cannot_run_it(monkeypatch: pytest.MonkeyPatch, gpu: Gpu, note: str | None) -> None:
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr(driver, "find_gpu", lambda: gpu)
    backend, notes = backends.select_backend(BuildConfig(backend="tensorrt-rtx"))
    assert backend.arch == "sm_89"
    assert [text[: len(note or "")] for text in notes] == ([note] if note else [])


@pytest.mark.parametrize(("version", "is_noted"), [("10.6.0", False), ("10.16.1.11", False), ("11.2.1.10", True)])
def test_a_version_whose_engines_no_test_has_run_is_noted(
    tensorrt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch, version: str, is_noted: bool
) -> None:
    monkeypatch.setattr(type(tensorrt), "__version__", version)
    _, notes = backends.select_backend(BuildConfig(backend="tensorrt"))
    said = f"TensorRT {version}: engines of this version have not been run by trtconv's own tests; --verify checks one"
    assert notes == ([said] if is_noted else [])


def test_options_of_the_other_backend_are_refused(tensorrt: FakeTensorRT) -> None:
    with pytest.raises(ConfigError, match="only TensorRT-RTX builds for another GPU") as caught:
        backends.select_backend(BuildConfig(backend="tensorrt", gpu_arch="sm_89"))
    assert caught.value.where == "--gpu-arch"


# Engine and manifest. -------------------------------------------------------------------------------------------------


def written_manifest(data: bytes) -> str:
    engine = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    return json.dumps({"trtconv": "0.1.0", "plugins": [], "engine": engine})


def test_an_engine_with_the_manifest_of_another_is_refused(plan: Path, tensorrt: FakeTensorRT) -> None:
    """As many bytes as its own: only the hash tells."""
    own = plan.read_bytes()
    write_manifest(plan, written_manifest(own))
    load_engine(plan)
    write_manifest(plan, written_manifest(own[:-1] + b"1"))
    with pytest.raises(ModelError, match=r"does not fit its manifest .* belongs to another engine") as caught:
        load_engine(plan)
    assert caught.value.where == str(plan)
    assert "trust=True" in (caught.value.hint or "")
    load_engine(plan, trust=True)


def test_an_engine_is_loaded_with_the_manifest_that_fits_it(plan: Path, tensorrt: FakeTensorRT) -> None:
    """A build that was killed left the old manifest under the usual name."""
    write_manifest(plan, written_manifest(b"the engine before"))
    text = written_manifest(plan.read_bytes())
    manifest.first_manifest_path(plan, hashlib.sha256(plan.read_bytes()).hexdigest()).write_text(text)
    load_engine(plan)


def test_an_engine_that_is_replaced_while_it_is_read(
    plan: Path, tensorrt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = plan.read_bytes() + b"newer"

    def replace(key: str) -> FakeTensorRT:  # comes between the engine and its manifest
        plan.write_bytes(newer)
        write_manifest(plan, written_manifest(newer))
        return tensorrt

    write_manifest(plan, written_manifest(plan.read_bytes()))
    monkeypatch.setattr(backends, "import_backend", replace)
    load_engine(plan)
    assert tensorrt.loaded == newer
