"""What an engine holds and needs: from its file, its manifest, and where it loads from TensorRT itself."""

from __future__ import annotations

from pathlib import Path

from trtconv import reading
from trtconv.engine import backends, loading
from trtconv.engine.live_engine import LiveEngine, read_engine, tensors_of
from trtconv.errors import BackendError, ConfigError, ModelError, TrtconvError
from trtconv.gpu.driver import find_gpu
from trtconv.inspection.engine_report import EngineInspection, Match, PluginNeed
from trtconv.inspection.inspected_file import EngineHeader, FileIdentity, identify, read_header
from trtconv.installed import backend_version
from trtconv.manifest import Manifest, read_manifest
from trtconv.plugins import library as plugin_library


def inspect_engine(path: str | Path, *, trust: bool = False) -> EngineInspection:
    """Describe an engine by its file and manifest, and by TensorRT itself where a GPU is here.

    Raises ConfigError when there is no such file, ModelError when it is not an engine or its manifest is another
    engine's, which `trust` takes with a warning. An engine that does not load is not an error here:
    `not_loaded_because` says why.
    """
    path = Path(path)
    reading.require_readable(path)
    header = read_header(path)
    if header is None:
        raise ModelError("is not a TensorRT engine", where=str(path))
    file = identify(path)
    manifest, manifest_warnings = _read_manifest(path, file.sha256, trust)
    live, why_not = _load(path, trust)
    return EngineInspection(
        file=file,
        backend=header.backend,
        version=header.version,
        manifest=manifest,
        tensors=live.tensors if live else tensors_of(manifest),
        num_profiles=live.num_profiles if live else _num_profiles(manifest),
        layers=live.information.layers if live else None,
        device_memory_bytes=live.device_memory_bytes if live else None,
        matches=_matches(header, manifest),
        plugins=_plugin_need(manifest),
        decisions=[] if manifest is None else list(manifest.decisions),
        warnings=[*manifest_warnings, *_warnings(header, file, manifest)],
        not_loaded_because=why_not,
    )


def _load(path: Path, trust: bool) -> tuple[LiveEngine | None, str | None]:
    """Return what TensorRT tells of the engine, or why it cannot be asked."""
    if find_gpu() is None:
        return None, "no CUDA device found"
    try:
        return read_engine(loading.load_engine(path, trust=trust)), None
    except TrtconvError as error:
        return None, error.what


def _read_manifest(path: Path, sha256: str, trust: bool) -> tuple[Manifest | None, list[str]]:
    """Return the manifest, or a warning where it is not to be had."""
    try:
        manifest = read_manifest(path, sha256=sha256, trust=trust)
    except ConfigError as error:
        return None, [f"the manifest beside it {error.what}"]
    if manifest is None:
        return None, ["no manifest beside it: what it was built from and for, and its plugins, are unknown"]
    return manifest, []


def _num_profiles(manifest: Manifest | None) -> int | None:
    return None if manifest is None else max(len(manifest.profiles), 1)


def _matches(header: EngineHeader, manifest: Manifest | None) -> list[Match]:
    """Compare what the engine was built with to what is here."""
    version, name, built_for = None, None, None
    if manifest is not None:
        version, name, built_for = manifest.backend_version, manifest.gpu, manifest.gpu_arch
    built_with = header.version or version
    installed = backend_version(header.backend)
    is_same = None if built_with is None or installed is None else _release(built_with) == _release(installed)
    gpu = find_gpu()
    runs = None if built_for is None or gpu is None else gpu.arch == built_for
    return [
        Match(backends.TITLES[header.backend], built_with, installed, is_same),
        Match(
            "GPU",
            f"{built_for} ({name})" if name else built_for,
            None if gpu is None else f"{gpu.arch} ({gpu.name})",
            runs,
        ),
    ]


def _release(version: str) -> list[str]:
    """Return major, minor and patch: engines load in the release that built them, whatever its build number."""
    return version.split(".")[:3]


def _plugin_need(manifest: Manifest | None) -> PluginNeed | None:
    if manifest is None or not manifest.plugins:
        return None
    plugins, wanted = manifest.plugins, manifest.plugin_library
    try:
        library = plugin_library.find()
    except BackendError as error:
        return PluginNeed(plugins, None, False, error.what)
    is_same = wanted is not None and library.sha256 == wanted.sha256
    detail = "the one that the engine was built with" if is_same else "another build than the engine was built with"
    return PluginNeed(plugins, str(library.path), True, detail)


def _warnings(header: EngineHeader, file: FileIdentity, manifest: Manifest | None) -> list[str]:
    warnings = []
    if header.num_bytes is not None and header.num_bytes != file.bytes:
        warnings.append(f"the file has {file.bytes} bytes, its header says {header.num_bytes}: it is damaged")
    if manifest is not None and manifest.engine.sha256 not in (None, file.sha256):
        warnings.append("the manifest beside it belongs to another engine: its sha256 differs")
    return warnings
