"""Constants of a strange type, rank or value in the place of sizes, indices and bounds: nothing matches or crashes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.parser
import onnx_graphsurgeon as gs
import pytest
from onnx import numpy_helper

from trtconv.config import BuildConfig
from trtconv.dry_running import dry_run
from trtconv.ops.custom_op import DOMAIN
from trtconv.ops.reflect_pad import REFLECT_PAD
from trtconv.passes.base import PassContext
from trtconv.passes.complete_shapes import complete_shapes

# What computes the sizes of a nearest upsampling behind a norm, out of `sh`, the shape of its input.
COMPUTED = {
    "Slice": "nc = Slice (sh, odd, two)",
    "Slice by a step": "nc = Slice (sh, zero, two, zero, odd)",
    "Gather": "nc = Gather (sh, odd)",
}
ODD = {
    "two axes": np.array([[0]], np.int64),
    "no elements": np.array([], np.int64),
    "beyond the end": np.array([4], np.int64),
    "a float": np.array([np.nan], np.float32),
    "infinite": np.array([np.inf], np.float32),
    "a text": np.array([b"z"], object),
}


@pytest.mark.parametrize("ops", ["fused", "rewritten"])
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("computed", COMPUTED)
def test_sizes_of_a_strange_constant(computed: str, odd: str, ops: str, tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[N,3,4,5] x, float[3] s) => (float[N,3,h,w] y) '
        "<int64[1] zero = {0}, int64[1] two = {2}, int64[2] hw = {8, 10}> { n = InstanceNormalization (x, s, s) "
        f"a = Relu (n) sh = Shape (a) {COMPUTED[computed]} sizes = Concat <axis = 0> (nc, hw) "
        'y = Resize <coordinate_transformation_mode="asymmetric", nearest_mode="floor"> (a, , , sizes) }'
    )
    model.graph.initializer.append(numpy_helper.from_array(ODD[odd], "odd"))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    report = dry_run(path, BuildConfig(ops=ops, backend="tensorrt"))  # type: ignore[arg-type]
    assert [each.became for each in report.decisions if each.op == "InstanceNormalization"] == ["trtconv::InstanceNorm"]


def test_a_plugin_node_that_does_not_fit_its_input_has_no_shape(tmp_path: Path) -> None:
    x, y = gs.Variable("x", np.float32, [1, 4, 8, 8]), gs.Variable("y")
    attributes = REFLECT_PAD.complete({"pads": [0, 2, 0, 2]})
    graph = gs.Graph([gs.Node(REFLECT_PAD.name, "", attributes, [x], [y], domain=DOMAIN)], [x], [y])
    complete_shapes(graph, PassContext(17, tmp_path))
    assert y.shape is None
