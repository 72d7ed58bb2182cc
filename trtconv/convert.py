"""The story of a conversion: read, rewrite, check, build, write."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx

from trtconv import files, manifest, shapes
from trtconv.comparison import verification
from trtconv.config import BuildConfig
from trtconv.engine import backends, building, loading
from trtconv.engine.backends import Backend
from trtconv.engine.builder_options import require_options
from trtconv.engine.building import Plan
from trtconv.engine.live_engine import read_engine
from trtconv.engine.precision_check import require_precision
from trtconv.errors import ConfigError
from trtconv.model import external_data, model_io, walking
from trtconv.model.functions import without_functions
from trtconv.model.model_io import Model
from trtconv.passes.base import PassContext
from trtconv.preparation import native_reason_of, prepare, prepare_as_built, run_and_check
from trtconv.progress import NoProgress, Progress
from trtconv.reports.build_report import BuildReport, RewriteReport


def build(
    model_path: str | Path,
    config: BuildConfig | None = None,
    *,
    progress: Progress | None = None,
    log: Callable[[str], None] | None = None,
) -> BuildReport:
    """Convert an ONNX model into a TensorRT engine and write it, with its manifest beside it.

    `config.output` defaults to the model's path with the suffix `.engine`. `progress` follows the build, `log` receives
    TensorRT's messages. Raises a TrtconvError; then neither file was written.
    """
    model_path, config = Path(model_path), config or BuildConfig()
    files.require_readable(model_path)
    output, progress = config.output or model_path.with_suffix(".engine"), progress or NoProgress()
    manifest_path = manifest.manifest_path(output)
    written = (output, manifest_path, *([config.timing_cache] if config.timing_cache else []))
    for path in written:
        files.require_writable(path, inputs=(model_path,))
    backend, notes = backends.select_backend(config)
    if config.verify:
        verification.require_verifiable(backend)
    native_reason = native_reason_of(config, supports_plugins=backend.supports_plugins)
    model_sha256 = files.sha256(model_path)  # now: during a long build the file may change
    model = model_io.load(model_path, inline_plugins=native_reason is not None)
    for path in written:
        files.require_writable(path, inputs=_data_files(model))
    shapes.require_shapes(walking.describe_inputs(model.proto), config.profiles)
    rewritten, report = prepare(model, config, native_reason)
    start = time.monotonic()
    plan = building.build(rewritten, model_path, config, backend, progress, notes, log)
    seconds = time.monotonic() - start
    verified = _check_engine(plan, backend, model, rewritten, config, progress)
    content = _manifest(model_path, model_sha256, config, backend, plan, report) | {"verified": verified}
    files.write_atomically({output: plan.data, manifest_path: manifest.to_text(content).encode()})
    title = f"{backend.title} for {backend.gpu.name if backend.supports_plugins and backend.gpu else backend.arch}"
    return BuildReport(report, output, manifest_path, content, title, notes, seconds)


def dry_run(model_path: str | Path, config: BuildConfig | None = None) -> RewriteReport:
    """Return what `build` would decide for each node, without a GPU and without building.

    The decisions are those for full TensorRT, unless `config` names TensorRT-RTX. Shapes may be left out. Raises a
    TrtconvError as `build`.
    """
    model_path, config = Path(model_path), config or BuildConfig()
    files.require_readable(model_path)
    if config.backend != "auto":
        require_options(config, config.backend)
    native_reason = native_reason_of(config, supports_plugins=config.backend != "tensorrt-rtx")
    model = model_io.load(model_path, inline_plugins=native_reason is not None)
    if config.profiles:
        shapes.require_shapes(walking.describe_inputs(model.proto), config.profiles)
    return prepare(model, config, native_reason)[1]


def refit_engine(engine_path: str | Path, model_path: str | Path) -> Any:
    """Load an engine that was built with `strip_weights` or `refittable`, with the weights of a model; return it.

    The model is prepared as the engine's manifest says. Raises ConfigError without a manifest, BackendError when model
    and engine do not fit.
    """
    engine_path, model_path = Path(engine_path), Path(model_path)
    content = manifest.read_manifest(engine_path)
    if content is None:
        what = "there is no manifest, which says how the model was prepared"
        raise ConfigError(what, where=str(manifest.manifest_path(engine_path)), hint="build the engine again")
    proto, _ = prepare_as_built(model_path, content)
    return loading.load_refitted(engine_path, proto, model_path)


def rewrite(
    model_path: str | Path, output: str | Path, *, keep_native: Sequence[str] = (), functions: bool = True
) -> RewriteReport:
    """Run the graph passes alone and write the rewritten model, which still runs in ONNX Runtime.

    Without `functions` only TensorRT with the plugin library runs it; its parsers before 10.7 need it so, because they
    prefer a function to a plugin. Copies of the external data files come along. Raises a TrtconvError; then no file was
    written.
    """
    model_path, output = Path(model_path), Path(output)
    files.require_readable(model_path)
    files.require_writable(output, inputs=(model_path,))
    model = model_io.load(model_path)
    files.require_writable(output, inputs=_data_files(model))
    rewritten, report = run_and_check(model, PassContext(model.opset, model_path.parent, keep_native))
    del model  # one of 2 GB leaves room for the bytes of the written one
    if not functions:
        rewritten = without_functions(rewritten)
    carried = external_data.carry_external_files(rewritten, model_path.parent, output.parent)
    try:
        files.write_atomically({output: model_io.to_bytes(rewritten, model_path)})
    except BaseException:
        for path in carried:
            path.unlink(missing_ok=True)
        raise
    return RewriteReport(**(vars(report) | {"output": output}))


def _data_files(model: Model) -> tuple[Path, ...]:
    """Return the files that hold the model's external tensors."""
    folder = model.path.parent
    return tuple(folder / location for location in external_data.data_locations(model.proto, folder))


def _check_engine(
    plan: Plan, backend: Backend, model: Model, rewritten: onnx.ModelProto, config: BuildConfig, progress: Progress
) -> dict[str, Any] | None:
    """Raise where an engine is not what was asked for; return how it compares with its model, if that was asked for."""
    if config.precision is not None:
        live = read_engine(loading.load_plan(plan, backend)) if backend.supports_plugins else None
        require_precision(config.precision, plan.types, live, rewritten)
    if not config.verify:
        return None
    return verification.verify(model, loading.load_plan(plan, backend), config, progress).summary()


def _manifest(
    model_path: Path, model_sha256: str, config: BuildConfig, backend: Backend, plan: Plan, report: RewriteReport
) -> dict[str, Any]:
    library, rewritten = plan.library, report.to_json()
    return {
        "format": manifest.FORMAT,
        "trtconv": version("trtconv"),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": {"file": model_path.name, "sha256": model_sha256, "opset": report.opset},
        "engine": {"sha256": hashlib.sha256(plan.data).hexdigest(), "bytes": plan.data.nbytes},
        "backend": backend.key,
        "backend_version": backend.version,
        "gpu": backend.gpu.name if backend.gpu else None,
        "gpu_arch": backend.arch,
        "plugin_library": {"file": library.path.name, "sha256": library.sha256} if library else None,
        "plugins": list(library.plugins) if library else [],
        "options": {
            "workspace_bytes": config.workspace_bytes,
            "opt_level": config.opt_level,
            "tf32": config.tf32,
            "ops": "plugin" if library else "native",
            "precision": config.precision,
            "io_types": dict(config.io_types),
            "version_compatible": config.version_compatible or config.embed_plugins,
            "hardware_compatible": config.hardware_compatible,
            "refittable": config.refittable,
            "strip_weights": config.strip_weights,
            "embed_plugins": config.embed_plugins,
        },
        "profiles": [{name: str(shape) for name, shape in profile.items()} for profile in config.profiles],
        "inputs": list(plan.inputs),
        "outputs": list(plan.outputs),
        "decisions": rewritten["decisions"],
        "kept_fp32": rewritten["kept_fp32"],
    }
