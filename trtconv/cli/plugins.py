"""`trtconv plugins`."""

from __future__ import annotations

import sys

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
    from trtconv.reports import tables
    from trtconv.reports.library_report import LibraryReport

    found = library.find()
    if path_only and not as_json:
        click.echo(found.path)
    else:
        report = LibraryReport(found.path, found.sha256, found.plugins)
        print_report(report, as_json, **tables.terminal_style(sys.stdout))
