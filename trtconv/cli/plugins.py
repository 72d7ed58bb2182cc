"""`trtconv plugins`."""

from __future__ import annotations

import click

from trtconv.cli.console import print_report
from trtconv.cli.options import common_options


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
    from trtconv.plugins import library

    found = library.find()
    if path_only and not as_json:
        click.echo(found.path)
    else:
        print_report(found, as_json)
