"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

FILE = click.Path(path_type=Path)

Command = TypeVar("Command", bound=Callable[..., Any])


def common_options(command: Command) -> Command:
    """Add the options that every command has."""
    command = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")(
        command
    )
    return click.option("--debug", is_flag=True, help="Show the traceback of an error.")(command)


keep_native_option = click.option(
    "--keep-native", multiple=True, metavar="PATTERN", help="Keep nodes native whose address matches this glob."
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
