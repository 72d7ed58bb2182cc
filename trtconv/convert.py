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

from trtconv import engine, external_data, files, manifest, model_io, profiles
from trtconv.config import BuildConfig
from trtconv.engine import Backend, Plan
from trtconv.model_io import Model
from trtconv.passes import run_passes
from trtconv.passes.base import PassContext
from trtconv.progress import NoProgress, Progress
from trtconv.report import BuildReport, RewriteReport


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
    output = config.output or model_path.with_suffix(".engine")
    manifest_path = manifest.manifest_path(output)
    for path in (output, manifest_path):
        files.require_writable(path, inputs=(model_path,))
    backend, notes = engine.select_backend(config)
    native_reason = _native_reason(config, backend)
    model_sha256 = _sha256(model_path.read_bytes())  # now: during a long build the file may change
    model = model_io.load(model_path, inline_plugins=native_reason is not None)
    for path in (output, manifest_path):
        files.require_writable(path, inputs=_data_files(model))
    profiles.require_shapes(model_io.describe_inputs(model.proto), config.profiles)
    rewritten, report = _rewrite(model, config.keep_native, native_reason)
    start = time.monotonic()
    plan = engine.build(rewritten, model_path, config, backend, progress or NoProgress(), log)
    seconds = time.monotonic() - start
    content = _manifest(model_path, model_sha256, config, backend, plan, report)
    files.write_atomically({output: plan.data, manifest_path: manifest.to_text(content).encode()})
    title = f"{backend.title} for {backend.gpu.name if backend.supports_plugins and backend.gpu else backend.arch}"
    return BuildReport(report, output, manifest_path, content, title, notes, seconds)


def rewrite(model_path: str | Path, output: str | Path, *, keep_native: Sequence[str] = ()) -> RewriteReport:
    """Run the graph passes alone and write the rewritten model, which still runs in ONNX Runtime.

    Copies of the external data files come along. Raises a TrtconvError; then no file was written.
    """
    model_path, output = Path(model_path), Path(output)
    files.require_readable(model_path)
    files.require_writable(output, inputs=(model_path,))
    model = model_io.load(model_path)
    files.require_writable(output, inputs=_data_files(model))
    rewritten, report = _rewrite(model, keep_native)
    carried = external_data.carry_external_files(rewritten, model_path.parent, output.parent)
    try:
        files.write_atomically({output: rewritten.SerializeToString()})
    except BaseException:
        for path in carried:
            path.unlink(missing_ok=True)
        raise
    return RewriteReport(**(vars(report) | {"output": output}))


def _data_files(model: Model) -> tuple[Path, ...]:
    """Return the files that hold the model's external tensors."""
    locations = {
        entry.value
        for tensor in external_data.external_tensors(model.proto)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return tuple(model.path.parent / location for location in sorted(locations))


def _native_reason(config: BuildConfig, backend: Backend) -> str | None:
    """Return why every operator stays native, or None when plugins are to be used."""
    if not backend.supports_plugins:
        return "TensorRT-RTX supports no plugins"
    return "asked for by --ops native" if config.ops == "native" else None


def _rewrite(
    model: Model, keep_native: Sequence[str], native_reason: str | None = None
) -> tuple[onnx.ModelProto, RewriteReport]:
    """Run the passes and check what they made; with a `native_reason` every node stays as it is, for that reason."""
    context = PassContext(model.opset, model.path.parent, keep_native, native_reason)
    num_nodes = sum(1 for _ in model_io.walk_nodes(model.proto.graph))
    run_passes(model.graph, context)
    proto = model_io.to_proto(model)
    warning = model_io.check(proto, model.proto)
    warnings = () if warning is None else (warning,)
    return proto, RewriteReport(model.path, model.opset, num_nodes, tuple(context.decisions), warnings)


def _manifest(
    model_path: Path, model_sha256: str, config: BuildConfig, backend: Backend, plan: Plan, report: RewriteReport
) -> dict[str, Any]:
    library = plan.library
    return {
        "format": manifest.FORMAT,
        "trtconv": version("trtconv"),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": {"file": model_path.name, "sha256": model_sha256, "opset": report.opset},
        "engine": {"sha256": _sha256(plan.data), "bytes": plan.data.nbytes},
        "backend": backend.key,
        "backend_version": backend.trt.__version__,
        "gpu": backend.gpu.name if backend.gpu else None,
        "gpu_arch": backend.arch,
        "plugin_library": {"file": library.path.name, "sha256": library.sha256} if library else None,
        "plugins": list(library.plugins) if library else [],
        "options": {
            "workspace_bytes": config.workspace_bytes,
            "opt_level": config.opt_level,
            "tf32": config.tf32,
            "ops": "plugin" if library else "native",
        },
        "profiles": [{name: str(shape) for name, shape in profile.items()} for profile in config.profiles],
        "inputs": list(plan.inputs),
        "outputs": list(plan.outputs),
        "decisions": report.to_json()["decisions"],
    }


def _sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()
