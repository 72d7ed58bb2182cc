"""Pads that are computed at run time, as plugins on full TensorRT: one engine, several sizes, against ONNX Runtime.

Two networks are made here; two real ones come from the folder that TRTCONV_TEST_CASES names.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from tests.gpu.needs import TENSORRT_ON_GPU
from tests.gpu.test_engines import OPT_LEVEL_VARIABLE, layer_types
from trtconv import BuildConfig, ShapeRange, build
from trtconv.comparison import compare, random_inputs
from trtconv.comparison.tolerance import TOLERANCE

pytestmark = TENSORRT_ON_GPU

CASES_VARIABLE = "TRTCONV_TEST_CASES"
HEADER = '<ir_version: 8, opset_import: ["" : 18]>'
# Both axes are padded to a multiple of 8, then a convolution and a pad of its own follow.
TO_MULTIPLE = """ g (float[N,3,H,W] x) => (float[N,4,P,Q] y)
<float[4,3,3,3] w, int64[1] eight = {8}, int64[2] none = {0, 0}, int64[8] one = {0,0,1,1,0,0,1,1}> {
  sides = Shape <start = 2> (x)
  negative = Neg (sides)
  missing = Mod (negative, eight)
  pads = Concat <axis = 0> (none, none, none, missing)
  padded = Pad <mode = "reflect"> (x, pads)
  again = Pad <mode = "reflect"> (padded, one)
  y = Conv (again, w)
}"""
# A third of each side before and after, given for some axes only, in another order.
WITH_AXES = """ g (float[N,3,H,W] x) => (float[N,4,P,Q] y)
<float[4,3,3,3] w, int64[1] three = {3}, int64[2] axes = {-1, 2}, int64[2] turned = {1, 0}> {
  sides = Shape <start = 2> (x)
  thirds = Div (sides, three)
  given = Gather (thirds, turned)
  pads = Concat <axis = 0> (given, given)
  m = Relu (x)
  padded = Pad <mode = "reflect"> (m, pads, , axes)
  y = Conv (padded, w)
}"""
RANGE = "1x3x16x16:1x3x48x40:2x3x96x80"
SIZES = [(1, 3, 16, 16), (2, 3, 37, 61), (1, 3, 64, 40), (2, 3, 96, 80)]  # the third has nothing to pad
# File, input's range, sizes to run, number of pads.
REAL = {
    "pad_to_multiple__leg17d": ("1x3x20x20:1x3x48x48:1x3x96x96", [(1, 3, 30, 29), (1, 3, 64, 61)], 1),
    "encodec_seanet_weightnorm__dyn18d": ("1x1x640:1x1x2000:1x1x8000", [(1, 1, 1711), (1, 1, 6400)], 18),
}


def write(folder: Path, graph: str) -> Path:
    model = onnx.parser.parse_model(HEADER + graph.replace("float[4,3,3,3] w, ", ""))
    weights = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32) / 5
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def config(output: Path, name: str, given: str, **options: object) -> BuildConfig:
    level = os.environ.get(OPT_LEVEL_VARIABLE)
    return BuildConfig(
        output=output,
        profiles=[{name: ShapeRange.parse(given)}],
        backend="tensorrt",
        opt_level=None if level is None else int(level),
        **{"ops": "plugin", **options},  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(("graph", "num_pads"), [(TO_MULTIPLE, 2), (WITH_AXES, 1)], ids=["to_multiple", "with_axes"])
@pytest.mark.parametrize("precision", [None, "fp16", "bf16"])
def test_one_engine_pads_every_size(graph: str, num_pads: int, precision: str | None, tmp_path: Path) -> None:
    model = write(tmp_path, graph)
    options = {"tf32": False} if precision is None else {"precision": precision}
    report = build(model, config(tmp_path / "model.engine", "x", RANGE, **options))
    assert report.rewrite.num_rewritten == num_pads
    assert "trtconv::DynamicReflectPad" in {decision.became for decision in report.rewrite.decisions}
    assert layer_types(report.engine).count("PluginV3") == num_pads
    for dims in SIZES:
        feeds = random_inputs(model, {"x": dims}, num_sets=1)
        result = compare(model, report.engine, feeds, TOLERANCE[precision or "fp32"])
        assert result.passed, f"{dims}: {result.render()}"


@pytest.mark.parametrize("name", REAL)
def test_real_networks(name: str, tmp_path: Path) -> None:
    model = Path(os.environ.get(CASES_VARIABLE, "")) / "zoo" / "models" / f"{name}.onnx"
    if not model.is_file():
        pytest.skip(f"{CASES_VARIABLE} names no folder with {name}.onnx")
    given, sizes, num_pads = REAL[name]
    x = onnx.load(model).graph.input[0].name
    report = build(model, config(tmp_path / "model.engine", x, given, tf32=False))
    assert [decision.became for decision in report.rewrite.decisions] == ["trtconv::DynamicReflectPad"] * num_pads
    for dims in sizes:
        result = compare(model, report.engine, random_inputs(model, {x: dims}, num_sets=1), TOLERANCE["fp32"])
        assert result.passed, f"{dims}: {result.render()}"


def test_sizes_that_the_profile_fixes_need_no_run_time_pads(tmp_path: Path) -> None:
    model = write(tmp_path, TO_MULTIPLE)
    report = build(model, config(tmp_path / "model.engine", "x", "1x3x30x29", tf32=False))
    assert {decision.became for decision in report.rewrite.decisions} == {"trtconv::ReflectPad"}
    result = compare(model, report.engine, random_inputs(model, {"x": (1, 3, 30, 29)}, num_sets=1), TOLERANCE["fp32"])
    assert result.passed, result.render()
