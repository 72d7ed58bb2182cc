"""`trtconv reduce`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from trtconv.cli.console import print_report, shown_progress
from trtconv.cli.options import FILE, common_options, isolated, quiet_option, reduced_ops_option, trust_links_option


@click.command()
@click.argument("model", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="File of the smallest model; its candidate and inputs "
              "are written beside it.")  # fmt: skip
@reduced_ops_option
@click.option("--precision", type=click.Choice(["fp16", "bf16"]), help="Precision of the candidate, as for build.")
@click.option("--runtime", type=click.Choice(["auto", "tensorrt", "onnxruntime"]), default="auto", show_default=True,
              help="tensorrt: an engine; onnxruntime: the rewritten model, without a GPU; auto: an engine where one "
              "can be built.")  # fmt: skip
@click.option("--inputs", type=FILE, multiple=True, metavar="PATH", help="As for compare. [default: generated inputs]")
@click.option("--sets", "num_sets", type=int, metavar="N", help="Number of input sets to generate, as for compare.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed for the generated inputs.")
@click.option("--generator", type=click.Choice(["random", "adversarial"]), default="random", show_default=True,
              help="Kind of generated inputs, as for compare.")  # fmt: skip
@click.option("--shape", "shapes", multiple=True, metavar="NAME=SHAPE", help="AxBxC, or min:opt:max, as for build.")
@click.option("--tolerance", multiple=True, metavar="[NAME=]VALUE", help="Largest max|error| allowed, as a "
              "fraction of max|y|. [default: by precision]")  # fmt: skip
@click.option("--atol", multiple=True, metavar="[NAME=]VALUE", help="Largest |error| allowed, in place of the default.")
@click.option(
    "--rtol", multiple=True, metavar="[NAME=]VALUE", help="Largest |error| allowed, as a fraction of |y|, likewise."
)
@trust_links_option
@quiet_option
@common_options
@isolated
def reduce(
    model: Path,
    shapes: tuple[str, ...],
    tolerance: tuple[str, ...],
    atol: tuple[str, ...],
    rtol: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    debug: bool,
    **options: Any,
) -> int:
    """Find the smallest part of a MODEL that trtconv gets wrong.

    The model is compared with what trtconv makes of it. Where they differ, the smallest part that still does is written
    as a model, with the inputs that show it; the last line compares the two again. Exit code 1 means that they differ.

    \b
    Example:
      trtconv reduce model.onnx -o small.onnx
    """
    from trtconv import reduction
    from trtconv.comparison.tolerance import parse_tolerances
    from trtconv.reports import tables
    from trtconv.shapes import parse_profiles

    config = reduction.ReduceConfig(
        profiles=parse_profiles(shapes),
        tolerance=parse_tolerances(tolerance, "--tolerance"),
        atol=parse_tolerances(atol, "--atol"),
        rtol=parse_tolerances(rtol, "--rtol"),
        **options,
    )
    with shown_progress(quiet=as_json or quiet, plain=False, label="reducing") as progress:
        report = reduction.reduce(model, config, progress=progress)
    print_report(report, as_json, quiet=quiet, **tables.style_for(sys.stdout))
    return 0 if report.passed else 1
