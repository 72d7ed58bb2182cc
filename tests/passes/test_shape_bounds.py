"""Slices and Gathers of a Shape whose bounds are no integers: no dimensions are read from them."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.parser
import pytest

from trtconv import BuildConfig, TrtconvError, dry_run

_TEXT = """
<ir_version: 8, opset_import: ["" : {opset}]>
g (float[1,3,16,16] x) => (float[N,C,H,W] y) {{
    shape = Shape(x)
    {part}
    pads = Cast<to: int = 7>(found)
    y = Pad<mode: string = "reflect">(x, pads)
}}
"""
_PARTS = {
    "a text as end": (17, "a = Constant<value_ints: ints = [0]>() b = Constant<pad_mode: string = \"reflect\">() "
                      "c = Constant<value_ints: ints = [0]>() found = Slice(shape, a, b, c)"),
    "texts as ends": (17, "a = Constant<value_ints: ints = [0]>() b = Constant<value_strings: strings = [\"b\"]>() "
                      "c = Constant<value_ints: ints = [0]>() found = Slice(shape, a, b, c)"),
    "an infinite start": (17, "a = Constant<value_floats: floats = [3e38]>() b = Constant<value_ints: ints = [2]>() "
                          "found = Slice(shape, a, b)"),
    "texts as attributes": (9, "found = Slice<starts: strings = [\"a\"], ends: strings = [\"b\"]>(shape)"),
    "a fraction as index": (17, "a = Constant<value_float: float = 0.5>() found = Gather(shape, a)"),
    "a text as index": (17, "a = Constant<value_string: string = \"0\">() found = Gather(shape, a)"),
}  # fmt: skip


@pytest.mark.parametrize("part", _PARTS)
def test_bounds_that_are_no_integers(part: str, tmp_path: Path) -> None:
    opset, text = _PARTS[part]
    path = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(_TEXT.format(opset=opset, part=text)), path)
    try:
        report = dry_run(path, BuildConfig(backend="tensorrt"))
    except TrtconvError:
        return
    assert [decision.became for decision in report.decisions if decision.op.startswith("Pad")] == [None]
