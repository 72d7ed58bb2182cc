"""The first line of a report: what counts as a norm, a pad or a convolution, and as what became of it."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.parser
import pytest

import trtconv
from trtconv.decisions import REWRITTEN, Decision
from trtconv.reports.outcomes import describe_outcome

NORM, PAD = "trtconv::InstanceNorm", "trtconv::ReflectPad"
CHOSEN = {"predicted_us": {"native": 1.0}}


@pytest.mark.parametrize(
    ("decisions", "told"),
    [
        ([], ""),
        ([Decision("a", "InstanceNormalization", NORM)], "1 of 1 norms and pads become plugins"),
        (
            [Decision("a", "Pad(reflect)", PAD), Decision("b", "written-out norm", None, "TensorRT runs it")],
            "1 of 2 norms and pads become plugins",
        ),
        ([Decision(name, "LayerNormalization", None) for name in "ab"], "2 norms and pads stay native"),
        (  # the Add is the group norm's last node, and the norm itself a part of it
            [Decision("n", "InstanceNormalization", NORM, "4 groups, part of /add"), Decision("/add", "Add", NORM)],
            "1 of 1 norms and pads become plugins",
        ),
        ([Decision("relu", "Relu", NORM, "activation relu, fused into n")], ""),
        (
            [Decision("c", "Conv", REWRITTEN), Decision("d", "ConvTranspose", None, "slower", CHOSEN)],
            "1 of 2 convolutions are rewritten",
        ),
        ([Decision("c", "Conv", None, "its 1 output channels take no less work with other strides")], ""),
        ([Decision("p", PAD, PAD, "the model was rewritten before")], "1 plugin was in the model before"),
    ],
)
def test_what_is_counted(decisions: list[Decision], told: str) -> None:
    assert describe_outcome(decisions) == told


TWO_NORMS = """<ir_version: 8, opset_import: ["": 17]> g (float[1,3,8,8] x) => (float[1,3,8,8] y)
    <float[3] s = {1, 2, 3}, float eps = {1e-5}> {
    i = InstanceNormalization (x, s, s)
    m = ReduceMean <axes = [2, 3]> (i)  d = Sub (i, m)  q = Mul (d, d)  v = ReduceMean <axes = [2, 3]> (q)
    e = Add (v, eps)  r = Sqrt (e)  y = Div (d, r) }"""


@pytest.mark.parametrize(("ops", "count"), [("plugin", "1 of 2"), ("fused", "2 of 2")])
def test_a_written_out_norm_that_stays_native_counts(tmp_path: Path, ops: str, count: str) -> None:
    onnx.save(onnx.parser.parse_model(TWO_NORMS), tmp_path / "m.onnx")
    report = trtconv.dry_run(tmp_path / "m.onnx", ops=ops, backend="tensorrt")
    assert report.render().splitlines()[0].endswith(f": {count} norms and pads become plugins")
