"""`trtconv rewrite`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from trtconv.cli.console import print_report, shown_progress
from trtconv.cli.options import (
    FILE,
    common_options,
    isolated,
    keep_native_option,
    ops_option,
    quiet_option,
    trust_links_option,
)


@click.command()
@click.argument("model", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="File of the rewritten model.")
@ops_option
@keep_native_option
@click.option("--no-functions", is_flag=True, help="Leave the ONNX functions out, for TensorRT's parsers before 10.7.")
@trust_links_option
@click.option("-v", "--verbose", is_flag=True, help="Name every node.")
@quiet_option
@common_options
@isolated
def rewrite(
    model: Path,
    output: Path,
    ops: Any,
    keep_native: tuple[str, ...],
    no_functions: bool,
    trust_links: bool,
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
    from trtconv import rewriting
    from trtconv.reports import tables

    options: dict[str, Any] = {"ops": ops, "keep_native": keep_native, "trust_links": trust_links}
    with shown_progress(quiet=as_json or quiet, plain=verbose, label="rewriting") as progress:
        report = rewriting.rewrite(model, output, functions=not no_functions, progress=progress, **options)
    print_report(report, as_json, quiet=quiet, verbose=verbose, **tables.terminal_style(sys.stdout))
