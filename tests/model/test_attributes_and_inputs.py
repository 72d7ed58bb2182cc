"""Nodes whose attributes or inputs are not those of their op are refused, where a model is read or a pass asks."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.parser
import pytest

from tests.support.hostile_models import load
from trtconv import dry_running
from trtconv.config import BuildConfig
from trtconv.errors import ModelError

ATTRIBUTES = {
    "a number for a text": ("mode", onnx.AttributeProto.FLOAT, "", "is of kind float, Pad has it as string"),
    "graphs": ("mode", onnx.AttributeProto.GRAPHS, "", "is of kind graphs, Pad has it as string"),
    "of a function": ("mode", onnx.AttributeProto.STRING, "m", "refers to m of a function, and is in none"),
}


@pytest.mark.parametrize("name", ATTRIBUTES)
@pytest.mark.parametrize("place", ["graph", "branch", "function"])
def test_an_attribute_of_another_kind_is_refused(name: str, place: str, tmp_path: Path) -> None:
    attribute, kind, refers_to, problem = ATTRIBUTES[name]
    pad = "y = Pad(x, pads)"
    branch = f"y = If(b) <then_branch = g () => (y) {{ {pad} }}, else_branch = h () => (y) {{ y = Identity(x) }}>"
    body = {"graph": pad, "branch": branch, "function": "y = own.F(x, pads)"}[place]
    function = f'<domain: "own", opset_import: ["": 17]> F (x, pads) => (y) {{ {pad} }}'
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17, "own": 1]> g (float[2,4] x, bool b) => (float[2,6] y) '
        f"<int64[4] pads = {{0, 1, 0, 1}}> {{ {body} }}" + (function if place == "function" else "")
    )
    owner = model.functions[0] if place == "function" else model.graph
    node = owner.node[0] if place != "branch" else owner.node[0].attribute[0].g.node[0]
    node.attribute.add(name=attribute, type=kind, ref_attr_name=refers_to)
    if place == "function" and refers_to:
        model.functions[0].attribute.append(refers_to)
        model.graph.node[0].attribute.add(name=refers_to, type=onnx.AttributeProto.INTS)  # what the call gives instead
        problem = "is of kind ints, Pad has it as string"
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=rf"attribute mode of .*Pad\(.*\) {problem}"):
        dry_running.dry_run(path, BuildConfig(backend="tensorrt", ops="fused"))


@pytest.mark.parametrize("opset", [1, 17])
def test_a_node_needs_the_attributes_of_its_opset(opset: int, tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]> g (float[2,4] x) => (float[2,8] y) {{ y = Concat(x, x) }}'
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    if opset == 1:  # where the axis is 1 by default
        assert load(model, tmp_path).opset == 1
        return
    with pytest.raises(ModelError, match=r"node Concat\(y\): Concat needs the attribute axis"):
        load(model, tmp_path)


@pytest.mark.parametrize("opset", [17, 18, 21])
def test_a_group_norm_needs_its_groups(opset: int, tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]> g (float[2,4,3] x, float[4] s) => (float[2,4,3] y) '
        "{ y = GroupNormalization(x, s, s) }"
    )
    with pytest.raises(ModelError, match=r"GroupNormalization needs the attribute num_groups"):
        load(model, tmp_path)


@pytest.mark.parametrize("ops", ["fused", "rewritten", "auto"])
def test_a_reshape_needs_the_inputs_of_its_opset(ops: str, tmp_path: Path) -> None:
    """Of opset 1 it has one."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[1,4,2,2] x, float[2] s, float[4,1,1] w) => (float y) '
        "<int64[3] g = {0,2,-1}> { r = Reshape(x, g) n = InstanceNormalization(r, s, s) t = Reshape(n) y = Mul(t, w) }"
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"Reshape has 1 inputs, at least 2 needed"):
        dry_running.dry_run(path, BuildConfig(ops=ops, backend="tensorrt"))  # type: ignore[arg-type]


@pytest.mark.parametrize("ops", ["fused", "rewritten", "auto"])
def test_a_product_of_one_factor_is_refused_where_passes_ask_what_it_is(ops: str, tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[1,2,4] x) => (float[1,2,1] y) '
        "{ q = Mul(x, x) y = ReduceMean<axes=[2]>(q) }"
    )
    del model.graph.node[0].input[1]
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert dry_running.dry_run(path, BuildConfig(backend="tensorrt", ops="plugin")).num_rewritten == 0
    with pytest.raises(ModelError, match=r"node Mul\(q\): Mul has 1 inputs, at least 2 needed"):
        dry_running.dry_run(path, BuildConfig(backend="tensorrt", ops=ops))  # type: ignore[arg-type]
