"""Norms and pads with what was fused into them, in a change of precision: each is one node."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.passes.test_fuse_neighbours import chains
from tests.support.equivalence import rewrite, run_onnxruntime, seeded_inputs
from trtconv.config import Ops
from trtconv.model import plugin_nodes
from trtconv.ops.custom_op import Operand
from trtconv.precision import Conversion, PrecisionOptions, convert_precision

# The last bit of fp16 is 2^-11 of a value; a result is rounded a few times on its way.
RELATIVE_ERROR = 2.0**-7


def convert(
    model: onnx.ModelProto, folder: Path, precision: str = "fp16", *, ops: Ops = "fused", joins_casts: bool = False
) -> tuple[onnx.ModelProto, Conversion]:
    fused = rewrite(model, folder, ops=ops).proto
    feeds = [seeded_inputs(model, seed=seed) for seed in (0, 1)]
    options = PrecisionOptions(precision)  # type: ignore[arg-type]
    return fused, convert_precision(fused, folder / "model.onnx", options, feeds, joins_casts=joins_casts)


def attribute(node: onnx.NodeProto, name: str) -> object:
    return next(helper.get_attribute_value(each) for each in node.attribute if each.name == name)


RESIDUAL_BLOCK = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,8,8] x, float[4,3,3,3] w, float[4,4,3,3] v) => (float[1,4,8,8] y)
  <float[4] s = {1, 2, 3, 1}, float[4] b = {0, 1, -1, 2}, float[4,1,1] p = {0.1, 0.2, 0, 1}> {
  c = Conv <pads = [1, 1, 1, 1]> (x, w)
  m = InstanceNormalization (c, s, b)
  a = PRelu (m, p)
  d = Conv <pads = [1, 1, 1, 1]> (a, v)
  n = InstanceNormalization (d, s, b)
  e = Add (n, a)
  y = Relu (e)
}
"""


SCALE_OF_EACH_IMAGE = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[2,4,8,8] x, float[2,4,1,1] s) => (float[2,4,8,8] y)
  <float[4] b = {1, 2, 3, 1}, float tiny = {0.0000001}, float[4,4,1,1] w = {1,2,3,4, 4,3,2,1, 2,1,2,1, 1,2,1,2}> {
  c = Conv (x, w)
  k = Div (s, tiny)
  m = Mul (k, tiny)
  n = InstanceNormalization (c, b, b)
  z = Mul (n, m)
  y = Conv (z, w)
}
"""


def test_a_scale_that_stays_fp32_is_cast_with_its_shape(tmp_path: Path) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(SCALE_OF_EACH_IMAGE))
    fused, conversion = convert(model, tmp_path)
    casts = {node.output[0] for node in conversion.proto.graph.node if node.op_type == "Cast"}
    (call,) = (call for _, call in plugin_nodes.walk_calls(conversion.proto.graph))
    assert call.operand("scale") == Operand(TensorProto.FLOAT16, [2, 4])
    assert {node.input[1] for node in conversion.proto.graph.node if node.domain == "trtconv"} <= casts
    feeds = seeded_inputs(model)
    (expected,), (got,) = run_onnxruntime(fused, feeds), run_onnxruntime(conversion.proto, feeds)
    assert np.abs(got - expected).max() <= RELATIVE_ERROR * np.abs(expected).max()


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_residual_and_slope_have_the_type_of_x(precision: str, tmp_path: Path) -> None:
    model = onnx.parser.parse_model(RESIDUAL_BLOCK)
    fused, conversion = convert(model, tmp_path, precision)
    assert conversion.kept == []
    plugins = [node for node in conversion.proto.graph.node if node.domain == "trtconv"]
    assert [len(node.input) for node in plugins] == [4, 4]
    low = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.BFLOAT16
    calls = [call for _, call in plugin_nodes.walk_calls(conversion.proto.graph)]
    for call in calls:
        assert {operand.dtype for operand in call.operands} <= {low, None}
        assert call.operand("scale").dtype == low
    assert calls[0].operand("slope").dtype == low
    plugin_nodes.require_plugin_operands(conversion.proto.graph, tmp_path)
    if precision == "fp16":
        feeds = seeded_inputs(model)
        (expected,), (got,) = run_onnxruntime(fused, feeds), run_onnxruntime(conversion.proto, feeds)
        assert got.dtype == np.float32
        assert np.abs(got - expected).max() <= RELATIVE_ERROR * np.abs(expected).max()


def test_the_type_that_a_node_gives_follows(tmp_path: Path) -> None:
    """A Cast to float32 that became part of a pad gives float16 where the node behind computes in that."""
    model = onnx.parser.parse_model("""
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[1,4,6,6] x, float[4,4,1,1] w) => (float[1,4,8,8] y) <int64[8] q = {0,0,1,1,0,0,1,1}> {
      h = Cast <to = 10> (x)
      n = Pad <mode = "reflect"> (h, q)
      f = Cast <to = 1> (n)
      y = Conv (f, w)
    }
    """)
    fused, conversion = convert(model, tmp_path)
    before, after = (
        next(node for node in proto.graph.node if node.domain == "trtconv") for proto in (fused, conversion.proto)
    )
    assert (attribute(before, "to"), before.overload) == (TensorProto.FLOAT, "float32")
    assert (attribute(after, "to"), after.overload) == (TensorProto.FLOAT16, "float16")
    assert [each.overload for each in conversion.proto.functions] == ["float16"]
    feeds = seeded_inputs(model)
    (expected,), (got,) = run_onnxruntime(fused, feeds), run_onnxruntime(conversion.proto, feeds)
    assert np.abs(got - expected).max() <= RELATIVE_ERROR * np.abs(expected).max()


def test_a_cast_to_half_stays_where_a_norm_goes_to_half(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[1,4,8,8] x, float[4] s, float[4,4,1,1] w) => (float16[1,4,8,8] y) {
      c = Conv (x, w)
      n = InstanceNormalization (c, s, s)
      y = Cast <to = 10> (n)
    }
    """)
    fused, conversion = convert(model, tmp_path)
    assert [node.op_type for node in fused.graph.node] == ["Conv", "InstanceNorm"]
    norm = next(node for node in conversion.proto.graph.node if node.domain == "trtconv")
    assert attribute(norm, "to") == TensorProto.FLOAT16
    feeds = seeded_inputs(model)
    (expected,), (got,) = run_onnxruntime(fused, feeds), run_onnxruntime(conversion.proto, feeds)
    assert got.dtype == np.float16
    assert np.abs(got.astype(float) - expected.astype(float)).max() <= RELATIVE_ERROR * np.abs(expected).max()


MAPS = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,8,8] x, float[3,3,3,3] w) => (float[1,3,10,10] y)
  <float[1,3,8,8] c, int64[8] q = {0,0,1,1,0,0,1,1}> {
  p = Pad <mode = "reflect"> (x, q)
  c = Conv (p, w)
  y = Pad <mode = "reflect"> (c, q)
}
"""


def test_the_first_and_the_last_map_change_the_type(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(MAPS)
    _, apart = convert(model, tmp_path)
    fused, joined = convert(model, tmp_path, joins_casts=True)
    ops = [node.op_type for node in apart.proto.graph.node]  # w is an input that is cast, too
    assert ops == ["Cast", "Cast", "ReflectPad", "Conv", "ReflectPad", "Cast"]
    nodes = joined.proto.graph.node
    assert [node.op_type for node in nodes] == ["Cast", "ReflectPad", "Conv", "ReflectPad"]
    assert [attribute(node, "to") for node in nodes if node.domain] == [TensorProto.FLOAT16, TensorProto.FLOAT]
    assert [node.overload for node in nodes if node.domain] == ["float16", "float32"]
    onnx.checker.check_model(joined.proto, full_check=True)
    feeds = seeded_inputs(model)
    (expected,), (got,) = run_onnxruntime(fused, feeds), run_onnxruntime(joined.proto, feeds)
    assert np.abs(got - expected).max() <= RELATIVE_ERROR * np.abs(expected).max()


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(chains(), st.booleans())
def test_any_chain_in_half(chain: tuple[onnx.ModelProto, int], joins_casts: bool) -> None:
    model, _ = chain
    with tempfile.TemporaryDirectory() as folder:
        fused, conversion = convert(model, Path(folder), joins_casts=joins_casts)
    feeds = seeded_inputs(model)
    plugin_nodes.require_plugin_operands(conversion.proto.graph, Path())
    for got, expected in zip(run_onnxruntime(conversion.proto, feeds), run_onnxruntime(fused, feeds), strict=True):
        assert got.dtype == expected.dtype
        error = np.abs(got.astype(np.float64) - expected.astype(np.float64)).max()
        assert error <= RELATIVE_ERROR * np.abs(expected.astype(np.float64)).max()


UPSAMPLED = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[1,4,6,5] x) => (float[1,3,12,10] y)
  <float[4] s = {1, 2, 3, 1}, float[4] f = {1, 1, 2, 2}, int64[8] p = {0,0,1,1,0,0,1,1}> {
  u = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (x, , f)
  q = Pad <mode = "reflect"> (u, p)
  c = Conv (q, w)
  n = InstanceNormalization (c, s, s)
  a = Relu (n)
  d = Conv <pads = [1, 1, 1, 1]> (a, t)
  y = Tanh (d)
}
"""


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_phases_and_their_weights_are_converted(precision: str, tmp_path: Path) -> None:
    """The last map writes the fp32 output; the norm that reads phases computes in fp32 itself."""
    model = onnx.parser.parse_model(UPSAMPLED)
    random = np.random.default_rng(3)
    for name, shape in (("w", (4, 4, 3, 3)), ("t", (3, 4, 3, 3))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name))
    rewritten, conversion = convert(model, tmp_path, precision, ops="rewritten", joins_casts=True)
    assert conversion.kept == []
    nodes = conversion.proto.graph.node
    assert [node.op_type for node in nodes] == ["ReflectPad", "Conv", "InstanceNorm", "Conv", "ReflectPad"]
    assert [attribute(nodes[at], "phases") for at in (2, 4)] == [[2, 2], [1, 1, 4, 4]]
    low = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.BFLOAT16
    assert (attribute(nodes[0], "to"), attribute(nodes[4], "to")) == (low, TensorProto.FLOAT)
    weights = [each for each in conversion.proto.graph.initializer if each.name.endswith("weights_of_phases")]
    assert [each.data_type for each in weights] == [low, low]
    if precision == "fp16":  # ONNX Runtime has no convolution in bf16
        feeds = seeded_inputs(model)
        (expected,), (got,) = run_onnxruntime(rewritten, feeds), run_onnxruntime(conversion.proto, feeds)
        assert np.abs(got - expected).max() <= RELATIVE_ERROR * np.abs(expected).max()
