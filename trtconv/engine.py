"""The one door to TensorRT and TensorRT-RTX: choose a backend, build and load engines; all version differences."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx

from trtconv import model_io, plugin_library
from trtconv.config import BuildConfig, Profile
from trtconv.errors import BackendError, ConfigError, Interrupted, ModelError
from trtconv.gpu import Gpu, find_gpu
from trtconv.manifest import read_manifest
from trtconv.plugin_library import PluginLibrary
from trtconv.plugin_ops import DOMAIN, PLUGIN_OPS, VERSION
from trtconv.progress import Progress

BackendKey = Literal["tensorrt", "tensorrt-rtx"]

RTX_DEFAULT_ARCH = "sm_89"
INSTALL_HINT = (
    "run: pip install 'trtconv[tensorrt]' (needs an NVIDIA GPU) or pip install 'trtconv[rtx]' (builds anywhere)"
)

_MODULES: dict[BackendKey, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
_TITLES: dict[BackendKey, str] = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}
_ENGINE_MARKS: dict[bytes, BackendKey] = {b"ftrt": "tensorrt", b"vtrt": "tensorrt-rtx"}
# How long a cancelled build may take to answer before it is abandoned, in seconds.
_CANCEL_SECONDS = 2.0


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
        return f"{_TITLES[self.key]} {self.trt.__version__}"

    @property
    def supports_plugins(self) -> bool:
        """Whether networks of this backend can hold plugins."""
        return self.key == "tensorrt"


@dataclass(frozen=True)
class Plan:
    """A serialized engine, the tensors that go in and out of it, and the plugin library that it needs, if any."""

    data: memoryview
    inputs: Sequence[dict[str, Any]]
    outputs: Sequence[dict[str, Any]]
    library: PluginLibrary | None


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
        if key == "tensorrt" and gpu is None:
            hint = "use --backend tensorrt-rtx, which builds without a GPU"
            raise BackendError("TensorRT builds engines on a GPU, and no CUDA device answers", hint=hint)
        _require_options(config, key)
        if key == "tensorrt-rtx" and config.backend == "auto":
            why = "no CUDA device answers" if gpu is None else "the tensorrt package is not installed"
            notes.append(f"{why}: built with TensorRT-RTX")
        arch = _rtx_arch(module, config, gpu, notes) if key == "tensorrt-rtx" else (gpu.arch if gpu else "")
        return Backend(key, module, gpu, arch), notes
    missing = " or ".join(_MODULES[key] for key in wanted)
    raise BackendError(f"no backend: the Python package {missing} cannot be imported", hint=INSTALL_HINT)


def build(
    proto: onnx.ModelProto,
    model_path: Path,
    config: BuildConfig,
    backend: Backend,
    progress: Progress,
    log: Callable[[str], None] | None = None,
) -> Plan:
    """Parse `proto`, whose external tensors lie beside `model_path`, and build its engine.

    `log` receives TensorRT's own messages. Raises ModelError for what the parser refuses, BackendError when TensorRT
    fails, Interrupted on Ctrl-C.
    """
    trt = backend.trt
    logger = _make_logger(trt, log)
    library = _load_plugins(trt, logger) if model_io.plugin_op_names(proto.graph) else None
    builder = _create(lambda: trt.Builder(logger), "a builder", backend, logger)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model_io.without_functions(proto).SerializeToString(), str(model_path)):
        raise _parse_error(parser, backend, model_path, logger)
    builder_config = builder.create_builder_config()
    _apply_options(builder_config, config, backend)
    for profile in config.profiles:
        builder_config.add_optimization_profile(_make_profile(builder, network, profile))
    _require_shape_values(network, config.profiles)
    data = _run_build(builder, network, builder_config, backend, progress, logger)
    inputs = [_describe(network.get_input(index)) for index in range(network.num_inputs)]
    outputs = [_describe(network.get_output(index)) for index in range(network.num_outputs)]
    return Plan(memoryview(data), inputs, outputs, library)


def load_engine(path: str | Path, *, log: Callable[[str], None] | None = None) -> Any:
    """Load an engine, and the plugin library first where it is needed; return TensorRT's ICudaEngine.

    Raises ConfigError when there is no such file, ModelError when it is no engine, BackendError when the package, the
    GPU or the plugin library that it needs is missing.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from None
    key = _ENGINE_MARKS.get(data[:4])
    if key is None:
        raise ModelError("is not a TensorRT engine", where=str(path))
    trt = _import_backend(key)
    if trt is None:
        raise BackendError(f"needs {_TITLES[key]}, which is not installed", where=str(path), hint=INSTALL_HINT)
    logger = _make_logger(trt, log)
    manifest = read_manifest(path) or {}
    if key == "tensorrt" and manifest.get("plugins", True):
        _load_plugins(trt, logger)
    engine = trt.Runtime(logger).deserialize_cuda_engine(data)
    if engine is None:
        raise BackendError(f"cannot be loaded: {logger.last_error()}", where=str(path), hint=_mismatch(manifest, trt))
    return engine


def _import_backend(key: BackendKey) -> Any | None:
    try:
        return importlib.import_module(_MODULES[key])
    except (ImportError, OSError):  # OSError: the package is there, a library that it loads is not
        return None


def _require_options(config: BuildConfig, key: BackendKey) -> None:
    if key == "tensorrt" and config.gpu_arch is not None:
        raise ConfigError("only TensorRT-RTX builds for another GPU than the one at hand", where="--gpu-arch")
    if key == "tensorrt-rtx" and config.ops == "plugin":
        raise ConfigError("TensorRT-RTX supports no plugins, its operators stay native", where="--ops plugin")
    if key == "tensorrt-rtx" and config.keep_native:
        raise ConfigError("TensorRT-RTX supports no plugins, every node stays native", where="--keep-native")


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
    notes.append(f"built for {RTX_DEFAULT_ARCH}; --gpu-arch chooses another of {', '.join(known)}")
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

        def last_error(self) -> str:
            return self.errors[-1] if self.errors else "TensorRT gave no reason"

    return Logger()


def _create(make: Callable[[], Any], what: str, backend: Backend, logger: Any) -> Any:
    """Call a TensorRT factory; its bindings answer a failure with None or with a TypeError."""
    try:
        made = make()
    except TypeError:
        made = None
    if made is None:
        raise BackendError(f"{backend.title} cannot create {what}: {logger.last_error()}", hint="check: nvidia-smi")
    return made


def _load_plugins(trt: Any, logger: Any) -> PluginLibrary:
    """Load the plugin library into TensorRT's registry, once a process."""
    library = plugin_library.find()
    registry = trt.get_plugin_registry()
    if any(registry.get_creator(name, str(VERSION), DOMAIN) is None for name in PLUGIN_OPS):
        handle = registry.load_library(str(library.path))
        if handle is None:
            raise BackendError(
                f"TensorRT does not load the plugin library: {logger.last_error()}", where=str(library.path)
            )
    return library


def _network_flags(trt: Any) -> int:
    """Strongly typed networks: a flag of 10.x, ignored in 11 and gone in RTX, which know nothing else."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _apply_options(builder_config: Any, config: BuildConfig, backend: Backend) -> None:
    trt = backend.trt
    # Layer formats and tactics stay readable in the engine; without this an inspector sees names alone.
    builder_config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if config.workspace_bytes is not None:
        builder_config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, config.workspace_bytes)
    if config.opt_level is not None:
        builder_config.builder_optimization_level = config.opt_level
    if config.tf32 is not None:
        set_or_clear = builder_config.set_flag if config.tf32 else builder_config.clear_flag
        set_or_clear(trt.BuilderFlag.TF32)
    if backend.key == "tensorrt-rtx":
        builder_config.num_compute_capabilities = 1
        builder_config.set_compute_capability(getattr(trt.ComputeCapability, backend.arch.upper().replace("_", "")), 0)


def _make_profile(builder: Any, network: Any, profile: Profile) -> Any:
    made = builder.create_optimization_profile()
    inputs = {network.get_input(index).name: network.get_input(index) for index in range(network.num_inputs)}
    for name, shape in profile.items():
        is_values = shape.kind == "values"
        if is_values and not inputs[name].is_shape_tensor:
            raise ConfigError(f"{name} is no shape tensor: give its shape as AxBxC", where=f"--shape {name}={shape}")
        set_range = made.set_shape_input if is_values else made.set_shape
        set_range(name, shape.min, shape.opt, shape.max)
    return made


def _require_shape_values(network: Any, profiles: Sequence[Profile]) -> None:
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if not tensor.is_shape_tensor:
            continue
        for profile in profiles or ({},):
            if tensor.name not in profile or profile[tensor.name].kind != "values":
                count = tensor.shape[0] if len(tensor.shape) else 1
                values = "[" + ",".join(["1"] * max(count, 1)) + "]"
                raise ConfigError(
                    f"{tensor.name} is a shape tensor: TensorRT needs its values, smallest, usual and largest",
                    where="--shape",
                    hint=f"add --shape '{tensor.name}={values}:{values}:{values}' with your values",
                )


def _run_build(
    builder: Any, network: Any, builder_config: Any, backend: Backend, progress: Progress, logger: Any
) -> Any:
    """Build in a thread, so that Ctrl-C reaches this one and can cancel through the progress monitor."""
    cancelled = threading.Event()
    builder_config.progress_monitor = _make_monitor(backend.trt, progress, cancelled)
    results: list[Any] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(builder.build_serialized_network(network, builder_config))
        except BaseException as error:
            failures.append(error)

    worker = threading.Thread(target=run, name="trtconv-build", daemon=True)
    worker.start()
    try:
        while worker.is_alive():
            worker.join(0.1)
    except KeyboardInterrupt:
        cancelled.set()
        worker.join(_CANCEL_SECONDS)
        raise Interrupted("the build was interrupted, no engine was written") from None
    if failures:
        raise failures[0]
    if results[0] is None:
        raise BackendError(f"{backend.title} could not build the engine: {logger.last_error()}", hint="see --verbose")
    return results[0]


def _make_monitor(trt: Any, progress: Progress, cancelled: threading.Event) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Hands TensorRT's phases to `progress`; answering False to a step cancels the build."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.phase_start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress.step_complete(phase_name, step)
            return not cancelled.is_set()

        def phase_finish(self, phase_name: str) -> None:
            progress.phase_finish(phase_name)

    return Monitor()


def _parse_error(parser: Any, backend: Backend, model_path: Path, logger: Any) -> ModelError:
    """Say what the parser objects to: each problem with its op and nodes, and whether TensorRT knows the op at all."""
    nodes: dict[str, list[str]] = {}
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        op, text = error.node_operator(), " ".join(error.desc().split())
        # The parser looks for a plugin as its last resort, so this text says that the op itself is unknown.
        problem = f"{backend.title} does not support the op {op}" if "plugin not found" in text.lower() else text
        nodes.setdefault(problem, []).append(f"{error.node_name() or '#' + str(error.node())} ({op})" if op else "")
    what = "; ".join(f"{problem} {_node_list(names)}".strip() for problem, names in nodes.items())
    hint = "replace the op before the export, or give the nodes another form" if nodes else None
    return ModelError(what or logger.last_error(), where=str(model_path), hint=hint)


def _node_list(names: Sequence[str]) -> str:
    named = [name for name in names if name]
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    return f"[node {', '.join(named[:3])}{more}]" if named else ""


def _describe(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype.name.lower(), "shape": list(tensor.shape)}


def _mismatch(manifest: dict[str, Any], trt: Any) -> str | None:
    built_with = manifest.get("backend_version")
    if built_with and built_with != trt.__version__:
        return f"it was built with version {built_with}, here is {trt.__version__}: build it again"
    built_for, gpu = manifest.get("gpu_arch"), find_gpu()
    if gpu is None:
        return "no CUDA device answers; check: nvidia-smi"
    if built_for and gpu.arch != built_for:
        return f"it was built for {built_for}, this GPU is {gpu.arch} ({gpu.name}): build it again"
    return None
