"""`trtconv run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from trtconv.cli.console import print_report
from trtconv.cli.options import FILE, common_options, isolated, quiet_option, trust_links_option, trust_option


@click.command()
@click.argument("model", type=FILE)
@click.argument("inputs", type=FILE, nargs=-1, required=True, metavar="INPUT...")
@click.option("-o", "--output", type=FILE, metavar="PATH", help="An image, .npz (all outputs), .npy (one output), or a "
              "folder with a file for each input. [default: write nothing]")  # fmt: skip
@click.option("--image-range", metavar="BLACK:WHITE", help="Values of black and white in the input, such as 0:255. "
              "[default: what the model shows, else 0:1]")  # fmt: skip
@click.option("--output-range", metavar="BLACK:WHITE", help="Values of black and white in the output. [default: "
              "what the model or the values show]")  # fmt: skip
@click.option("--layout", "order", type=click.Choice(["nchw", "nhwc"]), help="Position of the channels of images. "
              "[default: where the sizes show them]")  # fmt: skip
@click.option("--size", metavar="HxW", help="Height and width of the input, if the model leaves them open. "
              "[default: the image's own]")  # fmt: skip
@click.option("--output-name", metavar="NAME", help="Output to write, if there are several.")
@click.option("--latency", is_flag=True, help="Measure how long a run takes.")
@click.option("--allow-embedded-code", is_flag=True, help="Allow an engine to run the code that it embeds.")
@trust_links_option
@trust_option
@quiet_option
@common_options
@isolated
def run(
    model: Path,
    inputs: tuple[Path, ...],
    image_range: str | None,
    output_range: str | None,
    size: str | None,
    quiet: bool,
    as_json: bool,
    debug: bool,
    **options: Any,
) -> None:
    """Run an engine or an ONNX MODEL on images or arrays.

    An engine runs on the GPU, an ONNX model in ONNX Runtime on the CPU. An INPUT is an image, a folder of images, an
    .npz file with an array for each input of the model, or an .npy file.

    \b
    Example:
      trtconv run style.engine photo.jpg -o styled.png
    """
    from trtconv import run as running
    from trtconv.inputs.images import ImageRange
    from trtconv.reports import tables

    config = running.RunConfig(
        image_range=None if image_range is None else ImageRange.parse(image_range),
        output_range=None if output_range is None else ImageRange.parse(output_range, "--output-range"),
        size=None if size is None else running.parse_size(size),
        **options,
    )
    report = running.run(model, inputs, config)
    print_report(report, as_json, quiet=quiet, **tables.style_for(sys.stdout))
