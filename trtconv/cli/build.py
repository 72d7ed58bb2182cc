"""`trtconv build`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from trtconv.cli.console import print_log, print_report, shown_progress
from trtconv.cli.option_groups import WORDS, GroupedCommand
from trtconv.cli.options import FILE, common_options, isolated, keep_native_option, quiet_option, trust_links_option

NEXT_PROFILE = "--profile"
_GROUPS = {
    "Output and checks": ("output", "report", "dry_run", "verify"),
    "Shapes": ("shapes",),
    "Backend": ("backend", "gpu_arch"),
    "Precision": ("precision", "keep_fp32", "io_types", "calibration", "tf32"),
    "Plugins": ("ops", "keep_native", "decisions", "tune", "tune_budget", "embed_plugins"),
    "Engine": (
        "workspace",
        "opt_level",
        "timing_cache",
        "version_compatible",
        "exclude_lean_runtime",
        "hardware_compatible",
        "refittable",
        "strip_weights",
    ),
}


@click.command(cls=GroupedCommand, groups=_GROUPS)
@click.argument("model", type=FILE)
@click.option("-o", "--output", type=FILE, help="Engine file. [default: MODEL with .engine]")
@click.option("--shape", "shapes", multiple=True, metavar="NAME=SHAPE", help="AxBxC, or min:opt:max; [] is a scalar, "
              "[1,2] the values of a shape tensor. Needed for every dynamic input.")  # fmt: skip
@click.option("--profile", "shapes", is_flag=True, flag_value=NEXT_PROFILE, multiple=True, type=str,
              help="Start the next optimisation profile; the --shape options that follow belong to it.")  # fmt: skip
@click.option("--backend", type=click.Choice(["auto", "tensorrt", "tensorrt-rtx"]), default="auto", show_default=True,
              help="auto: TensorRT where there is a GPU, else TensorRT-RTX.")  # fmt: skip
@click.option("--gpu-arch", metavar="SM", help="TensorRT-RTX: the architecture to build for, such as sm_89.")
@click.option("--workspace", metavar="SIZE", help="Limit TensorRT's scratch memory, such as 512MiB or 2GiB.")
@click.option("--opt-level", type=int, metavar="0..5", help="TensorRT's optimisation level.")
@click.option("--tf32/--no-tf32", default=None, help="Allow or forbid TF32 in fp32 layers. [default: TensorRT's]")
@click.option("--ops", type=click.Choice(["plugin", "fused", "rewritten", "auto", "native"]), help="What norms "
              "and reflect pads become. plugin: a plugin each; fused: plugins also take in written-out norms and "
              "neighbouring nodes; rewritten: also rewrite convolutions for speed; auto: the fastest by prediction, "
              "node by node; native: TensorRT's own layers. "
              "[default: auto, native on TensorRT-RTX]")  # fmt: skip
@click.option("--tune", is_flag=True, help="Measure the choices for each node and keep the fastest engine.")
@click.option("--tune-budget", metavar="TIME", help="How long --tune may take, such as 90s or 10m. [default: 10m]")
@keep_native_option
@click.option(
    "--precision", type=click.Choice(["fp16", "bf16"]), help="Run in fp16 or bf16 wherever it is numerically safe."
)
@click.option(
    "--keep-fp32",
    multiple=True,
    metavar="PATTERN",
    help="Keep nodes in fp32 whose name matches this glob (repeatable).",
)
@click.option(
    "--io-types", multiple=True, metavar="[NAME=]TYPE", help="Type of inputs and outputs: fp32, fp16, bf16 or keep."
)
@click.option("--calibration", type=FILE, multiple=True, metavar="PATH", help="Inputs that decide what can "
              "run in fp16: an .npz or .npy file, an image, or a folder of images (repeatable).")  # fmt: skip
@click.option(
    "--decisions", type=FILE, metavar="FILE", help="Follow this decision file; create it if it does not exist."
)
@click.option(
    "--timing-cache",
    type=FILE,
    metavar="FILE",
    help="Reuse the tactics measured in this file; update it after the build.",
)
@click.option("--version-compatible", is_flag=True, help="Make the engine load in later TensorRT versions too.")
@click.option("--hardware-compatible", is_flag=True, help="Make the engine run on all GPUs from Ampere on.")
@click.option("--refittable", is_flag=True, help="Make an engine whose weights can be replaced.")
@click.option("--strip-weights", is_flag=True, help="Leave the weights out; trtconv.refit_engine puts them in.")
@click.option("--embed-plugins", is_flag=True, help="Embed the plugin library in the engine; implies "
              "--version-compatible.")  # fmt: skip
@click.option("--exclude-lean-runtime", is_flag=True, help="With --version-compatible: leave the lean runtime out "
              "of the engine.")  # fmt: skip
@trust_links_option
@click.option("--verify", is_flag=True, help="Check the engine against the model and discard it if they disagree.")
@click.option("--report", type=FILE, metavar="FILE", help="Write an HTML page: the graph before and after, decisions "
              "and figures.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what the build would do with each node, and build nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Name every node, and show TensorRT's messages.")
@quiet_option
@common_options
@isolated
def build(
    model: Path,
    output: Path | None,
    shapes: tuple[str, ...],
    backend: Any,
    gpu_arch: str | None,
    workspace: str | None,
    opt_level: int | None,
    tf32: bool | None,
    ops: Any,
    tune_budget: str | None,
    keep_native: tuple[str, ...],
    io_types: tuple[str, ...],
    dry_run: bool,
    verbose: bool,
    quiet: bool,
    as_json: bool,
    debug: bool,
    **options: Any,
) -> None:
    """Build a TensorRT engine from an ONNX MODEL.

    The engine's manifest (versions, plugins, shapes, what became of each node) is written beside it.

    \b
    Example:
      trtconv build model.onnx -o model.engine \\
        --shape x=1x3x256x256:1x3x720x1280:4x3x1080x1920
    """
    from trtconv.config import BuildConfig
    from trtconv.engine import backends
    from trtconv.io_types import parse_io_types
    from trtconv.reports import next_steps, tables
    from trtconv.shapes import parse_profiles
    from trtconv.units import parse_seconds, parse_size

    config = BuildConfig(
        output=output,
        profiles=parse_profiles(None if item == NEXT_PROFILE else item for item in shapes),
        backend=backend,
        gpu_arch=gpu_arch,
        workspace_bytes=None if workspace is None else parse_size(workspace, "--workspace"),
        opt_level=opt_level,
        tf32=tf32,
        ops=ops,
        tune_budget_s=None if tune_budget is None else parse_seconds(tune_budget, "--tune-budget"),
        keep_native=keep_native,
        io_types=parse_io_types(io_types),
        **options,
    )
    report: Any
    with shown_progress(quiet=as_json or quiet, plain=verbose, label="dry run" if dry_run else "building") as progress:
        if dry_run:
            with backends.imported_meanwhile(config.backend):
                from trtconv import dry_running

            report = dry_running.dry_run(model, config, progress=progress)
            next_step = next_steps.after_dry_run(click.get_current_context().meta[WORDS], report.missing_shapes)
            report = replace(report, next_step=next_step)
        else:
            with backends.imported_meanwhile(config.backend):
                from trtconv import convert

            report = convert.build(model, config, progress=progress, log=print_log if verbose else None)
    print_report(report, as_json, quiet=quiet, verbose=verbose, **tables.terminal_style(sys.stdout))
