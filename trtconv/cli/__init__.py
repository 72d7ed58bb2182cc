"""The command line: options in, reports out. It translates and decides nothing; only this package knows click."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import NoReturn

import click

from trtconv import interrupts
from trtconv.cli import bench, build, compare, doctor, inspect, plugins, reduce, rewrite, run
from trtconv.cli.console import leave, open_standard_streams
from trtconv.cli.foreign_options import hint_for
from trtconv.errors import BackendError, ConfigError, Interrupted, TrtconvError

PROGRAM = "trtconv"
_COMPLETE_VARIABLE = "_TRTCONV_COMPLETE"


class _DefectError(TrtconvError):
    """A defect of trtconv itself, none of the documented outcomes."""

    exit_code = 70  # EX_SOFTWARE


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trtconv", prog_name=PROGRAM)
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
    run.run,
    bench.bench,
    rewrite.rewrite,
    plugins.plugins,
    inspect.inspect,
    doctor.doctor,
)
for _command in _COMMANDS:
    cli.add_command(_command)


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process with the exit code that docs/guide.md documents.

    Without `args` it is the process's own command line, whose work a worker process does.
    """
    words = sys.argv[1:] if args is None else None
    args = args if words is None else words
    interrupts.raise_interrupts()
    open_standard_streams()
    if _COMPLETE_VARIABLE in os.environ:  # a shell asks for its completion script, or for what may follow
        cli.main(args=[], prog_name=PROGRAM, complete_var=_COMPLETE_VARIABLE)
    if not args:
        click.echo(cli.get_help(click.Context(cli, info_name=PROGRAM, **cli.context_settings)), err=True)
        sys.exit(ConfigError.exit_code)
    try:
        exit_code = cli.main(args=args, prog_name=PROGRAM, standalone_mode=False, obj=words) or 0
        interrupts.ignore()
        sys.stdout.flush()
    except click.UsageError as error:
        hint = f"run: {error.ctx.command_path} --help" if error.ctx else None
        what = error.format_message().rstrip(".")
        if known := hint_for(error):
            what, hint = what.split(" Did you mean")[0].rstrip("."), known
        _fail(ConfigError(what, hint=hint), args, error)
    except (KeyboardInterrupt, click.Abort):
        _fail(Interrupted("interrupted"), args)
    except TrtconvError as error:
        _fail(error, args)
    except MemoryError as error:
        what = f"out of memory: {error}" if str(error) else "out of memory"
        _fail(BackendError(what, hint="use smaller shapes, or a machine with more memory"), args, error)
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        _fail(_DefectError(what, where="a defect of trtconv", hint="run again with --debug and report it"), args, error)
    try:
        sys.stderr.flush()
    except OSError:  # a full or closed standard error: Python would end with 120
        leave(exit_code)
    sys.exit(exit_code)


def _fail(error: TrtconvError, args: list[str], cause: Exception | None = None) -> NoReturn:
    """Print an error in the documented form and end the process."""
    from trtconv.display import printable, printable_lines

    if interrupts.was_interrupted() and not isinstance(error, Interrupted):  # an import makes an ImportError of it
        error = Interrupted("interrupted")
    interrupts.ignore()
    lines = [f"error: {printable(str(error))}"]
    if "--debug" in args:
        lines[:0] = [printable_lines("".join(traceback.format_exception(cause or error)).rstrip())]
    if error.hint:
        lines.append(f"hint: {printable(error.hint)}")
    document = {"error": {"what": error.what, "where": error.where, "hint": error.hint, "exit_code": error.exit_code}}
    try:
        print(*lines, sep="\n", file=sys.stderr, flush=True)
        if "--json" in args:
            print(json.dumps(document, indent=2))
        sys.stdout.flush()
    except (OSError, TrtconvError):  # of standard error, of standard output
        leave(error.exit_code)
    if isinstance(error, Interrupted):
        leave(error.exit_code)
    sys.exit(error.exit_code)
