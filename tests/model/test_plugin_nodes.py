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
from trtconv.ops import CUSTOM_OPS, problem_of
from trtconv.ops.custom_op import Dim, Operand


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    folder = tmp_path_factory.mktemp("plugin_nodes")
    onnx.save(make(network="fast_neural_style", height=64, width=64), folder / "model.onnx")
    rewrite(folder / "model.onnx", folder / "rewritten.onnx", ops="plugin")
    return onnx.load(folder / "rewritten.onnx")


def attribute(node: NodeProto, name: str) -> onnx.AttributeProto:
    return next(each for each in node.attribute if each.name == name)


def rename(old: str, new: str) -> Callable[[NodeProto], object]:
    return lambda node: setattr(attribute(node, old), "name", new)


def remove(name: str) -> Callable[[NodeProto], object]:
    return lambda node: node.attribute.remove(attribute(node, name))


def set_to(name: str, value: object) -> Callable[[NodeProto], object]:
    return lambda node: attribute(node, name).CopyFrom(helper.make_attribute(name, value))


# the op, what is done to its first node, what is said of it
EDITS: dict[str, tuple[str, Callable[[NodeProto], object], str]] = {
    "misspelt": (
        "InstanceNorm",
        rename("epsilon", "eps"),
        "InstanceNorm has no attribute eps, only epsilon, activation,",
    ),
    "missing": ("ReflectPad", remove("pads"), "ReflectPad needs the attribute pads, got ['activation', 'alpha',"),
    "activation": (
        "InstanceNorm",
        set_to("activation", "Relu"),
        "InstanceNorm.activation must be one of none, relu, leaky_relu, prelu, silu, elu, tanh, got 'Relu'",
    ),
    "prelu of a pad": ("ReflectPad", set_to("activation", "prelu"), "ReflectPad.activation must be one of none, relu,"),
    "activation as a number": ("ReflectPad", set_to("activation", 1), "ReflectPad.activation must be STRING, got INT"),
    "no slope": ("InstanceNorm", set_to("activation", "prelu"), "InstanceNorm takes the inputs X, scale, bias [, res"),
    "alpha nan": ("InstanceNorm", set_to("alpha", math.nan), "InstanceNorm.alpha must be a finite number, got nan"),
    "negative groups": ("InstanceNorm", set_to("groups", -1), "InstanceNorm.groups must be 0 for each channel by"),
    "groups as a list": ("InstanceNorm", set_to("groups", [1]), "InstanceNorm.groups must be INT, got INTS"),
    "upsample": ("InstanceNorm", set_to("upsample", [2, 0]), "InstanceNorm.upsample must be whole factors from 1 to"),
    "pads of the norm": (
        "InstanceNorm",
        set_to("pads", [1, 1, 1]),
        "InstanceNorm.pads must be one value, or two an axis",
    ),
    "pad_mode": (
        "ReflectPad",
        set_to("pad_mode", "wrap"),
        "ReflectPad.pad_mode must be one of reflect, edge, zero, got",
    ),
    "to": ("ReflectPad", set_to("to", 7), "ReflectPad.to must be 0 for the type of X, or 1 (float32) or 10 (float16)"),
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
        "ReflectPad has no attribute mode, only pads, activation, alpha, upsample, pad_mode, to, phases, crop,",
    ),
    "version": ("ReflectPad", set_to("plugin_version", "2"), "ReflectPad.plugin_version must be '1', got '2'"),
    "namespace": ("ReflectPad", set_to("plugin_namespace", ""), "plugin_namespace must be 'trtconv', got ''"),
    "inputs": (
        "InstanceNorm",
        lambda node: node.input.pop(),
        "takes the inputs X, scale, bias [, residual] [, slope], got",
    ),
    "op": ("InstanceNorm", lambda node: setattr(node, "op_type", "GroupNorm"), "there is no plugin GroupNorm, only"),
    "no output": ("InstanceNorm", lambda node: node.ClearField("output"), "InstanceNorm has no outputs"),
    "outputs": ("ReflectPad", lambda node: node.output.append("more"), "ReflectPad has one output, got ["),
    "twice": (
        "InstanceNorm",
        lambda node: node.attribute.append(attribute(node, "epsilon")),
        "InstanceNorm has an attribute twice, got ['activation', 'alpha', 'crop', 'epsilon', 'epsilon',",
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

# the same of attributes that fit neither each other nor X: a build for TensorRT-RTX, without plugins, does not look
MISFITS: dict[str, tuple[str, Callable[[NodeProto], object], str]] = {
    "alpha": ("InstanceNorm", set_to("alpha", 0.5), "alpha is 0.5, which activation none does not take"),
    "groups": ("InstanceNorm", set_to("groups", 5), "InstanceNorm: groups 5 do not divide the"),
    "upsample of three axes": (
        "InstanceNorm",
        set_to("upsample", [2, 1, 1]),
        "upsample must be one value or 2 for the",
    ),
    "pads of one axis": ("InstanceNorm", set_to("pads", [1, 1]), "pads must be one value or 4 for the spatial axes"),
    "large pads of the norm": (
        "InstanceNorm",
        set_to("pads", [99]),
        "pads [99] must be smaller than the axis that they",
    ),
    "no residual": ("InstanceNorm", set_to("residual_pads", [1]), "residual_pads are [1], and there is no residual"),
}


@pytest.mark.parametrize("edit", [*EDITS, *MISFITS])
def test_an_edited_node_is_named_with_what_is_wrong(rewritten: onnx.ModelProto, edit: str, tmp_path: Path) -> None:
    op, change, message = (EDITS | MISFITS)[edit]
    edited = onnx.ModelProto()
    edited.CopyFrom(rewritten)
    node = next(each for each in edited.graph.node if each.op_type == op)
    change(node)
    path = tmp_path / "edited.onnx"
    onnx.save(edited, path)
    for refuses in (build, dry_run) if edit in EDITS else (dry_run,):
        backend = "auto" if refuses is build else "tensorrt"  # whose dry run looks at plugins
        with pytest.raises(ModelError) as caught:
            refuses(path, BuildConfig(output=tmp_path / "model.engine", backend=backend))
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


# what the inputs of a node with residual, groups and parameters of each image are, what is said of it
OPERANDS: dict[str, tuple[dict[str, tuple[int, list[Dim] | None]], str | None]] = {
    "right": ({}, None),
    "unknown": ({"residual": (0, None), "scale": (0, None), "slope": (0, None)}, None),
    "symbols": ({"x": (1, ["N", 4, "H"]), "residual": (1, ["N", 4, "L"]), "scale": (1, ["N", 4])}, None),
    "residual": ({"residual": (1, [2, 4, 9])}, "residual has shape [2, 4, 9], expected [2, 4, 10]"),
    "residual type": ({"residual": (10, [2, 4, 10])}, "residual is of type float16, expected float32, the type of X"),
    "slope": ({"slope": (1, [1])}, "slope has shape [1], expected [4]"),
    "slope rank": ({"slope": (1, [4, 1])}, "slope has shape [4, 1], expected [4]"),
    "batch": ({"scale": (1, [3, 4])}, "scale has shape [3, 4], expected [4] or [2, 4]"),
    "ranks": ({"bias": (1, [4])}, "scale has shape [2, 4], bias [4]: expected both of one rank"),
}


@pytest.mark.parametrize("case", OPERANDS)
def test_operands_fit_together(case: str) -> None:
    changes, message = OPERANDS[case]
    known: dict[str, tuple[int, list[Dim] | None]] = {
        "x": (1, [2, 4, 8]),
        "scale": (1, [2, 4]),
        "bias": (1, [2, 4]),
        "residual": (1, [2, 4, 10]),
        "slope": (1, [4]),
        **changes,
    }
    operands = [Operand(dtype or None, dims) for dtype, dims in known.values()]
    attributes = {"activation": "prelu", "residual_pads": [1], "groups": 2}
    assert CUSTOM_OPS["InstanceNorm"].problem(operands, attributes) == message


@pytest.mark.parametrize("wish", [{"activation": "relu"}, {"to": 1}])
def test_whole_numbers_are_padded_as_they_are(wish: dict[str, object]) -> None:
    row, pads = CUSTOM_OPS["ReflectPad"], {"pads": [1, 1]}
    assert row.problem([Operand(6, [4])], pads) is None
    problem = row.problem([Operand(6, [4])], pads | wish)
    assert problem is not None
    assert problem.startswith("X is of type int32, of which there is no result with")


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
    with pytest.raises(ModelError, match=rf"node {node.op_type}\(\): {node.op_type} has no outputs"):
        model_io.load(tmp_path / "model.onnx")


@pytest.mark.parametrize("opset", [9, 11, 17])
def test_rewritten_nodes_have_no_problem(opset: int, tmp_path: Path) -> None:
    onnx.save(make(network="fast_neural_style", height=64, width=64, opset=opset), tmp_path / "model.onnx")
    rewrite(tmp_path / "model.onnx", tmp_path / "rewritten.onnx", ops="plugin")
    nodes = list(walking.walk_nodes(onnx.load(tmp_path / "rewritten.onnx").graph))
    problems = [problem_of(node) for node in nodes if node.domain == "trtconv"]
    assert problems == [None] * 31


def test_rewrite_without_functions_writes_the_same_nodes(rewritten: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(make(network="fast_neural_style", height=64, width=64), tmp_path / "model.onnx")
    command_line.run(
        "rewrite", tmp_path / "model.onnx", "-o", tmp_path / "bare.onnx", "--ops", "plugin", "--no-functions"
    )
    bare = onnx.load(tmp_path / "bare.onnx")
    assert {function.domain for function in rewritten.functions} == {"trtconv"}
    assert list(bare.functions) == []
    assert bare.graph == rewritten.graph
