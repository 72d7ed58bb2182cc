"""Choose between TensorRT and TensorRT-RTX, and import the one that is chosen."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from trtconv.config import BackendName, BuildConfig
from trtconv.engine.builder_options import require_options
from trtconv.errors import BackendError, ConfigError
from trtconv.gpu import driver
from trtconv.gpu.driver import Gpu
from trtconv.installed import install_hint, version_of

BackendKey = Literal["tensorrt", "tensorrt-rtx"]


RTX_DEFAULT_ARCH = "sm_89"


MODULES: dict[BackendKey, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}


TITLES: dict[BackendKey, str] = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}


ENGINE_MARKS: dict[bytes, BackendKey] = {b"ftrt": "tensorrt", b"vtrt": "tensorrt-rtx"}
MARK_BYTES = 4


_CUDA_MAJORS = (12, 13)  # that TensorRT 10.6 to 11.x exist for


FIRST_UNPROVEN_MAJOR = 11  # no engine of this version and later has been run by the tests


NO_GPU_HINT = "check: nvidia-smi"


@dataclass(frozen=True)
class Backend:
    """An imported TensorRT module. `arch` is the GPU architecture that engines are built for."""

    key: BackendKey
    trt: Any
    gpu: Gpu | None
    arch: str

    @property
    def version(self) -> str:
        """The version of the TensorRT module."""
        return str(self.trt.__version__)

    @property
    def title(self) -> str:
        """The backend's name and version, for people."""
        return f"{TITLES[self.key]} {self.version}"

    @property
    def target(self) -> str:
        """What engines are built for, for people: this GPU by its name, or an architecture."""
        return self.gpu.name if self.supports_plugins and self.gpu else self.arch

    @property
    def supports_plugins(self) -> bool:
        """Whether networks of this backend can hold plugins."""
        return self.key == "tensorrt"


def select_backend(config: BuildConfig) -> tuple[Backend, list[str]]:
    """Return the backend that `config` asks for, and notes on what was chosen and why.

    "auto" is TensorRT where it can be imported and there is a CUDA device, else TensorRT-RTX. Raises BackendError when
    there is none, ConfigError when the backend lacks an option that was given.
    """
    gpu = driver.find_gpu()
    notes: list[str] = []
    wanted = _wanted(config.backend, gpu)
    for key in wanted:
        module = import_backend(key)
        if module is None:
            continue
        require_options(config, key)
        if key == "tensorrt":
            if gpu is None:
                hint = "use --backend tensorrt-rtx, which builds without a GPU"
                raise BackendError("TensorRT builds engines on a GPU, and no CUDA device was found", hint=hint)
            backend = Backend(key, module, gpu, gpu.arch)
            require_driver(backend.title, gpu)
            return backend, [*notes, *unproven(backend.version)]
        if config.backend == "auto":
            notes.append(f"{why_not_tensorrt(gpu)}: using TensorRT-RTX")
        return Backend(key, module, gpu, _rtx_arch(module, config, gpu, notes)), notes
    missing = " and ".join(MODULES[key] for key in wanted)
    raise BackendError(f"the package {missing} cannot be imported", hint=install_hint(*wanted))


def _wanted(name: BackendName, gpu: Gpu | None) -> list[BackendKey]:
    """Return the backends to try, the first one first."""
    if name != "auto":
        return [name]
    return ["tensorrt-rtx"] if gpu is None else ["tensorrt", "tensorrt-rtx"]


@contextlib.contextmanager
def imported_meanwhile(name: BackendName) -> Iterator[None]:
    """Import the module of the backend that will be selected while the caller imports others.

    The dynamic linker, which takes most of that time, needs no Python. A failure is left to `select_backend`.
    """

    def import_first() -> None:
        with contextlib.suppress(Exception):
            next(filter(None, map(import_backend, _wanted(name, driver.find_gpu()))), None)

    thread = threading.Thread(target=import_first, name="trtconv-import", daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()  # before anything forks: a child would wait for the linker's lock for ever


def why_not_tensorrt(gpu: Gpu | None) -> str:
    """Say why "auto" uses TensorRT-RTX."""
    return "no CUDA device found" if gpu is None else "the package tensorrt cannot be imported"


def find_backend(config: BuildConfig) -> tuple[BackendKey, Backend | None, list[str]]:
    """Return the key of the backend that a build would use, and the backend, or None and why it cannot be used here.

    Where "auto" finds none, it is full TensorRT: that of the machine that the build is meant for. Raises ConfigError
    when the backend lacks an option that was given.
    """
    try:
        backend, notes = select_backend(config)
    except BackendError as error:
        key: BackendKey = "tensorrt" if config.backend == "auto" else config.backend
        require_options(config, key)
        return key, None, [error.what]
    return backend.key, backend, notes


def unproven(version: str) -> list[str]:
    """Return a note for a version of TensorRT whose engines trtconv's own tests have not run."""
    if int(version.split(".")[0]) < FIRST_UNPROVEN_MAJOR:
        return []
    return [
        f"TensorRT {version}: engines of this version have not been run by trtconv's own tests; --verify checks one"
    ]


def import_backend(key: BackendKey) -> Any | None:
    try:
        return importlib.import_module(MODULES[key])
    except (ImportError, OSError):  # OSError: the package is there, a library that it loads is not
        return None


def _rtx_arch(trt: Any, config: BuildConfig, gpu: Gpu | None, notes: list[str]) -> str:
    known = [f"sm_{name[2:]}" for name in dir(trt.ComputeCapability) if name.startswith("SM") and name[2:].isdigit()]
    known.sort(key=lambda arch: int(arch[3:]))
    if config.gpu_arch is not None:
        if config.gpu_arch not in known:
            what = f"TensorRT-RTX {trt.__version__} does not build for {config.gpu_arch}, only for {', '.join(known)}"
            raise ConfigError(what, where="--gpu-arch")
        return config.gpu_arch
    if gpu is not None and gpu.arch in known:
        return gpu.arch
    foreign = "" if gpu is None else f"TensorRT-RTX does not run on this GPU ({gpu.name}, {gpu.arch}): "
    notes.append(f"{foreign}building for {RTX_DEFAULT_ARCH}; choose with --gpu-arch ({', '.join(known)})")
    return RTX_DEFAULT_ARCH


def require_driver(title: str, gpu: Gpu) -> None:
    """Refuse a driver that is too old for TensorRT's CUDA: 10.6 ends the process there instead of raising."""
    needed = [major for major in _CUDA_MAJORS if version_of(f"tensorrt_cu{major}_bindings")]
    if needed and int(gpu.driver.split(".")[0]) < min(needed):
        what = f"{title} needs a driver for CUDA {min(needed)}, the driver here runs CUDA {gpu.driver}"
        raise BackendError(what, hint="update the NVIDIA driver")
