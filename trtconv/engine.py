"""The one door to TensorRT and TensorRT-RTX: choose a backend, build and load engines; all version differences."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx

from trtconv.builder_options import add_profiles, apply_options, require_options
from trtconv.config import BuildConfig
from trtconv.errors import BackendError, ConfigError, ModelError
from trtconv.gpu.driver import Gpu, find_gpu
from trtconv.installed import install_hint
from trtconv.manifest import read_manifest
from trtconv.model import walking
from trtconv.monitored_build import build_serialized
from trtconv.network_parsing import parse_network, set_io_format
from trtconv.ops.custom_op import DOMAIN
from trtconv.parser_errors import without_consequences
from trtconv.plugin_library import PluginLibrary
from trtconv.plugin_loading import load_plugins, load_plugins_for
from trtconv.progress import Progress
from trtconv.refit import refit
from trtconv.timing_cache import save_timing_cache, use_timing_cache

BackendKey = Literal["tensorrt", "tensorrt-rtx"]

RTX_DEFAULT_ARCH = "sm_89"

MODULES: dict[BackendKey, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
TITLES: dict[BackendKey, str] = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}
ENGINE_MARKS: dict[bytes, BackendKey] = {b"ftrt": "tensorrt", b"vtrt": "tensorrt-rtx"}
_CUDA_MAJORS = (12, 13)  # that TensorRT 10.6 to 11.x exist for
_NO_GPU_HINT = "check: nvidia-smi"


@dataclass(frozen=True)
class Backend:
    """An imported TensorRT module. `arch` is the GPU architecture that engines are built for."""

    key: BackendKey
    trt: Any
    gpu: Gpu | None
    arch: str

    @property
    def title(self) -> str:
        """The backend's name and version, for people."""
        return f"{TITLES[self.key]} {self.trt.__version__}"

    @property
    def supports_plugins(self) -> bool:
        """Whether networks of this backend can hold plugins."""
        return self.key == "tensorrt"


@dataclass(frozen=True)
class Plan:
    """A serialized engine, the tensors that go in and out of it, and the plugin library that it needs, if any.

    `types` are those of all tensors of the network that it was built from.
    """

    data: memoryview
    inputs: Sequence[dict[str, Any]]
    outputs: Sequence[dict[str, Any]]
    library: PluginLibrary | None
    types: Sequence[str]


def select_backend(config: BuildConfig) -> tuple[Backend, list[str]]:
    """Return the backend that `config` asks for, and notes on what was chosen and why.

    "auto" takes TensorRT where it imports and a CUDA device answers, else TensorRT-RTX. Raises BackendError when none
    is there, ConfigError when the backend lacks an option that was given.
    """
    gpu = find_gpu()
    notes: list[str] = []
    wanted: list[BackendKey] = ["tensorrt", "tensorrt-rtx"] if config.backend == "auto" else [config.backend]
    if config.backend == "auto" and gpu is None:
        wanted.remove("tensorrt")
    for key in wanted:
        module = _import_backend(key)
        if module is None:
            continue
        require_options(config, key)
        if key == "tensorrt":
            if gpu is None:
                hint = "use --backend tensorrt-rtx, which builds without a GPU"
                raise BackendError("TensorRT builds engines on a GPU, and no CUDA device answers", hint=hint)
            backend = Backend(key, module, gpu, gpu.arch)
            _require_driver(backend.title, gpu)
            return backend, notes
        if config.backend == "auto":
            why = "no CUDA device answers" if gpu is None else "the package tensorrt cannot be imported"
            notes.append(f"{why}: TensorRT-RTX is taken")
        return Backend(key, module, gpu, _rtx_arch(module, config, gpu, notes)), notes
    missing = " and ".join(MODULES[key] for key in wanted)
    raise BackendError(f"no backend: the package {missing} cannot be imported", hint=install_hint(*wanted))


def build(
    proto: onnx.ModelProto,
    model_path: Path,
    config: BuildConfig,
    backend: Backend,
    progress: Progress,
    notes: list[str],
    log: Callable[[str], None] | None = None,
    io_format: str | None = None,
) -> Plan:
    """Parse `proto`, whose external tensors lie beside `model_path`, and build its engine.

    `notes` gets what a user should know of, `log` TensorRT's own messages. `io_format` is how inputs and outputs lie in
    memory, linear by default. Raises ModelError for what the parser refuses, BackendError when TensorRT fails,
    Interrupted on Ctrl-C.
    """
    trt = backend.trt
    logger = _make_logger(trt, log)
    library = _load_needed_plugins(proto, model_path, backend, logger)
    builder = _create(lambda: trt.Builder(logger), "a builder", backend, logger)
    network, parser = parse_network(trt, builder, logger, backend.title, proto, model_path)
    if io_format is not None:
        set_io_format(trt, network, io_format)
    builder_config = builder.create_builder_config()
    _choose_architecture(builder_config, backend)
    apply_options(builder_config, config, trt)
    add_profiles(builder, builder_config, network, config.profiles)
    if config.embed_plugins and library is not None:
        builder_config.plugins_to_serialize = [str(library.path)]
    if config.timing_cache is not None:
        use_timing_cache(builder_config, config.timing_cache, notes)
    data = build_serialized(trt, builder, network, builder_config, parser, progress)
    if data is None:
        what = f"{backend.title} could not build the engine: {logger.last_error()}"
        raise BackendError(what, hint=_build_hint(config, logger.last_error(), trt))
    if config.timing_cache is not None:
        save_timing_cache(builder_config, config.timing_cache, notes)
    inputs = [_describe(network.get_input(index)) for index in range(network.num_inputs)]
    outputs = [_describe(network.get_output(index)) for index in range(network.num_outputs)]
    return Plan(memoryview(data), inputs, outputs, library, _types(network))


def load_plan(plan: Plan, backend: Backend) -> Any:
    """Load an engine that has just been built and is not on disk yet; its plugins are loaded already."""
    logger = _make_logger(backend.trt, None)
    runtime = _create(lambda: backend.trt.Runtime(logger), "a runtime", backend, logger)
    if backend.key == "tensorrt":
        runtime.engine_host_code_allowed = True  # a version-compatible engine brings a runtime of its own
    return _create(lambda: runtime.deserialize_cuda_engine(plan.data), "the engine", backend, logger)


def load_engine(
    path: str | Path, *, allow_embedded_code: bool = False, log: Callable[[str], None] | None = None
) -> Any:
    """Load an engine, and the plugin library first where it is needed; return TensorRT's ICudaEngine.

    An engine that embeds its plugins runs code of the file itself: `allow_embedded_code` says that you trust it. Raises
    ConfigError when there is no such file, ModelError when it is no engine, BackendError when the package, the GPU or
    the plugin library that it needs is missing.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError("no such file", where=str(path)) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from None
    key = ENGINE_MARKS.get(data[:4])
    if key is None:
        raise ModelError("is not a TensorRT engine", where=str(path))
    trt = _import_backend(key)
    if trt is None:
        raise BackendError(f"needs {TITLES[key]}, which is not installed", where=str(path), hint=install_hint(key))
    manifest = read_manifest(path) or {}
    _require_whole(path, len(data), manifest)
    logger = _make_logger(trt, log)
    no_plugins = None
    if key == "tensorrt":
        gpu = find_gpu()
        if gpu is None:  # TensorRT 10.6 would end the process
            raise BackendError("needs a GPU, and no CUDA device answers", where=str(path), hint=_NO_GPU_HINT)
        _require_driver(f"{TITLES[key]} {trt.__version__}", gpu)
        if not allow_embedded_code:
            no_plugins = load_plugins_for(manifest, trt, logger)
    runtime = trt.Runtime(logger)
    if allow_embedded_code:
        runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        what = f"{TITLES[key]} {trt.__version__} cannot load it: {logger.first_error()}"
        hint = f"if it holds plugins of trtconv: {no_plugins}" if no_plugins else _mismatch(manifest, trt)
        raise BackendError(what, where=str(path), hint=hint)
    return engine


def load_refitted(path: Path, proto: onnx.ModelProto, model_path: Path) -> Any:
    """Load an engine and give it the weights of `proto`, the model as it was prepared for the build."""
    engine = load_engine(path)
    trt = _import_backend("tensorrt")
    refit(engine, proto, model_path, trt, _make_logger(trt, None))
    return engine


def _import_backend(key: BackendKey) -> Any | None:
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
    notes.append(f"{foreign}for {RTX_DEFAULT_ARCH}; --gpu-arch chooses another of {', '.join(known)}")
    return RTX_DEFAULT_ARCH


def _make_logger(trt: Any, log: Callable[[str], None] | None) -> Any:
    severity = trt.ILogger.Severity

    class Logger(trt.ILogger):  # type: ignore[misc]
        """Keeps errors for the report, hands everything else to `log`."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, level: Any, message: str) -> None:
            if level in (severity.ERROR, severity.INTERNAL_ERROR):
                self.errors.append(message)
            if log is not None and level != severity.VERBOSE:
                log(f"{level.name.lower()}: {message}")

        def first_error(self) -> str:
            return next(iter(self._causes()), "TensorRT gave no reason")

        def last_error(self) -> str:
            return ([*self._causes()] or ["TensorRT gave no reason"])[-1]

        def _causes(self) -> list[str]:
            return [" ".join(message.split()) for message in without_consequences(self.errors)]

    return Logger()


def _create(make: Callable[[], Any], what: str, backend: Backend, logger: Any) -> Any:
    """Call a TensorRT factory; its bindings answer a failure with None or with a TypeError."""
    try:
        made = make()
    except TypeError:
        made = None
    if made is None:
        raise BackendError(f"{backend.title} cannot create {what}: {logger.last_error()}", hint=_NO_GPU_HINT)
    return made


def _require_driver(title: str, gpu: Gpu) -> None:
    """Refuse a driver that is too old for TensorRT's CUDA: 10.6 ends the process there instead of raising."""
    needed = [major for major in _CUDA_MAJORS if _is_installed(f"tensorrt_cu{major}_bindings")]
    if needed and int(gpu.driver.split(".")[0]) < min(needed):
        what = f"{title} needs a driver for CUDA {min(needed)}, the driver here runs CUDA {gpu.driver}"
        raise BackendError(what, hint="update the NVIDIA driver")


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _load_needed_plugins(
    proto: onnx.ModelProto, model_path: Path, backend: Backend, logger: Any
) -> PluginLibrary | None:
    plugin_ops = walking.plugin_op_names(proto.graph)
    if plugin_ops and not backend.supports_plugins:  # RTX's parser would end the process
        what = f"holds {', '.join(sorted(plugin_ops))} of the domain {DOMAIN}, and no functions that say what they are"
        raise ModelError(what, where=str(model_path), hint="build from the model as it was before the rewrite")
    return load_plugins(backend.trt, logger) if plugin_ops else None


def _choose_architecture(builder_config: Any, backend: Backend) -> None:
    if backend.key == "tensorrt-rtx":
        builder_config.num_compute_capabilities = 1
        name = backend.arch.upper().replace("_", "")
        builder_config.set_compute_capability(getattr(backend.trt.ComputeCapability, name), 0)


def _types(network: Any) -> list[str]:
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    return sorted({layer.get_output(index).dtype.name for layer in layers for index in range(layer.num_outputs)})


def _describe(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype.name.lower(), "shape": list(tensor.shape)}


def _build_hint(config: BuildConfig, error: str, trt: Any) -> str:
    if "nvinfer_lean" in error:
        return f"version-compatible engines need the lean runtime; run: pip install tensorrt-lean=={trt.__version__}"
    larger = "a larger --workspace may help; " if config.workspace_bytes is not None else ""
    return f"{larger}run again with --verbose to see TensorRT's messages"


def _require_whole(path: Path, num_bytes: int, manifest: dict[str, Any]) -> None:
    expected = manifest.get("engine", {}).get("bytes", num_bytes)
    if num_bytes != expected:
        what = f"has {num_bytes} bytes, {expected} were written: the file is damaged, or its manifest is another's"
        raise ModelError(what, where=str(path), hint="copy engine and manifest again, or build again")


def _mismatch(manifest: dict[str, Any], trt: Any) -> str:
    """Return the likeliest reason for which an engine does not load, as a hint."""
    built_with = manifest.get("backend_version")
    if built_with and built_with != trt.__version__:
        return f"it was built with version {built_with}, here is {trt.__version__}: build it again"
    built_for, gpu = manifest.get("gpu_arch"), find_gpu()
    if gpu is None:
        return f"no CUDA device answers; {_NO_GPU_HINT}"
    if built_for and gpu.arch != built_for:
        return f"it was built for {built_for}, this GPU is {gpu.arch} ({gpu.name}): build it again"
    return "build it again: it is damaged, or from another version or GPU"
