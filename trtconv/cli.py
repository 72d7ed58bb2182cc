"""The command line: options in, reports out. It translates and decides nothing; only this file knows click."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from trtconv.errors import BackendError, ConfigError, Interrupted, TrtconvError

if TYPE_CHECKING:
    from trtconv.progress import Progress

PROGRAM = "trtconv"
_NEXT_PROFILE = "--profile"

_FILE = click.Path(path_type=Path)

Command = TypeVar("Command", bound=Callable[..., Any])


class _DefectError(TrtconvError):
    """A defect of trtconv itself, none of the documented outcomes."""

    exit_code = 70  # EX_SOFTWARE


def _common_options(command: Command) -> Command:
    """Add the options that every command has."""
    command = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")(
        command
    )
    return click.option("--debug", is_flag=True, help="Show the traceback of an error.")(command)


_keep_native_option = click.option(
    "--keep-native", multiple=True, metavar="PATTERN", help="Keep nodes native whose address matches this glob."
)
_quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trtconv", prog_name=PROGRAM)
def cli() -> None:
    """Convert ONNX models into TensorRT engines.

    InstanceNormalization and Pad(mode=reflect) become CUDA plugins where the backend takes them.

    \b
    Example:
      trtconv build model.onnx -o model.engine
    """


@cli.command()
@click.argument("model", type=_FILE)
@click.option("-o", "--output", type=_FILE, help="Engine file. [default: MODEL with .engine]")
@click.option("--shape", "shapes", multiple=True, metavar="NAME=SHAPE", help="AxBxC, or min:opt:max; [] is a scalar, "
              "[1,2] the values of a shape tensor. Needed for every dynamic input.")  # fmt: skip
@click.option("--profile", "shapes", is_flag=True, flag_value=_NEXT_PROFILE, multiple=True, type=str,
              help="Start the next optimisation profile; the --shape options behind it belong to it.")  # fmt: skip
@click.option("--backend", type=click.Choice(["auto", "tensorrt", "tensorrt-rtx"]), default="auto", show_default=True,
              help="auto: TensorRT where a GPU answers, else TensorRT-RTX.")  # fmt: skip
@click.option("--gpu-arch", metavar="SM", help="TensorRT-RTX: the architecture to build for, such as sm_89.")
@click.option("--workspace", metavar="SIZE", help="Limit of TensorRT's scratch memory, such as 512MiB or 2GiB.")
@click.option("--opt-level", type=int, metavar="0..5", help="TensorRT's optimisation level.")
@click.option("--tf32/--no-tf32", default=None, help="Allow or forbid TF32 in fp32 layers. [default: TensorRT's]")
@click.option("--ops", type=click.Choice(["plugin", "native"]), help="What the two operators become. [default: plugin, "
              "native on TensorRT-RTX]")  # fmt: skip
@_keep_native_option
@click.option("--precision", type=click.Choice(["fp16", "bf16"]), help="The network's types, where they do no harm.")
@click.option("--keep-fp32", multiple=True, metavar="PATTERN", help="Keep nodes in fp32 whose address matches this.")
@click.option("--io-types", multiple=True, metavar="[NAME=]TYPE", help="fp32, fp16, bf16 or keep: inputs and outputs.")
@click.option("--calibration", type=_FILE, multiple=True, metavar="FILE", help="An .npz of inputs, to judge fp16 by.")
@click.option("--decisions", type=_FILE, metavar="FILE", help="Obey this decision file, or write it if there is none.")
@click.option("--timing-cache", type=_FILE, metavar="FILE", help="Measured tactics: read, and written after the build.")
@click.option("--version-compatible", is_flag=True, help="An engine for later TensorRT versions too.")
@click.option("--hardware-compatible", is_flag=True, help="An engine for all GPUs from Ampere on.")
@click.option("--refittable", is_flag=True, help="An engine whose weights can be replaced.")
@click.option("--strip-weights", is_flag=True, help="An engine without weights: trtconv.refit_engine puts them in.")
@click.option("--embed-plugins", is_flag=True, help="Put the plugin library into the engine, which is then "
              "version-compatible.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would become of each node, and build nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Name every node, and show TensorRT's messages.")
@_quiet_option
@_common_options
def build(
    model: Path,
    output: Path | None,
    shapes: tuple[str, ...],
    backend: Any,
    gpu_arch: str | None,
    workspace: str | None,
    opt_level: int | None,
    tf32: bool | None,
    ops: Any,
    keep_native: tuple[str, ...],
    io_types: tuple[str, ...],
    dry_run: bool,
    verbose: bool,
    quiet: bool,
    as_json: bool,
    debug: bool,
    **options: Any,
) -> None:
    """Build a TensorRT engine from an ONNX MODEL.

    The engine's manifest (versions, plugins, shapes, what became of each node) is written beside it.

    \b
    Example:
      trtconv build model.onnx -o model.engine --shape x=1x3x256x256:1x3x720x1280:4x3x1080x1920
    """
    from trtconv import convert
    from trtconv.config import BuildConfig, parse_profiles, parse_size
    from trtconv.precision import parse_io_types

    config = BuildConfig(
        output=output,
        profiles=parse_profiles(None if item == _NEXT_PROFILE else item for item in shapes),
        backend=backend,
        gpu_arch=gpu_arch,
        workspace_bytes=None if workspace is None else parse_size(workspace),
        opt_level=opt_level,
        tf32=tf32,
        ops=ops,
        keep_native=keep_native,
        io_types=parse_io_types(io_types),
        **options,
    )
    if dry_run:
        _print(convert.dry_run(model, config), as_json, quiet=quiet, verbose=verbose)
        return
    with _progress(quiet=as_json or quiet, plain=verbose) as progress:
        report = convert.build(model, config, progress=progress, log=_log if verbose else None)
    _print(report, as_json, quiet=quiet, verbose=verbose)


@cli.command()
@click.argument("model", type=_FILE)
@click.option("-o", "--output", type=_FILE, required=True, help="File of the rewritten model.")
@_keep_native_option
@click.option("-v", "--verbose", is_flag=True, help="Name every node.")
@_quiet_option
@_common_options
def rewrite(
    model: Path,
    output: Path,
    keep_native: tuple[str, ...],
    verbose: bool,
    quiet: bool,
    as_json: bool,
    debug: bool,
) -> None:
    """Rewrite a MODEL for the plugins, without a build.

    The result still runs in ONNX Runtime: it carries an ONNX function for each custom op.

    \b
    Example:
      trtconv rewrite model.onnx -o rewritten.onnx
    """
    from trtconv import convert

    _print(convert.rewrite(model, output, keep_native=keep_native), as_json, quiet=quiet, verbose=verbose)


@cli.command()
@click.option("--path", "path_only", is_flag=True, help="Print the library's path alone.")
@_common_options
def plugins(path_only: bool, as_json: bool, debug: bool) -> None:
    """Show where the plugin library is.

    trtexec, polygraphy, Triton and C++ programs load it by its path.

    \b
    Example:
      trtexec --onnx=rewritten.onnx --dynamicPlugins=$(trtconv plugins --path)
    """
    from trtconv import plugin_library

    library = plugin_library.find()
    if path_only and not as_json:
        click.echo(library.path)
    else:
        _print(library, as_json)


@cli.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE")
@click.option("--diff", is_flag=True, help="Hold two models, or two engines, against each other.")
@click.option("--backend", type=click.Choice(["auto", "tensorrt", "tensorrt-rtx"]), default="auto", show_default=True,
              help="Whose parser checks a model's ops.")  # fmt: skip
@_keep_native_option
@_common_options
def inspect(
    files: tuple[Path, ...], diff: bool, backend: Any, keep_native: tuple[str, ...], as_json: bool, debug: bool
) -> None:
    """Show what is in a model or an engine.

    Of a model: what would become of each InstanceNormalization and Pad, and why. Of an engine: what it needs, and its
    layers where a GPU is at hand. It writes nothing.

    \b
    Example:
      trtconv inspect model.onnx
    """
    from trtconv import inspection, tables

    report = inspection.inspect_files(files, compare=diff, keep_native=keep_native, backend=backend)
    _print(report, as_json, **tables.style_for(sys.stdout))


@cli.command()
@_common_options
def doctor(as_json: bool, debug: bool) -> int:
    """Show what is installed and what is missing.

    Exit code 4 means that nothing here can build an engine.

    \b
    Example:
      trtconv doctor
    """
    from trtconv import doctor, tables

    diagnosis = doctor.examine()
    _print(diagnosis, as_json, **tables.style_for(sys.stdout))
    return diagnosis.exit_code


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and end the process with the exit code that docs/guide.md documents."""
    args = sys.argv[1:] if args is None else args
    signal.signal(signal.SIGTERM, _interrupt)
    _open_standard_streams()
    if not args:
        click.echo(cli.get_help(click.Context(cli, info_name=PROGRAM, **cli.context_settings)), err=True)
        sys.exit(ConfigError.exit_code)
    try:
        exit_code = cli.main(args=args, prog_name=PROGRAM, standalone_mode=False) or 0
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # click exits by itself where nobody reads its help
        _leave(0)
    except click.UsageError as error:
        hint = f"run: {error.ctx.command_path} --help" if error.ctx else None
        _fail(ConfigError(error.format_message().rstrip("."), hint=hint), args, error)
    except (KeyboardInterrupt, click.Abort):
        _fail(Interrupted("interrupted"), args)
    except TrtconvError as error:
        _fail(error, args)
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        _fail(_DefectError(what, where="a defect of trtconv", hint="run again with --debug and report it"), args, error)
    try:
        sys.stderr.flush()
    except OSError:  # a full or closed standard error: Python would end with 120
        _leave(exit_code)
    sys.exit(exit_code)


def _fail(error: TrtconvError, args: list[str], cause: Exception | None = None) -> NoReturn:
    """Print an error in the documented form and end the process."""
    from trtconv.report import printable

    lines = [f"error: {printable(str(error))}"]
    if "--debug" in args:
        lines[:0] = ["".join(traceback.format_exception(cause or error)).rstrip()]
    if error.hint:
        lines.append(f"hint: {printable(error.hint)}")
    document = {"error": {"what": error.what, "where": error.where, "hint": error.hint, "exit_code": error.exit_code}}
    try:
        print(*lines, sep="\n", file=sys.stderr, flush=True)
        if "--json" in args:
            print(json.dumps(document, indent=2))
        sys.stdout.flush()
    except OSError:
        _leave(error.exit_code)
    if isinstance(error, Interrupted):
        _leave(error.exit_code)
    sys.exit(error.exit_code)


def _leave(exit_code: int) -> NoReturn:
    """End the process at once: an abandoned build, or a stream that cannot be written, must not hold it up."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(exit_code)


def _open_standard_streams() -> None:
    """Give standard output to reports alone: native libraries that print there (onnx's checker does) go to stderr."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: without this the next opened file would stand in its place
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115
    with contextlib.suppress(OSError, AttributeError, ValueError):  # no real files, as in a test
        sys.stdout.flush()
        report_stream = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding=sys.stdout.encoding, errors="replace")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        sys.stdout = report_stream


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _print(report: Any, as_json: bool, quiet: bool = False, **options: Any) -> None:
    if quiet and not as_json:
        return
    text = json.dumps(report.to_json(), indent=2) if as_json else report.render(**options)
    try:
        click.echo(text)
    except BrokenPipeError:
        _leave(0)  # nobody reads the report, but the work is done
    except OSError as error:
        raise BackendError(f"standard output cannot be written: {error.strerror}") from error


def _log(message: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it: no reason to stop a build
        click.echo(message, err=True)


@contextlib.contextmanager
def _progress(quiet: bool, plain: bool) -> Iterator[Progress]:
    from trtconv.progress import BarProgress, NoProgress, PlainProgress

    if quiet:
        yield NoProgress()
    elif plain or not sys.stderr.isatty():
        yield PlainProgress(sys.stderr)
    else:
        with BarProgress(sys.stderr) as bars:
            yield bars
