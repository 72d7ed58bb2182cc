"""A small network with both operators and a residual, and wrong ones of the same names."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.parser

_TEXT = """<ir_version: 8, opset_import: ["" : 17]>
g (float[{batch},2,12,16] x) => (float[{batch},2,A,B] y, float[{batch},2,A,B] z)
<float[2] s = {{1, 2}}, float[2] b = {{3, -4}}, int64[8] pads = {{{pads}}}, float half = {{0.5}}> {{
  ["/in"] a = Mul(x, x)
  ["/norm"] n = InstanceNormalization <epsilon = {epsilon}> (a, {parameters})
  ["/relu"] r = Relu(n)
  ["/pad"] p = Pad <mode = "reflect"> (r, pads)
  ["/out"] y = Mul(p, half)
  ["/neg"] z = Neg(y)
}}"""


def write_network(
    path: Path,
    *,
    batch: str = "1",
    parameters: str = "s, b",
    pads: str = "0,0,1,2,0,0,3,4",
    epsilon: str = "0.00001",
) -> Path:
    """Write the network, or one in which something is wrong."""
    text = _TEXT.format(batch=batch, parameters=parameters, pads=pads, epsilon=epsilon)
    onnx.save(onnx.parser.parse_model(text), path)
    return path
