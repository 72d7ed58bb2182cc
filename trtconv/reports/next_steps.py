"""The command lines that reports end with: what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

_PROGRAM = "trtconv"
_WITH_PLUGINS = f"--dynamicPlugins=$({_PROGRAM} plugins --path)"
USE_OF_PLUGINS = f"trtexec --onnx=rewritten.onnx {_WITH_PLUGINS}"


def after_build(model: Path, engine: Path, *, runs_here: bool, is_verified: bool) -> str:
    """Return the line that checks a new engine, that runs one which was verified, or shows one for another machine."""
    if not runs_here:
        return shlex.join([_PROGRAM, "inspect", str(engine)])
    if is_verified:
        return run_line(engine)
    return shlex.join([_PROGRAM, "compare", str(model), str(engine)])


def after_rewrite(model: Path, rewritten: Path, *, has_functions: bool) -> str:
    """Return the line that checks a rewritten model; without functions only an engine of it can be run."""
    if has_functions:
        return shlex.join([_PROGRAM, "compare", str(model), str(rewritten)])
    return f"trtexec {shlex.quote(f'--onnx={rewritten}')} {_WITH_PLUGINS}"


def after_dry_run(words: Sequence[str], missing_shapes: Sequence[str]) -> str:
    """Return the command line of a dry run, whose `words` begin with the command, as that of the whole build."""
    command, *rest = (word for word in words if word != "--dry-run")
    shapes = [word for shape in missing_shapes for word in ("--shape", shape)]
    return shlex.join([_PROGRAM, command, *_before_files(rest, shapes)])


def after_inspection_of_model(model: str | Path, missing_shapes: Sequence[str]) -> str:
    """Return the line that builds an engine of a model."""
    shapes = (word for shape in missing_shapes for word in ("--shape", shape))
    return shlex.join([_PROGRAM, "build", str(model), *shapes])


def run_line(engine: str | Path) -> str:
    """Return the line that runs an engine."""
    return shlex.join([_PROGRAM, "run", str(engine), "INPUT", "-o", "OUTPUT"])


def _before_files(rest: Sequence[str], options: Sequence[str]) -> list[str]:
    """Add options at the end, or before a "--", behind which all words are files."""
    end = rest.index("--") if "--" in rest else len(rest)
    return [*rest[:end], *options, *rest[end:]]
