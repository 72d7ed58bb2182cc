"""What an engine holds and needs: from its file, its manifest, and where it loads from TensorRT itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trtconv import files
from trtconv.decisions import Decision
from trtconv.engine import backends, loading
from trtconv.engine.inspector_json import dtype_name
from trtconv.engine.live_engine import EngineTensor, LiveEngine, read_engine
from trtconv.errors import BackendError, ConfigError, ModelError, TrtconvError
from trtconv.gpu.driver import find_gpu
from trtconv.inspection.engine_report import EngineInspection, Match, PluginNeed
from trtconv.inspection.inspected_file import EngineHeader, FileIdentity, identify, read_header
from trtconv.installed import backend_version
from trtconv.manifest import read_manifest
from trtconv.plugins import library as plugin_library
from trtconv.shapes import ShapeRange


def inspect_engine(path: str | Path) -> EngineInspection:
    """Describe an engine by its file and manifest, and by TensorRT itself where a GPU is here.

    Raises ConfigError when there is no such file, ModelError when it is no engine. An engine that does not load is no
    error here: `not_loaded_because` says why.
    """
    path = Path(path)
    files.require_readable(path)
    header = read_header(path)
    if header is None:
        raise ModelError("is not a TensorRT engine", where=str(path))
    file = identify(path)
    manifest, tensors, decisions, manifest_warning = _read_manifest(path)
    live, why_not = _load(path)
    return EngineInspection(
        file=file,
        backend=header.backend,
        version=header.version,
        manifest=manifest,
        tensors=live.tensors if live else tensors,
        num_profiles=live.num_profiles if live else _num_profiles(manifest),
        layers=live.information.layers if live else None,
        device_memory_bytes=live.device_memory_bytes if live else None,
        matches=_matches(header, manifest or {}),
        plugins=_plugin_need(manifest or {}),
        decisions=decisions,
        warnings=[*manifest_warning, *_warnings(header, file, manifest or {})],
        not_loaded_because=why_not,
    )


def _load(path: Path) -> tuple[LiveEngine | None, str | None]:
    """Return what TensorRT tells of the engine, or why it cannot be asked."""
    if find_gpu() is None:
        return None, "no CUDA device answers"
    try:
        return read_engine(loading.load_engine(path)), None
    except TrtconvError as error:
        return None, error.what


def _read_manifest(
    path: Path,
) -> tuple[Mapping[str, Any] | None, list[EngineTensor], list[Decision], list[str]]:
    """Return the manifest, the tensors and decisions that it names, and a warning where it is not to be had."""
    manifest = read_manifest(path)
    if manifest is None:
        unknown = "no manifest beside it: what it was built from and for, and its plugins, are unknown"
        return None, [], [], [unknown]
    try:
        decisions = [
            Decision(entry["node"], entry["op"], entry["became"], entry["reason"])
            for entry in manifest.get("decisions", [])
        ]
        return manifest, _tensors_of(manifest), decisions, []
    except (AttributeError, KeyError, TypeError, ConfigError) as error:
        return None, [], [], [f"the manifest beside it is of another form than this trtconv writes: {error}"]


def _tensors_of(manifest: Mapping[str, Any]) -> list[EngineTensor]:
    """Return the inputs and outputs that the manifest names."""
    profiles = [
        {name: ShapeRange.parse(text) for name, text in profile.items()} for profile in manifest.get("profiles", [])
    ]
    tensors = []
    for direction in ("input", "output"):
        for entry in manifest.get(f"{direction}s", []):
            given = [profile[entry["name"]] for profile in profiles if entry["name"] in profile]
            tensors.append(
                EngineTensor(entry["name"], direction, dtype_name(entry["dtype"]), entry["shape"], None, given)
            )
    return tensors


def _num_profiles(manifest: Mapping[str, Any] | None) -> int | None:
    return None if manifest is None else max(len(manifest.get("profiles", [])), 1)


def _matches(header: EngineHeader, manifest: Mapping[str, Any]) -> list[Match]:
    """Hold what the engine was built with against what is here."""
    built_with = header.version or manifest.get("backend_version")
    installed = backend_version(header.backend)
    is_same = None if built_with is None or installed is None else _release(built_with) == _release(installed)
    gpu = find_gpu()
    built_for = manifest.get("gpu_arch")
    runs = None if built_for is None or gpu is None else gpu.arch == built_for
    name = manifest.get("gpu")
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


def _plugin_need(manifest: Mapping[str, Any]) -> PluginNeed | None:
    plugins = manifest.get("plugins")
    if not plugins:
        return None
    wanted = manifest.get("plugin_library") or {}
    try:
        library = plugin_library.find()
    except BackendError as error:
        return PluginNeed(plugins, None, False, error.what)
    is_same = library.sha256 == wanted.get("sha256")
    detail = "the one that the engine was built with" if is_same else "another build than the engine was built with"
    return PluginNeed(plugins, str(library.path), True, detail)


def _warnings(header: EngineHeader, file: FileIdentity, manifest: Mapping[str, Any]) -> list[str]:
    warnings = []
    if header.num_bytes is not None and header.num_bytes != file.bytes:
        warnings.append(f"the file has {file.bytes} bytes, its header says {header.num_bytes}: it is damaged")
    if manifest.get("engine", {}).get("sha256") not in (None, file.sha256):
        warnings.append("the manifest beside it belongs to another engine: its sha256 differs")
    return warnings
