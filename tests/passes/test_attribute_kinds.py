"""Attributes that are tensors where a number or a text belongs are refused, so that the passes can compare them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from trtconv import BuildConfig, dry_run
from trtconv.errors import ModelError

NORM = "s = Constant<value_floats: floats = [1.0, 1.0]>() a = InstanceNormalization(x, s, s)"
GRAPHS = {
    "Pad": (9, "value", f"{NORM} y = Pad<pads: ints = [0,0,1,1,0,0,1,1]>(a)"),
    "Resize": (18, "keep_aspect_ratio_policy", f"{NORM} sizes = Constant<value_ints: ints = [1,2,16,16]>() "
               "y = Resize<mode: string = \"nearest\">(a, , , sizes)"),
    "Conv": (17, "kernel_shape", "w = Constant<value_floats: floats = [1.0,1.0,1.0,1.0]>() "
             "f = Constant<value_ints: ints = [2,2,1,1]>() v = Reshape(w, f) b = Conv(x, v) "
             "s = Constant<value_floats: floats = [1.0, 1.0]>() y = InstanceNormalization(b, s, s)"),
    "Gather": (17, "axis", "d = Shape(x) i = Constant<value_ints: ints = [0]>() g = Gather(d, i) "
               "z = Constant<value_ints: ints = [0,0,1,0,0,0,1]>() p = Concat<axis: int = 0>(g, z) y = "
               "Pad<mode: string = \"reflect\">(x, p)"),
    "BatchNormalization": (17, "training_mode", "s = Constant<value_floats: floats = [1.0, 1.0]>() "
                           "y = BatchNormalization(x, s, s, s, s)"),
}  # fmt: skip


@pytest.mark.parametrize("op", GRAPHS)
def test_a_tensor_as_attribute(op: str, tmp_path: Path) -> None:
    opset, name, text = GRAPHS[op]
    head = f'<ir_version: 8, opset_import: ["": {opset}]> g (float[1,2,8,8] x) => (float[N,C,H,W] y)'
    if opset < 12:
        text = text.replace("Constant<value_floats: floats = [1.0, 1.0]>()", "Constant<value = float[2] {1, 1}>()")
    model = onnx.parser.parse_model(f"{head} {{ {text} }}")
    node = next(node for node in model.graph.node if node.op_type == op)
    kept = [each for each in node.attribute if each.name != name]
    node.ClearField("attribute")
    node.attribute.extend(kept)
    tensor = onnx.helper.make_attribute(name, numpy_helper.from_array(np.zeros(1, np.float32)))
    node.attribute.append(tensor)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    with pytest.raises(ModelError, match=f"attribute {name} of .* is of kind tensor"):
        dry_run(path, BuildConfig(backend="tensorrt", ops="rewritten"))
