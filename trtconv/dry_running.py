"""A dry run: what a build would do with a model, up to what the parser of its backend says."""

from __future__ import annotations

from pathlib import Path

from trtconv import files, reading, shapes
from trtconv.config import BuildConfig
from trtconv.engine import backends
from trtconv.engine.backends import TITLES, Backend, BackendKey
from trtconv.engine.io_types import notes_on_types
from trtconv.engine.network_parsing import require_parsable, why_unchecked
from trtconv.errors import ConfigError
from trtconv.model import walking
from trtconv.preparation import native_reason_of, prepare, with_decided_ops
from trtconv.progress import Progress, following_steps
from trtconv.reports.dry_run_report import DryRunReport
from trtconv.rewriting import begin_page, read_model, require_writable

_OTHER_BACKEND_HINT = "--backend tensorrt shows what full TensorRT would get"


def dry_run(
    model_path: str | Path, config: BuildConfig | None = None, *, progress: Progress | None = None
) -> DryRunReport:
    """Return what `build` would decide for each node, without building.

    The decisions are those for the backend that `build` would use here. Its parser reads the prepared model where that
    is possible: without a GPU, that of TensorRT-RTX alone. Shapes may be left out. `progress` and errors as in `build`.
    """
    with following_steps(progress) as told:
        return _dry_run(Path(model_path), config or BuildConfig(), told)


def _dry_run(model_path: Path, config: BuildConfig, progress: Progress) -> DryRunReport:
    reading.require_readable(model_path)
    if config.tune:
        raise ConfigError("measures engines, and a dry run builds none", where="--tune", hint="use --ops auto")
    key, backend, notes = _find_backend(config)
    if config.verify and backend is not None:
        from trtconv.comparison import verification  # a module of --verify alone, as in a build

        verification.require_verifiable(backend)
    config = with_decided_ops(config)
    native_reason = native_reason_of(config, supports_plugins=key == "tensorrt")
    model = read_model(model_path, config, native_reason)
    require_writable(model, config.report, calibration=config.calibration)
    inputs = walking.describe_inputs(model.proto)
    if config.profiles:
        shapes.require_shapes(inputs, config.profiles)
    page = begin_page(model, config)
    prepared, rewritten = prepare(model, config, native_reason, progress=progress)
    why_not = notes.pop() if backend is None else why_unchecked(prepared, model_path)
    if backend is None and key == "tensorrt":
        notes.append("TensorRT builds engines on a machine with an NVIDIA GPU")
    if backend is not None and why_not is None:
        require_parsable(prepared, model_path, backend)
    notes += notes_on_types(prepared)
    report = DryRunReport(
        **vars(rewritten),
        backend=f"{backend.title} for {backend.target}" if backend else TITLES[key],
        parser_check=f"not checked: {why_not}" if why_not else "its parser accepts the model",
        notes=notes,
        missing_shapes=shapes.missing_shapes(inputs, config.profiles),
    )
    if page is None or config.report is None:
        return report
    files.write_atomically({config.report: page.end_with_decisions(prepared, report)})
    return DryRunReport(**(vars(report) | {"page": config.report}))


def _find_backend(config: BuildConfig) -> tuple[BackendKey, Backend | None, list[str]]:
    """Find the backend of a build; name the other one where "auto" chose a backend that lacks an option."""
    try:
        return backends.find_backend(config)
    except ConfigError as error:
        hint = error.hint or (_OTHER_BACKEND_HINT if config.backend == "auto" else None)
        raise ConfigError(error.what, where=error.where, hint=hint) from error
