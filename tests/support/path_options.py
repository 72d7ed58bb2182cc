"""Where the command line takes a path: each argument and option, what it does with the file, and a command that has it.

`PATH_OPTIONS` must name all that click knows, so that one that is added is attacked like the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from tests.support.command_line import write_model
from trtconv.cli.program import cli


@dataclass(frozen=True)
class PathOption:
    """A path of a command: the words that it takes beside its own, and the suffix that the file's name needs.

    A file that is read and written is one that the next run finds: a decision file, a timing cache.
    """

    is_read: bool = False
    is_written: bool = False
    words: tuple[str, ...] = ()
    suffix: str = ""


_MODEL, _ARRAYS = PathOption(is_read=True, suffix=".onnx"), PathOption(is_read=True, suffix=".npz")
_ANY = PathOption(is_written=True)
_FP16 = ("--precision", "fp16")

# By the words before them, and the parameter's name.
PATH_OPTIONS: dict[tuple[str, str], PathOption] = {
    ("build", "model"): _MODEL,
    ("build", "output"): _ANY,
    ("build", "calibration"): PathOption(is_read=True, words=_FP16, suffix=".npz"),
    ("build", "decisions"): PathOption(is_read=True, is_written=True),
    ("build", "timing_cache"): PathOption(is_read=True, is_written=True),
    ("build", "report"): _ANY,
    ("compare", "reference"): _MODEL,
    ("compare", "candidate"): _MODEL,
    ("compare", "inputs"): _ARRAYS,
    ("compare", "plot"): PathOption(is_written=True, suffix=".png"),
    ("compare", "save_inputs"): PathOption(is_written=True, suffix=".npz"),
    ("compare", "save_outputs"): PathOption(is_written=True, suffix=".npz"),
    ("reduce", "model"): _MODEL,
    ("reduce", "output"): PathOption(is_written=True, suffix=".onnx"),
    ("reduce", "inputs"): _ARRAYS,
    ("run", "model"): _MODEL,
    ("run", "inputs"): _ARRAYS,
    ("run", "output"): PathOption(is_written=True, suffix=".npz"),
    ("bench", "model"): _MODEL,
    ("bench", "decisions"): PathOption(is_read=True),
    ("bench", "timing_cache"): PathOption(is_read=True, is_written=True),
    ("bench", "plot"): PathOption(is_written=True, suffix=".png"),
    ("bench", "out"): _ANY,
    ("rewrite", "model"): _MODEL,
    ("rewrite", "output"): _ANY,
    ("inspect", "files"): _MODEL,
    ("inspect", "html"): _ANY,
}
READ = [key for key, option in PATH_OPTIONS.items() if option.is_read]
WRITTEN = [key for key, option in PATH_OPTIONS.items() if option.is_written]
_NEEDED = {"rewrite": "output", "reduce": "output"}  # options without which a command does not begin


def path_params() -> Iterator[tuple[str, click.Parameter]]:
    """Yield each parameter of the command line that is a path, with its command."""
    for name, command in cli.commands.items():
        for param in command.params:
            if isinstance(param.type, (click.Path, click.File)):
                yield name, param


def command_line(command: str, paths: dict[str, str]) -> list[str]:
    """Return a command with these paths by the names of their parameters; arguments that are left out get a file."""
    paths = dict(paths)
    if (needed := _NEEDED.get(command)) is not None:
        paths.setdefault(needed, f"new{PATH_OPTIONS[command, needed].suffix}")
    words = [command]
    for _, param in ((name, param) for name, param in path_params() if name == command):
        name = str(param.name)
        if isinstance(param, click.Argument):
            words.append(paths.get(name, f"static{PATH_OPTIONS[command, name].suffix}"))
        elif name in paths:
            words += [*PATH_OPTIONS[command, name].words, param.opts[-1], paths[name]]
    return words


def write_usual_files(folder: Path) -> None:
    """Write the files that `command_line` names by itself."""
    write_model(folder, "static")
    np.savez(folder / "static.npz", x=np.ones((1, 3, 8, 8), np.float32))
    (folder / "static").write_text('{"format": 1, "decisions": []}')
