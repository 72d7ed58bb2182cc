"""The story of a rewrite, with which builds and dry runs begin: read the model, see to its outputs, rewrite it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trtconv import files, reading
from trtconv.config import DEFAULT_OPS, BuildConfig, Ops
from trtconv.errors import ConfigError
from trtconv.model import external_data, model_io
from trtconv.model.functions import without_functions
from trtconv.model.model_io import Model
from trtconv.preparation import native_reason_of, prepare
from trtconv.progress import Progress, following_steps
from trtconv.reports import next_steps
from trtconv.reports.rewrite_report import RewriteReport

if TYPE_CHECKING:
    from trtconv.pages.begun_page import BegunPage


def rewrite(
    model_path: str | Path,
    output: str | Path,
    *,
    ops: Ops = DEFAULT_OPS,
    keep_native: Sequence[str] = (),
    functions: bool = True,
    trust_links: bool = False,
    progress: Progress | None = None,
) -> RewriteReport:
    """Run the graph passes alone and write the rewritten model, which still runs in ONNX Runtime.

    `ops` is as BuildConfig has it: "auto" chooses by the times of the model's own type and sizes. Without `functions`
    only TensorRT with the plugin library runs it; its parsers before 10.7 need it so, because they prefer a function to
    a plugin. Copies of the external data files come along; `trust_links` as in BuildConfig. `progress` is told of every
    step. Raises a TrtconvError; then no file was written.
    """
    with following_steps(progress):
        return _rewrite(Path(model_path), Path(output), ops, keep_native, functions, trust_links)


def _rewrite(
    model_path: Path, output: Path, ops: Ops, keep_native: Sequence[str], functions: bool, trust_links: bool
) -> RewriteReport:
    reading.require_readable(model_path)
    model = model_io.load(model_path, trust_links=trust_links)
    require_writable(model, output)
    config = BuildConfig(ops=ops, keep_native=keep_native)
    rewritten, report = prepare(model, config, native_reason_of(config, supports_plugins=True))
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
    next_step = next_steps.after_rewrite(model_path, output, has_functions=functions)
    return replace(report, output=output, next_step=next_step)


def read_model(model_path: Path, config: BuildConfig, native_reason: str | None) -> Model:
    """Read a model; where the operators stay native, custom ops in it are ONNX ops again."""
    return model_io.load(
        model_path,
        inline_plugins=native_reason is not None,
        profiles=config.profiles,
        trust_links=config.trust_links,
    )


def begin_page(model: Model, config: BuildConfig) -> BegunPage | None:
    """Begin the page that --report asks for, before the passes change the model's graph."""
    if config.report is None:
        return None
    from trtconv.pages.begun_page import BegunPage

    return BegunPage.of(model)


def require_writable(model: Model, *outputs: Path | None, calibration: Sequence[Path] = ()) -> None:
    """Raise ConfigError where an output cannot be written, or belongs to the model or to `calibration`."""
    inputs = [*external_data.files_of(model.proto, model.path)]
    if calibration:
        from trtconv.inputs.input_files import files_read

        inputs += files_read(calibration)
    for path in outputs:
        if path is not None:
            files.require_writable(path, inputs=inputs)
    written = [os.path.realpath(path) for path in outputs if path is not None]
    twice = next((path for path in written if written.count(path) > 1), None)
    if twice is not None:
        raise ConfigError("two outputs would be written to this file", where=twice, hint="name another file for one")
