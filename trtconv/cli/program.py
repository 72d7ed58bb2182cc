"""The command line as click knows it: all commands below one name."""

from __future__ import annotations

import os
from typing import NoReturn

import click
from click.shell_completion import get_completion_class

from trtconv.cli import bench, build, compare, doctor, inspect, plugins, reduce, rewrite
from trtconv.cli import run as running
from trtconv.cli.foreign_options import hint_for
from trtconv.errors import ConfigError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trtconv", prog_name="trtconv")
def cli() -> None:
    """Convert ONNX models into TensorRT engines.

    Norms and reflect padding become CUDA plugins where the backend supports plugins.

    \b
    Example:
      trtconv build model.onnx -o model.engine
    """


_COMMANDS = (
    build.build,
    compare.compare,
    reduce.reduce,
    running.run,
    bench.bench,
    rewrite.rewrite,
    plugins.plugins,
    inspect.inspect,
    doctor.doctor,
)
for _command in _COMMANDS:
    cli.add_command(_command)


def run(words: list[str], name: str) -> int:
    """Run a command line of the program `name` and return its exit code; without words, show the help.

    Raises ConfigError for wrong usage. An interrupt is left to the caller: click's own `main` would print for it.
    """
    if not words:
        click.echo(cli.get_help(click.Context(cli, info_name=name, **cli.context_settings)), err=True)
        return ConfigError.exit_code
    try:
        with cli.make_context(name, list(words)) as context:
            return cli.invoke(context) or 0
    except click.exceptions.Exit as end:  # after --help and --version
        return end.exit_code
    except click.UsageError as error:
        hint = f"run: {error.ctx.command_path} --help" if error.ctx else None
        what = error.format_message().rstrip(".")
        if known := hint_for(error):
            what, hint = what.split(" Did you mean")[0].rstrip("."), known
        raise ConfigError(what, hint=hint) from error


def complete(name: str, variable: str) -> NoReturn:
    """Answer the shell that asks in this variable of the environment. Raises ConfigError for what no shell asks."""
    asked = os.environ[variable]
    shell, _, what = asked.partition("_")
    if what not in ("source", "complete") or get_completion_class(shell) is None:
        hint = "use bash_source, zsh_source or fish_source, which print the script of a shell"
        raise ConfigError(f"got {asked!r}, expected a shell and what it asks for", where=variable, hint=hint)
    try:
        cli.main(args=[], prog_name=name, complete_var=variable)
    except KeyError as missing:
        what = f"{asked} needs the variable {missing.args[0]}, which the script of {shell}_source sets"
        raise ConfigError(what, where=variable) from None
    raise AssertionError("click ends the process")
