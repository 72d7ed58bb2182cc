"""Custom ops of a model that somebody edited after its rewrite: refused by name before TensorRT's parser sees them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import NodeProto, helper, numpy_helper

from models.make_models import make
from tests.support import command_line
from trtconv import BuildConfig, build, dry_run, rewrite
from trtconv.errors import ModelError
from trtconv.model import model_io, walking
from trtconv.ops import problem_of


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    folder = tmp_path_factory.mktemp("plugin_nodes")
    onnx.save(make(network="fast_neural_style", height=64, width=64), folder / "model.onnx")
    rewrite(folder / "model.onnx", folder / "rewritten.onnx")
    return onnx.load(folder / "rewritten.onnx")


def attribute(node: NodeProto, name: str) -> onnx.AttributeProto:
    return next(each for each in node.attribute if each.name == name)


def rename(old: str, new: str) -> Callable[[NodeProto], object]:
    return lambda node: setattr(attribute(node, old), "name", new)


def set_to(name: str, value: object) -> Callable[[NodeProto], object]:
    return lambda node: attribute(node, name).CopyFrom(helper.make_attribute(name, value))


# the op, what is done to its first node, what is said of it
EDITS: dict[str, tuple[str, Callable[[NodeProto], object], str]] = {
    "misspelt": ("InstanceNorm", rename("epsilon", "eps"), "InstanceNorm needs the attribute epsilon, got ['eps',"),
    "type": ("InstanceNorm", set_to("epsilon", 1), "InstanceNorm.epsilon must be FLOAT, got INT"),
    "list": ("InstanceNorm", set_to("epsilon", [1e-5, 1e-5]), "InstanceNorm.epsilon must be FLOAT, got FLOATS"),
    "negative": ("InstanceNorm", set_to("epsilon", -1.0), "InstanceNorm.epsilon must be a number not below 0, got -1"),
    "nan": ("InstanceNorm", set_to("epsilon", math.nan), "InstanceNorm.epsilon must be a number not below 0, got nan"),
    "infinite": ("InstanceNorm", set_to("epsilon", math.inf), "InstanceNorm.epsilon must be a number not below 0, got"),
    "float pads": ("ReflectPad", set_to("pads", [1.0, 1.0]), "ReflectPad.pads must be INTS, got FLOATS"),
    "odd pads": ("ReflectPad", set_to("pads", [1, 2, 3]), "ReflectPad.pads must be two values an axis, got 3 values"),
    "unknown": (
        "ReflectPad",
        lambda node: node.attribute.append(helper.make_attribute("mode", "reflect")),
        "ReflectPad has no attribute mode, only pads, plugin_version, plugin_namespace",
    ),
    "version": ("ReflectPad", set_to("plugin_version", "2"), "ReflectPad.plugin_version must be '1', got '2'"),
    "namespace": ("ReflectPad", set_to("plugin_namespace", ""), "plugin_namespace must be 'trtconv', got ''"),
    "inputs": ("InstanceNorm", lambda node: node.input.pop(), "InstanceNorm takes the inputs X, scale, bias, got ["),
    "op": ("InstanceNorm", lambda node: setattr(node, "op_type", "GroupNorm"), "there is no plugin GroupNorm, only"),
    "no output": ("InstanceNorm", lambda node: node.ClearField("output"), "InstanceNorm has one output, got []"),
    "outputs": ("ReflectPad", lambda node: node.output.append("more"), "ReflectPad has one output, got ["),
    "twice": (
        "InstanceNorm",
        lambda node: node.attribute.append(attribute(node, "epsilon")),
        "InstanceNorm has an attribute twice, got ['epsilon', 'epsilon',",
    ),
    "reference": (
        "InstanceNorm",
        lambda node: setattr(attribute(node, "epsilon"), "ref_attr_name", "outer"),
        "InstanceNorm.epsilon must be a value, got a reference to outer",
    ),
    "tensor": (
        "InstanceNorm",
        lambda node: node.attribute.append(helper.make_attribute("epsilon_tensor", 1.0)),
        "InstanceNorm has no attribute epsilon_tensor",
    ),
    "large pads": ("ReflectPad", set_to("pads", [1 << 31] * 8), "ReflectPad.pads must be at most 2147483647, got ["),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_node_is_named_with_what_is_wrong(rewritten: onnx.ModelProto, edit: str, tmp_path: Path) -> None:
    op, change, message = EDITS[edit]
    edited = onnx.ModelProto()
    edited.CopyFrom(rewritten)
    node = next(each for each in edited.graph.node if each.op_type == op)
    change(node)
    path = tmp_path / "edited.onnx"
    onnx.save(edited, path)
    for refuses in (build, dry_run):
        with pytest.raises(ModelError) as caught:
            refuses(path, BuildConfig(output=tmp_path / "model.engine"))
        assert message in str(caught.value)
        assert f"node {node.name}: " in str(caught.value)
    assert not (tmp_path / "model.engine").exists()


# values of scale, what is said of the node
SCALES: dict[str, tuple[np.ndarray, str]] = {  # type: ignore[type-arg]
    "length": (np.ones(3, np.float32), "InstanceNorm: scale has shape [3], expected [2]"),
    "rank": (np.ones((2, 1), np.float32), "InstanceNorm: scale has shape [2, 1], expected [2]"),
    "type": (np.ones(2, np.float16), "InstanceNorm: scale is of type float16, expected float32, the type of X"),
}
REWRITTEN = """
<ir_version: 8, opset_import: ["" : 17, "trtconv" : 1]>
g (bool c, float[N,2,8] x, float[2] b) => (float[N,2,8] y) {
  r = Relu (x)
  y = If (c) <
    then_branch = t () => (float[N,2,8] z) {
      [norm] z = trtconv.InstanceNorm
        <epsilon: float = 1e-05, plugin_version: string = "1", plugin_namespace: string = "trtconv"> (r, s, b)
    },
    else_branch = e () => (float[N,2,8] w) { w = Relu (r) }
  >
}
"""


@pytest.mark.parametrize("scale", [*SCALES, None])
def test_parameters_that_do_not_fit_are_found_in_branches_too(scale: str | None, tmp_path: Path) -> None:
    model = onnx.parser.parse_model(REWRITTEN)
    values, message = (np.ones(2, np.float32), "") if scale is None else SCALES[scale]
    model.graph.initializer.append(numpy_helper.from_array(values, "s"))
    onnx.save(model, tmp_path / "model.onnx")
    if scale is None:
        model_io.load(tmp_path / "model.onnx")
        return
    with pytest.raises(ModelError) as caught:
        model_io.load(tmp_path / "model.onnx")
    assert f"node norm: {message}" in str(caught.value)


def test_pads_that_reach_beyond_their_axis_are_found(tmp_path: Path) -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17, "trtconv" : 1]>
    g (float[1,2,8] x) => (float[1,2,N] y) {
      [pad] y = trtconv.ReflectPad
        <pads: ints = [0,0,8,0,0,0], plugin_version: string = "1", plugin_namespace: string = "trtconv"> (x)
    }
    """
    onnx.save(onnx.parser.parse_model(text), tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"node pad: ReflectPad: pads .* axis 2 of x has size 8"):
        model_io.load(tmp_path / "model.onnx")


def test_a_node_without_name_and_outputs_is_refused(rewritten: onnx.ModelProto, tmp_path: Path) -> None:
    edited = onnx.ModelProto()
    edited.CopyFrom(rewritten)
    node = next(each for each in edited.graph.node if each.domain == "trtconv")
    node.name = ""
    del node.output[:]
    onnx.save(edited, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=rf"node {node.op_type}\(\): {node.op_type} has one output"):
        model_io.load(tmp_path / "model.onnx")


@pytest.mark.parametrize("opset", [9, 11, 17])
def test_rewritten_nodes_have_no_problem(opset: int, tmp_path: Path) -> None:
    onnx.save(make(network="fast_neural_style", height=64, width=64, opset=opset), tmp_path / "model.onnx")
    rewrite(tmp_path / "model.onnx", tmp_path / "rewritten.onnx")
    nodes = list(walking.walk_nodes(onnx.load(tmp_path / "rewritten.onnx").graph))
    problems = [problem_of(node) for node in nodes if node.domain == "trtconv"]
    assert problems == [None] * 31


def test_rewrite_without_functions_writes_the_same_nodes(rewritten: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(make(network="fast_neural_style", height=64, width=64), tmp_path / "model.onnx")
    command_line.run("rewrite", tmp_path / "model.onnx", "-o", tmp_path / "bare.onnx", "--no-functions")
    bare = onnx.load(tmp_path / "bare.onnx")
    assert {function.domain for function in rewritten.functions} == {"trtconv"}
    assert list(bare.functions) == []
    assert bare.graph == rewritten.graph
