"""An option of trtexec or polygraphy is answered with what it is called here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.command_line import run_here
from trtconv.cli import foreign_options
from trtconv.cli.program import cli

ASKED = {
    "--fp16": "use --precision fp16",
    "--onnx=model.onnx": "the model as the first argument",
    "--saveEngine=model.engine": "use -o model.engine",
    "--minShapes=x:1x3x8x8": "--shape NAME=MIN:OPT:MAX",
    "--trt-max-shapes": "--shape NAME=MIN:OPT:MAX",
    "--memPoolSize=workspace:1024": "use --workspace",
    "--stronglyTyped": "leave it out: networks are always strongly typed",
    "--excludeLeanRuntime": "use --exclude-lean-runtime",
    "--int8": "Q/DQ",
    "--useDLACore=0": "leave it out: trtconv builds for GPUs, not for DLA",
    "--save-timing-cache=t": "use --timing-cache FILE",
    "--fp16-mode": "use --precision fp16",
    "--max-workspace-size=1": "use --workspace",
    "--loadInputs=x:x.bin": "use trtconv run",
    "--useCudaGraph": "use trtconv bench",
}


@pytest.mark.parametrize("option", ASKED)
def test_the_hint_names_our_option(tmp_path: Path, option: str) -> None:
    result = run_here("build", "model.onnx", option, cwd=tmp_path)
    assert result.exit_code == 2
    assert option.split("=")[0] in result.error
    assert "Did you mean" not in result.error
    assert ASKED[option] in result.hint


def test_a_misspelt_option_is_not_taken_for_another(tmp_path: Path) -> None:
    result = run_here("build", "model.onnx", "--shpe", "x=1", cwd=tmp_path)
    assert "--shape" in result.error
    assert result.hint == "run: trtconv build --help"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("convert", "model.onnx"), "run: trtconv build MODEL"),
        (("trtexec", "--onnx=model.onnx"), "run: trtconv build MODEL"),
        (("model.onnx",), "run: trtconv build model.onnx"),
        (("benchmark",), "run: trtconv bench MODEL"),
        (("help",), "run: trtconv --help"),
        (("--onnx=model.onnx",), "use the model as the first argument: trtconv build model.onnx"),
        (("compare", "a", "b", "--fp16"), "trtconv build has --precision fp16"),
        (("frobnicate",), "run: trtconv --help"),
    ],
)
def test_commands_of_other_tools(words: tuple[str, ...], hint: str, tmp_path: Path) -> None:
    result = run_here(*words, cwd=tmp_path)
    assert (result.exit_code, result.hint) == (2, hint)


def test_every_hint_names_what_there_is() -> None:
    """An option that a hint names exists in `trtconv build` or in the command that it names."""
    params = [param for command in cli.commands.values() for param in command.params]
    known = {"--help"} | {option for param in params for option in (*param.opts, *param.secondary_opts)}
    for hint in (*foreign_options._OURS.values(), *(f"trtconv {each}" for each in foreign_options._COMMANDS.values())):
        for name in re.findall(r"trtconv ([a-z]+)", hint):
            assert name in {*cli.commands, "loads", "builds", "does"}, hint
        assert set(re.findall(r"(?<!\w)--[a-z0-9-]+", hint)) <= known, hint
