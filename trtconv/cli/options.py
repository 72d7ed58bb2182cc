"""Options that several commands have."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from trtconv.cli.console import QUIET, silenced_libraries
from trtconv.errors import ConfigError
from trtconv.units import parse_seconds, parse_size
from trtconv.workers import worker
from trtconv.workers.limits import Limits

FILE = click.Path(path_type=Path, readable=False)  # trtconv.reading says what is wrong with a file

Command = TypeVar("Command", bound=Callable[..., Any])


def common_options(command: Command) -> Command:
    """Add the options that every command has."""
    command = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")(
        command
    )
    return click.option("--debug", is_flag=True, help="Show the traceback of an error.")(command)


def isolated(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command do its work in a process of its own: foreign libraries may crash there, or take all memory.

    The parent has started that process before anything was parsed: it is told what the options say.
    """

    @functools.wraps(command)
    def run(*args: Any, no_isolate: bool, limit_memory: str | None, limit_time: str | None, **options: Any) -> Any:
        limits, is_quiet = _limits(limit_memory, limit_time), bool(options.get("quiet"))
        if worker.is_worker():
            worker.tell(worker.LIMITS, dataclasses.astuple(limits))
            worker.tell(QUIET, is_quiet)
            return command(*args, **options)
        if limit_memory or limit_time:
            what = "limits apply to a worker process, and none is used"
            raise ConfigError(what, where="--limit-memory, --limit-time", hint="leave --no-isolate out")
        with silenced_libraries() if is_quiet else contextlib.nullcontext():
            return command(*args, **options)

    for option in reversed(_ISOLATION_OPTIONS):
        run = option(run)
    return run


def _limits(memory: str | None, time: str | None) -> Limits:
    return Limits(
        memory_bytes=None if memory is None else parse_size(memory, "--limit-memory"),
        seconds=None if time is None else parse_seconds(time, "--limit-time"),
    )


_ISOLATION_OPTIONS = (
    click.option("--limit-memory", metavar="SIZE", help="Stop when the work takes more memory, such as 8GB. "
                 "[default: 9/10 of the machine's memory]"),
    click.option("--limit-time", metavar="TIME", help="Stop when the work takes longer, such as 90s, 30m or 2h."),
    click.option("--no-isolate", is_flag=True, help="Work without a worker process, for debugging."),
)  # fmt: skip
_OPS_HELP = (
    "plugin: a plugin for each norm and reflect pad; fused: plugins also take in written-out norms and neighbouring "
    "nodes; rewritten: also rewrite convolutions for speed."
)
keep_native_option = click.option(
    "--keep-native",
    multiple=True,
    metavar="PATTERN",
    help="Do not replace nodes whose name matches this glob (repeatable).",
)
ops_option = click.option(
    "--ops",
    type=click.Choice(["plugin", "fused", "rewritten", "auto"]),
    default="auto",
    show_default=True,
    help=f"{_OPS_HELP} auto: what is predicted to be fastest, node by node.",
)
reduced_ops_option = click.option(
    "--ops", type=click.Choice(["plugin", "fused", "rewritten"]), default="plugin", show_default=True, help=_OPS_HELP
)
trust_option = click.option("--trust", is_flag=True, help="Accept an engine whose manifest belongs to another engine.")
trust_links_option = click.option(
    "--trust-links", is_flag=True, help="Follow links of external data out of the model's folder."
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
