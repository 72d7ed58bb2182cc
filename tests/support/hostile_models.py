"""Small models to damage, and how they are read."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.parser
from onnx import NodeProto, helper

from trtconv.model import model_io

MODEL = onnx.parser.parse_model("""
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[1,2,6,6] x) => (float[1,2,8,8] y) <float[2] s = {1, 2}, int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1}> {
      a = InstanceNormalization (x, s, s)
      y = Pad <mode = "reflect"> (a, pads)
    }""")


def parse(graph: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {graph}')


def load(model: onnx.ModelProto, folder: Path) -> model_io.Model:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return model_io.load(path)


def add_node(model: onnx.ModelProto, *args: object, **attributes: object) -> NodeProto:
    model.graph.node.append(helper.make_node(*args, **attributes))
    return model.graph.node[-1]
