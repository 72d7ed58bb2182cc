"""The story of a conversion: read, rewrite, check, build, write.

What only an option asks for (--tune, --verify, --report) is imported where it is done: most builds do without.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

import trtconv
from trtconv import decisions, files, pairs, reading, shapes
from trtconv.config import FUSING_OPS, BuildConfig, Ops
from trtconv.engine import backends, building, loading
from trtconv.engine.backends import Backend
from trtconv.engine.building import Plan
from trtconv.engine.live_engine import read_engine
from trtconv.engine.precision_check import require_precision
from trtconv.errors import ConfigError, Interrupted
from trtconv.manifest import (
    EngineIdentity,
    LibraryIdentity,
    Manifest,
    ModelIdentity,
    manifest_path,
    require_manifest,
)
from trtconv.model import walking
from trtconv.model.model_io import Model
from trtconv.preparation import native_reason_of, prepare, prepare_as_built, with_decided_ops
from trtconv.progress import Progress, StepTimes, announce, following_steps, heard_by
from trtconv.reports import next_steps
from trtconv.reports.build_report import BuildReport
from trtconv.reports.rewrite_report import RewriteReport
from trtconv.reports.tuning_report import TuningReport
from trtconv.rewriting import begin_page, read_model, require_writable

if TYPE_CHECKING:
    from trtconv.comparison.report import ComparisonReport


def build(
    model_path: str | Path,
    config: BuildConfig | None = None,
    *,
    progress: Progress | None = None,
    log: Callable[[str], None] | None = None,
) -> BuildReport:
    """Convert an ONNX model into a TensorRT engine and write it, with its manifest beside it.

    `config.output` defaults to the model with `.engine` for `.onnx`. `progress` is told of every step, `log` of
    TensorRT's messages. Raises a TrtconvError; then no file was written, but where Ctrl-C ended `tune` after the first
    engine: the best so far is written, and Interrupted is raised.
    """
    times = StepTimes()
    with heard_by(times.hear), following_steps(progress) as told:
        return _build(Path(model_path), config or BuildConfig(), told, log, times)


def _build(
    model_path: Path, config: BuildConfig, progress: Progress, log: Callable[[str], None] | None, times: StepTimes
) -> BuildReport:
    reading.require_readable(model_path)
    output = config.output or default_engine_path(model_path)
    backend, notes = backends.select_backend(config)
    if config.verify:
        from trtconv.comparison import verification

        verification.require_verifiable(backend)
    config = with_decided_ops(config)
    _require_no_decisions(config)
    native_reason = native_reason_of(config, supports_plugins=backend.supports_plugins)
    model = read_model(model_path, config, native_reason)
    model_sha256 = files.sha256(model_path)  # now: during a long build the file may change
    outputs = (output, manifest_path(output), config.timing_cache, config.report, _tuned_decisions(config))
    require_writable(model, *outputs, calibration=config.calibration)
    shapes.require_shapes(walking.describe_inputs(model.proto), config.profiles)
    page = begin_page(model, config)
    if config.tune:
        made = _tune(model, config, backend, progress, log)
    else:
        made = _make(model, config, native_reason, backend, progress, log)
    comparison = None if made.is_interrupted else _check_engine(made, backend, model, progress)
    manifest = _manifest(model_sha256, made, backend, comparison)
    title = f"{backend.title} for {backend.target}"
    notes += made.notes
    pages: dict[Path, bytes | memoryview] = {}
    if page is not None and config.report is not None and not made.is_interrupted:
        pages[config.report] = page.end_with_engine(
            made.proto, made.report, manifest, made.plan, backend, engine=output, notes=notes, steps=times.steps(),
            comparison=comparison,
        )  # fmt: skip
    announce(f"writing {output.name}")
    with files.written_before(pages):  # a page that does not fit on its disk must not leave an engine alone
        _write_decisions(made, backend)
        pairs.write_pair(output, made.plan.data, manifest)
    made.require_finished(output)
    report = replace(made.report, page=config.report)
    runs_here = backend.gpu is not None and backend.gpu.arch == backend.arch
    if not runs_here:
        notes.append(f"the engine runs on {backend.arch} GPUs, and there is none here: compare and run it there")
    next_step = next_steps.after_build(model_path, output, runs_here=runs_here, is_verified=comparison is not None)
    return BuildReport(
        report, output, manifest_path(output), manifest, title, notes, times.steps(), made.tuning, next_step
    )


@dataclass(frozen=True)
class _Made:
    """An engine, the configuration and the prepared model that it was built from, and how it was found, if tuned."""

    config: BuildConfig
    proto: onnx.ModelProto
    report: RewriteReport
    plan: Plan
    notes: Sequence[str]
    tuning: TuningReport | None = None

    @property
    def is_interrupted(self) -> bool:
        """Whether Ctrl-C ended the search."""
        return self.tuning is not None and self.tuning.is_interrupted

    def require_finished(self, output: Path) -> None:
        """Raise Interrupted where Ctrl-C ended the search, now that the engine is written."""
        if self.tuning is not None and self.tuning.is_interrupted:
            what = f"interrupted: the best engine so far, {self.tuning.best}, was written to {output}"
            raise Interrupted(what, where="--tune")


def _make(
    model: Model,
    config: BuildConfig,
    native_reason: str | None,
    backend: Backend,
    progress: Progress,
    log: Callable[[str], None] | None,
) -> _Made:
    proto, report = prepare(model, config, native_reason, progress=progress)
    notes: list[str] = []
    plan = building.build(proto, model.path, config, backend, progress, notes, log)
    return _Made(config, proto, report, plan, notes)


def _tune(
    model: Model, config: BuildConfig, backend: Backend, progress: Progress, log: Callable[[str], None] | None
) -> _Made:
    from trtconv import tuning

    tuned = tuning.tune(model, config, backend, progress, log)
    engine, prepared = tuned.engine, tuned.engine.prepared
    report = replace(prepared.report, decisions=tuned.decisions, decisions_written=config.decisions)
    return _Made(tuned.config, prepared.proto, report, engine.plan, engine.notes, tuned.report)


def _tuned_decisions(config: BuildConfig) -> Path | None:
    """Return the decision file that --tune writes at its end; of another build, prepare asks for it."""
    return config.decisions if config.tune else None


def _require_no_decisions(config: BuildConfig) -> None:
    if config.tune and config.decisions is not None and os.path.exists(config.decisions):
        what = "exists: a build without --tune follows it, and --tune would write another"
        raise ConfigError(what, where=str(config.decisions), hint="leave --tune out, or name another file")


def _write_decisions(made: _Made, backend: Backend) -> None:
    """Write the decision file of a tuned engine; that of any other was written before its build."""
    path = made.config.decisions
    if made.tuning is None or path is None:
        return
    times = {each.name: each.median_us for each in made.tuning.candidates if each.median_us is not None}
    measured = {"gpu": backend.gpu.name if backend.gpu else None, "backend": backend.title, "network_us": times}
    decisions.write(path, made.report.model, made.report.decisions, made.config.ops, measured)


def default_engine_path(model_path: Path) -> Path:
    """Return where the engine of a model is written: dots in its name mean nothing, only `.onnx` is dropped."""
    name = model_path.name
    return model_path.with_name((name[:-5] if name.lower().endswith(".onnx") else name) + ".engine")


def refit_engine(
    engine_path: str | Path, model_path: str | Path, *, trust_links: bool = False, trust: bool = False
) -> Any:
    """Load an engine that was built with `strip_weights` or `refittable`, with the weights of a model; return it.

    The model is prepared as the engine's manifest says; `trust_links` as in BuildConfig, `trust` as in `load_engine`.
    Raises ConfigError without a manifest, ModelError when it is another engine's, BackendError when model and engine do
    not fit.
    """
    engine_path, model_path = Path(engine_path), Path(model_path)
    manifest = require_manifest(engine_path, "how the model was prepared", trust=trust)
    proto, _ = prepare_as_built(model_path, manifest, trust_links=trust_links)
    return loading.load_refitted(engine_path, proto, model_path, trust=trust)


def _check_engine(made: _Made, backend: Backend, model: Model, progress: Progress) -> ComparisonReport | None:
    """Raise where an engine is not what was asked for; return how it compares with its model, if that was asked for."""
    config, plan = made.config, made.plan
    if config.precision is not None:
        live = read_engine(loading.load_plan(plan, backend)) if backend.supports_plugins else None
        require_precision(config.precision, plan, live, made.proto)
    if not config.verify:
        return None
    from trtconv.comparison import verification

    return verification.verify(model, loading.load_plan(plan, backend), config, progress)


def _ops_of(config: BuildConfig, backend: Backend, plan: Plan) -> Ops:
    """Return what became of the operators; those whose passes fuse also where no plugin came of it: the passes ran."""
    if config.ops in FUSING_OPS and backend.supports_plugins:
        return config.ops
    return "plugin" if plan.library else "native"


def _manifest(model_sha256: str, made: _Made, backend: Backend, comparison: ComparisonReport | None) -> Manifest:
    config, plan, report = made.config, made.plan, made.report
    library = plan.library
    return Manifest(
        trtconv=trtconv.__version__,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        model=ModelIdentity(report.model.name, model_sha256, report.opset),
        engine=EngineIdentity(hashlib.sha256(plan.data).hexdigest(), plan.data.nbytes),
        backend=backend.key,
        backend_version=backend.version,
        gpu=backend.gpu.name if backend.gpu else None,
        gpu_arch=backend.arch,
        plugin_library=LibraryIdentity(library.path.name, library.sha256) if library else None,
        plugins=library.plugins if library else (),
        options=replace(config.recorded(), ops=_ops_of(config, backend, plan)),
        profiles=config.profiles,
        inputs=plan.inputs,
        outputs=plan.outputs,
        decisions=report.decisions,
        kept_fp32=report.kept_fp32,
        verified=None if comparison is None else comparison.summary(),
    )
