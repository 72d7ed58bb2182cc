"""`trtconv doctor`: examine this machine."""

from __future__ import annotations

from trtconv.config import BuildConfig
from trtconv.doctor.diagnosis import BackendState, Diagnosis, ExtraState, Finding, LibraryState
from trtconv.doctor.findings import find_problems
from trtconv.doctor.library_binary import LibraryBinary, read_binary
from trtconv.doctor.probing import ProbeResult, run_probes
from trtconv.engine import backends
from trtconv.errors import BackendError, TrtconvError
from trtconv.gpu.driver import Gpu, find_gpu
from trtconv.installed import EXTRAS, install_hint, installed_versions, missing_of
from trtconv.ops import CUSTOM_OPS
from trtconv.ops.custom_op import DOMAIN, VERSION
from trtconv.plugins import library as plugin_library
from trtconv.plugins.library import PluginLibrary

__all__ = ["BackendState", "Diagnosis", "Finding", "LibraryState", "examine"]


def examine() -> Diagnosis:
    """Try out what is installed here, each part in a process of its own, and say what is missing."""
    gpu = find_gpu()
    library, not_found = _find_library()
    probes = run_probes(_probe_arguments(library))
    states = [_backend_state(name, probes[name], gpu) for name in backends.MODULES]
    library_state = _library_state(library, not_found, probes.get("library"), gpu)
    auto, reason = _choose(states, probes)
    packages = installed_versions()
    findings = find_problems(packages, gpu, states, auto, library_state)
    extras = [_extra_state(name) for name in EXTRAS]
    return Diagnosis(packages, extras, gpu, states, auto, reason, library_state, findings)


def _find_library() -> tuple[PluginLibrary | None, str | None]:
    try:
        return plugin_library.find(), None
    except BackendError as error:
        return None, error.what


def _extra_state(name: str) -> ExtraState:
    missing = missing_of(name)
    return ExtraState(name, EXTRAS[name], missing, install_hint(name) if missing else None)


def _probe_arguments(library: PluginLibrary | None) -> dict[str, list[str]]:
    creators = [f"{name}|{VERSION}|{DOMAIN}" for name in CUSTOM_OPS]
    plugins = [] if library is None else [str(library.path), *creators]
    arguments: dict[str, list[str]] = {name: ["backend", module] for name, module in backends.MODULES.items()}
    arguments["tensorrt"] += plugins  # TensorRT-RTX has a registry too, but no network that holds plugins
    if library is not None:
        arguments["library"] = ["library", str(library.path)]
    return arguments


def _backend_state(name: str, probe: ProbeResult, gpu: Gpu | None) -> BackendState:
    version = probe.value("import")
    is_full = name == "tensorrt"
    takes_plugins = probe.succeeded("plugins") if is_full and "plugins" in probe.steps else (None if is_full else False)
    if version is None:
        return BackendState(name, None, False, _why_not_imported(probe), None)
    if is_full and gpu is None:
        return BackendState(name, version, False, "builds on a GPU, and no CUDA device was found", takes_plugins)
    if not probe.succeeded("builder"):
        return BackendState(name, version, False, f"creates no builder: {probe.error('builder')}", takes_plugins)
    detail = (
        "builds for the GPU here"
        if is_full
        else "builds without a GPU too; does not support plugins, so all ops stay native"
    )
    return BackendState(name, version, True, detail, takes_plugins)


def _why_not_imported(probe: ProbeResult) -> str:
    error = probe.error("import") or "it cannot be imported"
    return "not installed" if error.startswith("No module named") else f"cannot be imported: {error}"


def _library_state(
    library: PluginLibrary | None, not_found: str | None, probe: ProbeResult | None, gpu: Gpu | None
) -> LibraryState:
    if library is None or probe is None:
        return LibraryState(None, None, None, None, None, not_found)
    binary: LibraryBinary | None = None
    problem = probe.error("load")
    try:
        binary = read_binary(library.path)
    except BackendError as error:
        problem = problem or error.what
    code = None if binary is None or gpu is None else (binary.code_for(gpu.arch) or "no code for it")
    return LibraryState(str(library.path), probe.value("version"), library.sha256, binary, code, problem)


def _choose(states: list[BackendState], probes: dict[str, ProbeResult]) -> tuple[str | None, str]:
    """Ask the function that `trtconv build` asks; not where an import has ended the probe's process."""
    crashed = [each.name for each in states if each.version is None and probes[each.name].crash is not None]
    if crashed:
        return None, f"importing {crashed[0]} ends the process"
    try:
        backend, notes = backends.select_backend(BuildConfig())
    except TrtconvError as error:
        return None, str(error)
    if backend.key == "tensorrt":
        return backend.key, "; ".join([f"it is installed, and the GPU is {backend.target}", *notes])
    return backend.key, backends.why_not_tensorrt(backend.gpu)
