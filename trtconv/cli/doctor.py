"""`trtconv doctor`."""

from __future__ import annotations

import sys

import click

from trtconv.cli.console import print_report
from trtconv.cli.options import common_options, isolated


@click.command()
@common_options
@isolated
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
