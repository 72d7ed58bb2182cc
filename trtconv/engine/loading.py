"""Load engines, and the plugin library first where they need it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from trtconv import reading
from trtconv.engine import backends
from trtconv.engine.backends import ENGINE_MARKS, MARK_BYTES, NO_GPU_HINT, TITLES, Backend, BackendKey, require_driver
from trtconv.engine.building import Plan
from trtconv.engine.logger import create, make_logger
from trtconv.engine.refit import refit
from trtconv.errors import BackendError, ModelError
from trtconv.gpu import driver
from trtconv.installed import install_hint
from trtconv.manifest import Manifest, read_manifest
from trtconv.plugins.loading import load_plugins_for
from trtconv.progress import announce

_CUDA_FAILED = "Cuda Runtime"  # in TensorRT-RTX's message where CUDA finds no GPU


def load_plan(plan: Plan, backend: Backend) -> Any:
    """Load an engine that has just been built and is not on disk yet; its plugins are loaded already."""
    announce("loading the engine that was built")
    logger = make_logger(backend.trt, None)
    runtime = create(lambda: backend.trt.Runtime(logger.native), "a runtime", backend, logger)
    if backend.key == "tensorrt":
        runtime.engine_host_code_allowed = True  # a version-compatible engine brings a runtime of its own
    return create(lambda: runtime.deserialize_cuda_engine(plan.data), "the engine", backend, logger)


def load_engine(
    path: str | Path,
    *,
    allow_embedded_code: bool = False,
    trust: bool = False,
    log: Callable[[str], None] | None = None,
) -> Any:
    """Load an engine, and the plugin library first where it is needed; return TensorRT's ICudaEngine.

    An engine that embeds its plugins runs code of the file itself: `allow_embedded_code` says that you trust it. One
    built with `exclude_lean_runtime` loads in the TensorRT that built it; elsewhere the error names what it needs.
    `trust` also takes an engine whose manifest belongs to another one.
    Raises ConfigError when there is no such file or its manifest is damaged, ModelError when it is not an engine or the
    manifest is another engine's, BackendError when the package, the GPU or the plugin library that it needs is missing.
    """
    path = Path(path)
    announce(f"loading {path.name}")
    data, key = _read_plan(path)
    trt = backends.import_backend(key)
    if trt is None:
        raise BackendError(f"needs {TITLES[key]}, which is not installed", where=str(path), hint=install_hint(key))
    data, manifest = _with_manifest(path, data, trust)
    logger = make_logger(trt, log)
    no_plugins = None
    if key == "tensorrt":
        gpu = driver.find_gpu()
        if gpu is None:  # TensorRT 10.6 would end the process
            raise _needs_gpu(path)
        require_driver(f"{TITLES[key]} {trt.__version__}", gpu)
        if not allow_embedded_code:
            no_plugins = load_plugins_for(manifest, trt, logger)
    runtime = trt.Runtime(logger.native)
    if allow_embedded_code:
        runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        if _CUDA_FAILED in logger.first_error() and driver.find_gpu() is None:
            raise _needs_gpu(path)
        what = f"{TITLES[key]} {trt.__version__} cannot load it: {logger.first_error()}"
        hint = f"if it holds plugins of trtconv: {no_plugins}" if no_plugins else _mismatch(manifest, trt)
        raise BackendError(what, where=str(path), hint=hint)
    return engine


def _needs_gpu(path: Path) -> BackendError:
    return BackendError("needs a GPU, and no CUDA device was found", where=str(path), hint=NO_GPU_HINT)


def is_engine_file(path: Path) -> bool:
    """Say whether a file begins as an engine does."""
    return reading.read_head(path, MARK_BYTES) in ENGINE_MARKS


def load_refitted(path: Path, proto: onnx.ModelProto, model_path: Path, *, trust: bool = False) -> Any:
    """Load an engine and give it the weights of `proto`, the model as it was prepared for the build."""
    engine = load_engine(path, trust=trust)
    trt = backends.import_backend("tensorrt")
    refit(engine, proto, model_path, trt, make_logger(trt, None))
    return engine


def _read_plan(path: Path) -> tuple[bytes, BackendKey]:
    """Return the content of an engine's file, and which backend it is for."""
    key = ENGINE_MARKS.get(reading.read_head(path, MARK_BYTES))
    if key is None:
        raise ModelError("is not a TensorRT engine", where=str(path))
    return reading.read_bytes(path, reading.ENGINE), key


def _with_manifest(path: Path, data: bytes, trust: bool) -> tuple[bytes, Manifest | None]:
    """Return an engine's content with the manifest that fits it; a build may just have replaced both."""
    try:
        manifest = read_manifest(path, sha256=hashlib.sha256(data).hexdigest(), trust=trust)
    except ModelError:
        data, _ = _read_plan(path)
        manifest = read_manifest(path, sha256=hashlib.sha256(data).hexdigest(), trust=trust)
    if not trust:
        _require_whole(path, len(data), manifest)
    return data, manifest


def _require_whole(path: Path, num_bytes: int, manifest: Manifest | None) -> None:
    expected = manifest.engine.bytes if manifest is not None else None
    if expected not in (None, num_bytes):
        damage = "the file is damaged, or its manifest belongs to another engine"
        what = f"has {num_bytes} bytes, {expected} were written: {damage}"
        raise ModelError(what, where=str(path), hint="copy engine and manifest again, or build again")


def _mismatch(manifest: Manifest | None, trt: Any) -> str:
    """Return the likeliest reason for which an engine does not load, as a hint."""
    built_with = manifest.backend_version if manifest is not None else None
    if built_with and built_with != trt.__version__:
        what = f"it was built with version {built_with}, and version {trt.__version__} is installed"
        if manifest is not None and manifest.options.exclude_lean_runtime:
            return (
                f"{what}, and without its lean runtime: load it by IRuntime.load_runtime with libnvinfer_lean of "
                f"{built_with} (package tensorrt_lean), or build it again"
            )
        return f"{what}: build it again"
    built_for, gpu = manifest.gpu_arch if manifest is not None else None, driver.find_gpu()
    if gpu is None:
        return f"no CUDA device found; {NO_GPU_HINT}"
    if built_for and gpu.arch != built_for:
        return f"it was built for {built_for}, this GPU is {gpu.arch} ({gpu.name}): build it again"
    return "build it again: it is damaged, or from another version or GPU"
