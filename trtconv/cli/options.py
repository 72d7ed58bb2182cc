"""Options that several commands have."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from trtconv.cli.console import run_isolated
from trtconv.isolation import can_isolate

FILE = click.Path(path_type=Path)

Command = TypeVar("Command", bound=Callable[..., Any])


def common_options(command: Command) -> Command:
    """Add the options that every command has."""
    command = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")(
        command
    )
    return click.option("--debug", is_flag=True, help="Show the traceback of an error.")(command)


def isolated(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command do its work in a process of its own: foreign libraries may crash there.

    That holds for the command line alone, whose words are the context's object; from Python it stays in the process.
    """

    @functools.wraps(command)
    def run(*args: Any, no_isolate: bool, **options: Any) -> Any:
        words = click.get_current_context().find_root().obj
        if no_isolate or words is None or not can_isolate():
            return command(*args, **options)
        return run_isolated(words)

    return click.option("--no-isolate", is_flag=True, help="Work without a worker process, for debugging.")(run)


_OPS_HELP = (
    "plugin: a plugin for each of the two operators; fused: written-out norms and neighbours go in, too; "
    "rewritten: convolutions are written for speed, too."
)
keep_native_option = click.option(
    "--keep-native", multiple=True, metavar="PATTERN", help="Keep nodes native whose address matches this glob."
)
rewritten_ops_option = click.option(
    "--ops", type=click.Choice(["plugin", "fused", "rewritten"]), default="plugin", show_default=True, help=_OPS_HELP
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
