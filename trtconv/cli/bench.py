"""`trtconv bench`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trtconv.cli.console import print_report, shown_progress
from trtconv.cli.option_groups import GroupedCommand
from trtconv.cli.options import FILE, common_options, isolated, keep_native_option, quiet_option, trust_links_option

if TYPE_CHECKING:
    from trtconv.progress import Progress

_OPS, _MODEL = "only with --ops", "only with a MODEL"
_OPS_OPTIONS = ("patterns", "no_native", "engines", "jobs")
_TAKEN = ("precision", "opt_level", "tf32", "keep_native", "decisions", "timing_cache", "trust_links")
_GROUPS = {
    "Times of kernels": ("ops", "patterns", "no_native", "engines", "jobs"),
    "Times of a model": (
        "shapes",
        "precision",
        "opt_level",
        "tf32",
        "keep_native",
        "decisions",
        "timing_cache",
        "layers",
        "force",
    ),
    "Output": ("plot", "out"),
}
_MODEL_OPTIONS = ("shapes", *_TAKEN, "layers", "force")


@click.command(cls=GroupedCommand, groups=_GROUPS)
@click.argument("model", type=FILE, required=False)
@click.option("--ops", is_flag=True, help="Time the kernels alone, without a model.")
@click.option("--shape", "shapes", multiple=True, metavar="NAME=SHAPE", help=f"As in build; {_MODEL}.")
@click.option("--precision", type=click.Choice(["fp16", "bf16"]), help=f"As in build; {_MODEL}.")
@click.option("--opt-level", type=int, metavar="0..5", help=f"As in build; {_MODEL}.")
@click.option("--tf32/--no-tf32", default=None, help=f"As in build; {_MODEL}.")
@keep_native_option
@click.option(
    "--decisions", type=FILE, metavar="FILE", help=f"Also time an engine built by this decision file; {_MODEL}."
)
@click.option("--timing-cache", type=FILE, metavar="FILE", help=f"As in build; {_MODEL}.")
@trust_links_option
@click.option("--layers", is_flag=True, help=f"List the layers of each engine by kind, and the slowest; {_MODEL}.")
@click.option("--force", is_flag=True, help=f"Also time engines whose outputs are wrong; {_MODEL}.")
@click.option(
    "--filter", "patterns", multiple=True, metavar="GLOB", help=f"Only cases whose name matches this glob; {_OPS}."
)
@click.option("--no-native", is_flag=True, help=f"Leave TensorRT's own layers out; {_OPS}.")
@click.option("--engines", is_flag=True, help=f"Also time the plugins inside engines; {_OPS}.")
@click.option("--jobs", type=int, metavar="N", help=f"Engines to build in parallel; {_OPS}. [default: one a processor]")
@click.option(
    "--plot", type=FILE, metavar="FILE", help="Plot the times to a .png or .svg file; with --ops, bandwidth over size."
)
@click.option("--out", type=FILE, metavar="FILE", help="Also write the JSON document to this file.")
@quiet_option
@common_options
@isolated
def bench(
    model: Path | None, ops: bool, out: Path | None, quiet: bool, as_json: bool, debug: bool, **options: Any
) -> int:
    """Compare the times of the plugins and of TensorRT's own layers.

    With a MODEL: engines of TensorRT's own layers and of each --ops of build are built in a temporary folder, compared
    with the model in ONNX Runtime, and timed in turn. With --ops: the kernels, checked first, beside a device
    copy of the same bytes. Exit code 1 means that a result is wrong.

    \b
    Example:
      trtconv bench model.onnx --precision fp16
    """
    from trtconv.benchmark.report_files import ReportFiles
    from trtconv.reports import tables

    _require_fitting(model, ops, options)
    written = ReportFiles(out, options.pop("plot"))
    options["is_drawn"] = written.plot is not None
    written.require_possible()
    with shown_progress(quiet=as_json or quiet, plain=False, label="timing") as progress:
        if model is None:
            report = _bench_ops(options, written.paths, progress)
        else:
            report = _bench_model(model, options, written.paths, progress)
    written.write(report)
    print_report(report, as_json, quiet=quiet, **tables.style_for(sys.stdout))
    return int(report.exit_code)


def _bench_ops(options: Mapping[str, Any], outputs: Sequence[Path], progress: Progress) -> Any:
    from trtconv import files
    from trtconv.benchmark.ops import OpsOptions, bench_ops

    for path in outputs:
        files.require_writable(path)
    wanted = OpsOptions(options["patterns"], not options["no_native"], options["engines"], options["jobs"])
    return bench_ops(wanted, progress)


def _bench_model(model: Path, options: Mapping[str, Any], outputs: Sequence[Path], progress: Progress) -> Any:
    from trtconv.benchmark.model import bench_model
    from trtconv.config import BuildConfig
    from trtconv.shapes import parse_profiles

    config = BuildConfig(profiles=parse_profiles(options["shapes"]), **{name: options[name] for name in _TAKEN})
    by_layer = options["layers"] or options["is_drawn"]
    return bench_model(model, config, layers=by_layer, force=options["force"], outputs=outputs, progress=progress)


def _require_fitting(model: Path | None, ops: bool, options: Mapping[str, Any]) -> None:
    """Refuse an option that says nothing to what is timed: none is ever ignored."""
    from trtconv.errors import ConfigError

    if (model is None) != ops:
        what = "got both a MODEL and --ops, expected one of them" if ops else "nothing to time"
        raise ConfigError(what, hint="run: trtconv bench model.onnx, or: trtconv bench --ops")
    for name in _MODEL_OPTIONS if ops else _OPS_OPTIONS:
        if options[name] not in (None, ()) and (options[name] is not False or name == "tf32"):
            raise ConfigError(f"belongs to {'a MODEL' if ops else '--ops'}", where=_spelling(name))


def _spelling(name: str) -> str:
    return {"shapes": "--shape", "patterns": "--filter"}.get(name, f"--{name.replace('_', '-')}")
