"""Sizes that a model of a few bytes states cost the passes no memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import onnx.parser
import pytest

from trtconv.config import BuildConfig
from trtconv.dry_running import dry_run

STATED_SIZES = {  # what a pass would write one value each for
    "groups of channels": (17, """g (float[2,2147483648,3,5] x) => (float y)
        <float[2] s = {1,1}, float[2] b = {0,0}, int64[3] g = {0,2,-1}>
        { r = Reshape (x, g)  n = InstanceNormalization (r, s, b)  h = Shape (x)  y = Reshape (n, h) }"""),
    "GroupNormalization": (18, """g (float[2,2147483648,3,5] x) => (float y) <float[2] s = {1,1}, float[2] b = {0,0}>
        { y = GroupNormalization <num_groups = 2> (x, s, b) }"""),
    "channels": (17, """g (float[2,2147483648,3,5] x) => (float y) <float e = {1}>
        { m = ReduceMean <axes = [2, 3]> (x)  d = Sub (x, m)  q = Mul (d, d)  v = ReduceMean <axes = [2, 3]> (q)
          a = Add (v, e)  r = Sqrt (a)  y = Div (d, r) }"""),
    "images": (17, """g (float[2147483648,2,3,5] x, float[2147483648,2,1,1] f) => (float y)
        <float[2] s = {1,1}, float[2] b = {0,0}> { n = InstanceNormalization (x, s, b)  y = Mul (n, f) }"""),
}  # fmt: skip


@pytest.mark.parametrize("name", STATED_SIZES)
def test_stated_sizes_cost_no_memory(name: str, tmp_path: Path) -> None:
    opset, text = STATED_SIZES[name]
    path = tmp_path / "model.onnx"
    path.write_bytes(
        onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {text}').SerializeToString()
    )
    tracemalloc.start()
    try:
        report = dry_run(path, BuildConfig(ops="fused", backend="tensorrt"))
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()
    reasons = " ".join(each.reason for each in report.decisions)
    assert name == "images" or "2147483648 channels, more than 1048576" in reasons
