"""What is wrong on this machine, with the line to type."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from trtconv.doctor.diagnosis import BackendState, Finding, LibraryState
from trtconv.engine.backends import unproven
from trtconv.gpu.driver import Gpu
from trtconv.installed import install_hint, reinstall_hint
from trtconv.ops import list_titles
from trtconv.plugins.library import ENVIRONMENT_VARIABLE

REQUIRED_PACKAGES = ("onnx", "onnx-graphsurgeon", "onnxruntime")
REQUIRED_SYMBOLS = ("getCreators", "setLoggerFinder")


def find_problems(
    packages: Mapping[str, str | None],
    gpu: Gpu | None,
    backends: Sequence[BackendState],
    auto: str | None,
    library: LibraryState,
) -> list[Finding]:
    """Return what prevents a build first, then what limits it."""
    found = [
        *_about_packages(packages),
        *_about_backends(gpu, backends, auto),
        *_about_library(packages, gpu, backends, library),
    ]
    return sorted(found, key=lambda finding: finding.level != "error")


def _about_packages(packages: Mapping[str, str | None]) -> Iterator[Finding]:
    for name in REQUIRED_PACKAGES:
        if packages.get(name) is None:
            yield Finding("error", f"{name} is not installed", f"run: pip install {name}")


def _about_backends(gpu: Gpu | None, backends: Sequence[BackendState], auto: str | None) -> Iterator[Finding]:
    usable = [backend.name for backend in backends if backend.can_build]
    if not usable:
        hint = install_hint("tensorrt-rtx") if gpu is None else install_hint("tensorrt", "tensorrt-rtx")
        yield Finding("error", "no backend can build an engine here", hint)
    elif auto not in usable:
        what = f"--backend auto uses {auto}, which cannot build here" if auto else "--backend auto finds no backend"
        yield Finding("warning", what, f"use: --backend {usable[0]}")
    full = next((backend for backend in backends if backend.name == "tensorrt"), None)
    for note in unproven(full.version) if full is not None and full.version is not None else ():
        yield Finding("warning", note, "build with --verify, or run: pip install 'tensorrt<11'")
    if usable == ["tensorrt-rtx"] and gpu is not None:
        what = f"only TensorRT-RTX builds here: {list_titles()} stay native"
        yield Finding("warning", what, install_hint("tensorrt"))


def _about_library(
    packages: Mapping[str, str | None], gpu: Gpu | None, backends: Sequence[BackendState], library: LibraryState
) -> Iterator[Finding]:
    reinstall = f"unset {ENVIRONMENT_VARIABLE}" if os.environ.get(ENVIRONMENT_VARIABLE) else reinstall_hint()
    if library.problem is not None:
        what = f"the plugin library is not usable: {library.problem}"
        yield Finding("warning", what, f"{reinstall}, or build with --ops native")
        return
    if any(backend.takes_plugins is False and backend.name == "tensorrt" for backend in backends):
        what = "TensorRT's registry does not take the plugin library"
        yield Finding("warning", what, f"{reinstall}, or build with --ops native")
    if library.version is not None and library.version != packages.get("trtconv"):
        what = f"the plugin library is of version {library.version}, trtconv of {packages.get('trtconv')}"
        yield Finding("warning", what, reinstall)
    if library.binary is None:
        return
    missing = [name for name in REQUIRED_SYMBOLS if name not in library.binary.symbols]
    if missing:
        yield Finding("warning", f"the plugin library does not export {' and '.join(missing)}", reinstall)
    if gpu is not None:
        yield from _about_gpu_code(gpu, library)


def _about_gpu_code(gpu: Gpu, library: LibraryState) -> Iterator[Finding]:
    binary = library.binary
    if binary is None:
        return
    code = binary.code_for(gpu.arch)
    if code is None:
        what = f"the plugin library has no code for {gpu.arch} ({gpu.name})"
        yield Finding("warning", what, f"{reinstall_hint()}, which compiles for every architecture")
    elif code == "PTX" and binary.nvcc is not None and _release(gpu.driver) < _release(binary.nvcc):
        what = (
            f"the plugin library has PTX of nvcc {binary.nvcc} for this GPU; the driver runs CUDA {gpu.driver} at most"
        )
        yield Finding("warning", what, "update the NVIDIA driver")


def _release(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")[:2]))
