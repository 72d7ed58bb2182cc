"""`trtconv inspect`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from trtconv.cli.console import print_report
from trtconv.cli.options import (
    FILE,
    common_options,
    isolated,
    keep_native_option,
    ops_option,
    trust_links_option,
    trust_option,
)


@click.command()
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE [FILE]")
@click.option("--diff", is_flag=True, help="Compare two models or two engines; two files are compared without it, too.")
@click.option("--backend", type=click.Choice(["auto", "tensorrt", "tensorrt-rtx"]), default="auto", show_default=True,
              help="Backend whose parser checks a model's ops.")  # fmt: skip
@click.option("--html", type=FILE, metavar="FILE", help="Also write the report as an HTML page with the graph.")
@click.option("--all", "show_all", is_flag=True, help="List equal nodes one by one.")
@ops_option
@keep_native_option
@trust_links_option
@trust_option
@common_options
@isolated
def inspect(
    files: tuple[Path, ...],
    diff: bool,
    backend: Any,
    html: Path | None,
    show_all: bool,
    ops: Any,
    keep_native: tuple[str, ...],
    trust_links: bool,
    trust: bool,
    as_json: bool,
    debug: bool,
) -> None:
    """Show what is in a model or an engine.

    Of a model: what prevents a build, and what would become of each node that has a plugin, and why; equal nodes share
    a row. Of an engine: what it needs, and its layers where a GPU is at hand. It writes nothing but the page of --html.

    \b
    Example:
      trtconv inspect model.onnx
    """
    from trtconv import inspection
    from trtconv.reports import tables

    report = inspection.inspect_files(
        files,
        compare=diff or len(files) == 2,
        ops=ops,
        keep_native=keep_native,
        backend=backend,
        trust_links=trust_links,
        trust=trust,
        html=html,
    )
    print_report(report, as_json, show_all=show_all, **tables.style_for(sys.stdout))
