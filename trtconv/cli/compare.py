"""`trtconv compare`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from trtconv.cli.console import print_report, shown_progress
from trtconv.cli.option_groups import GroupedCommand
from trtconv.cli.options import FILE, common_options, isolated, quiet_option, trust_links_option, trust_option

_GROUPS = {
    "Inputs": ("inputs", "num_sets", "seed", "generator", "shapes", "all_shapes", "image_range"),
    "Tolerance": ("tolerance", "atol", "rtol"),
    "Output": ("bisect", "plot", "save_inputs", "save_outputs"),
}


@click.command(cls=GroupedCommand, groups=_GROUPS)
@click.argument("reference", type=FILE)
@click.argument("candidate", type=FILE)
@click.option("--inputs", type=FILE, multiple=True, metavar="PATH", help="An .npz or .npy file, an image, or a "
              "folder of images; repeatable. [default: generated inputs]")  # fmt: skip
@click.option("--sets", "num_sets", type=int, metavar="N", help="Number of input sets to generate "
              "of each kind. [default: 2, or 1 of each adversarial kind]")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Seed for the generated inputs.")
@click.option("--generator", type=click.Choice(["random", "adversarial"]), default="random", show_default=True,
              help="random: uniform in [-1, 1]; adversarial: five kinds that are hard on the arithmetic.")  # fmt: skip
@click.option("--shape", "shapes", multiple=True, metavar="NAME=SHAPE", help="AxBxC, or min:opt:max, as for build. "
              "[default: the engine's own]")  # fmt: skip
@click.option("--all-shapes", is_flag=True, help="Also use the smallest and largest shapes of each profile.")
@click.option("--tolerance", multiple=True, metavar="[NAME=]VALUE", help="Largest max|error| allowed, as a "
              "fraction of max|y|. [default: by precision]")  # fmt: skip
@click.option("--atol", multiple=True, metavar="[NAME=]VALUE", help="Largest |error| allowed, in place of the default.")
@click.option(
    "--rtol", multiple=True, metavar="[NAME=]VALUE", help="Largest |error| allowed, as a fraction of |y|, likewise."
)
@click.option("--image-range", default="0:1", show_default=True, metavar="BLACK:WHITE", help="Values of black and "
              "white in a float input.")  # fmt: skip
@click.option("--bisect", is_flag=True, help="If they differ, find the first internal tensor that does.")
@click.option("--plot", type=FILE, metavar="FILE", help="Plot the errors to a .png file.")
@click.option("--save-inputs", type=FILE, metavar="FILE", help="Write the inputs to .npz files, one per set.")
@click.option("--save-outputs", type=FILE, metavar="FILE", help="Write the outputs of both models, likewise.")
@click.option("--allow-embedded-code", is_flag=True, help="Allow an engine to run the code that it embeds.")
@trust_links_option
@trust_option
@quiet_option
@common_options
@isolated
def compare(
    reference: Path,
    candidate: Path,
    shapes: tuple[str, ...],
    tolerance: tuple[str, ...],
    atol: tuple[str, ...],
    rtol: tuple[str, ...],
    image_range: str,
    quiet: bool,
    as_json: bool,
    debug: bool,
    **options: Any,
) -> int:
    """Compare an engine, or a rewritten model, with the original.

    REFERENCE is the original ONNX model, which ONNX Runtime runs; CANDIDATE an engine or another ONNX model. Exit code
    1 means that an output is outside the tolerance.

    \b
    Example:
      trtconv compare model.onnx model.engine
    """
    from trtconv.comparison import comparing
    from trtconv.comparison.tolerance import parse_tolerances
    from trtconv.inputs.images import ImageRange
    from trtconv.reports import tables
    from trtconv.shapes import parse_profiles

    config = comparing.CompareConfig(
        profiles=parse_profiles(shapes),
        tolerance=parse_tolerances(tolerance, "--tolerance"),
        atol=parse_tolerances(atol, "--atol"),
        rtol=parse_tolerances(rtol, "--rtol"),
        image_range=ImageRange.parse(image_range),
        **options,
    )
    with shown_progress(quiet=as_json or quiet, plain=False, label="comparing") as progress:
        report = comparing.compare(reference, candidate, config, progress=progress)
    print_report(report, as_json, quiet=quiet, **tables.style_for(sys.stdout))
    return 0 if report.passed else 1
