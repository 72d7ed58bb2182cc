"""The commands beside `trtconv build`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from trtconv.cli.console import print_report
from trtconv.cli.options import FILE, common_options, keep_native_option, quiet_option


@click.command()
@click.argument("model", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="File of the rewritten model.")
@keep_native_option
@click.option("--no-functions", is_flag=True, help="Leave the ONNX functions out, for TensorRT's parsers before 10.7.")
@click.option("-v", "--verbose", is_flag=True, help="Name every node.")
@quiet_option
@common_options
def rewrite(
    model: Path,
    output: Path,
    keep_native: tuple[str, ...],
    no_functions: bool,
    verbose: bool,
    quiet: bool,
    as_json: bool,
    debug: bool,
) -> None:
    """Rewrite a MODEL for the plugins, without a build.

    The result still runs in ONNX Runtime: it carries an ONNX function for each custom op. TensorRT's parsers before
    10.7, trtexec's among them, prefer those functions to the plugins.

    \b
    Example:
      trtconv rewrite model.onnx -o rewritten.onnx
    """
    from trtconv import convert

    report = convert.rewrite(model, output, keep_native=keep_native, functions=not no_functions)
    print_report(report, as_json, quiet=quiet, verbose=verbose)


@click.command()
@click.option("--path", "path_only", is_flag=True, help="Print the library's path alone.")
@common_options
def plugins(path_only: bool, as_json: bool, debug: bool) -> None:
    """Show where the plugin library is.

    trtexec, polygraphy, Triton and C++ programs load it by its path.

    \b
    Example:
      trtexec --onnx=rewritten.onnx --dynamicPlugins=$(trtconv plugins --path)
    """
    from trtconv import plugin_library

    library = plugin_library.find()
    if path_only and not as_json:
        click.echo(library.path)
    else:
        print_report(library, as_json)


@click.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE")
@click.option("--diff", is_flag=True, help="Hold two models, or two engines, against each other.")
@click.option("--backend", type=click.Choice(["auto", "tensorrt", "tensorrt-rtx"]), default="auto", show_default=True,
              help="Whose parser checks a model's ops.")  # fmt: skip
@keep_native_option
@common_options
def inspect(
    files: tuple[Path, ...], diff: bool, backend: Any, keep_native: tuple[str, ...], as_json: bool, debug: bool
) -> None:
    """Show what is in a model or an engine.

    Of a model: what would become of each InstanceNormalization and Pad, and why. Of an engine: what it needs, and its
    layers where a GPU is at hand. It writes nothing.

    \b
    Example:
      trtconv inspect model.onnx
    """
    from trtconv import inspection
    from trtconv.reports import tables

    report = inspection.inspect_files(files, compare=diff, keep_native=keep_native, backend=backend)
    print_report(report, as_json, **tables.style_for(sys.stdout))


@click.command()
@common_options
def doctor(as_json: bool, debug: bool) -> int:
    """Show what is installed and what is missing.

    Exit code 4 means that nothing here can build an engine.

    \b
    Example:
      trtconv doctor
    """
    from trtconv import doctor
    from trtconv.reports import tables

    diagnosis = doctor.examine()
    print_report(diagnosis, as_json, **tables.style_for(sys.stdout))
    return diagnosis.exit_code
