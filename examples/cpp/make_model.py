"""Write the model that parsed.cpp reads: pad, norm and relu in ONNX's own operators, rewritten for the plugins.

python make_model.py rewritten.onnx
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import trtconv

CHANNELS = 3


def make_model() -> onnx.ModelProto:
    """Return y = relu(instance_norm(reflect_pad(x))), with the numbers of example.h."""
    channel = np.arange(CHANNELS, dtype=np.float32)
    constants = {"pads": np.array([0, 0, 1, 2, 0, 0, 3, 4]), "scale": channel + 1, "bias": channel / 4}
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["padded"], name="pad", mode="reflect"),
        helper.make_node("InstanceNormalization", ["padded", "scale", "bias"], ["normed"], name="norm", epsilon=1e-5),
        helper.make_node("Relu", ["normed"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "pad_norm_relu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, CHANNELS, 17, 23])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, CHANNELS, 21, 29])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main() -> None:
    """Write the model, and rewrite it without functions, as parsers before TensorRT 10.7 need it."""
    with tempfile.TemporaryDirectory() as folder:
        original = Path(folder, "model.onnx")
        onnx.save(make_model(), original)
        trtconv.rewrite(original, sys.argv[1], ops="plugin", functions=False)


if __name__ == "__main__":
    main()
