"""An option of trtexec or polygraphy is answered with what it is called here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import run_here

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
