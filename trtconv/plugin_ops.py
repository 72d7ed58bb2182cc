"""The custom ops: names, attributes, float64 references, and the ONNX functions that let other runtimes run them.

    trtconv::InstanceNorm(X, scale, bias) -> Y    X and Y [N, C, D1..Dk], k >= 1; scale and bias [C]
    trtconv::ReflectPad(X) -> Y                   X and Y of rank >= 1; pads in ONNX order, begins then ends

TensorRT's parser hands a plugin only the attributes that its creator lists and reports no misspelt one, so every
attribute is required, and `attributes_for` checks it before any node is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "trtconv"
VERSION = 1

# The first IR version that lets a model carry functions; initializers need no input of their name since version 4.
MIN_IR_VERSION = 8

AttributeValue = float | list[int]
_ATTRIBUTE_KINDS: Mapping[type, int] = {float: onnx.AttributeProto.FLOAT, list: onnx.AttributeProto.INTS}
_PLUGIN_ATTRIBUTES = dict.fromkeys(("plugin_version", "plugin_namespace"), onnx.AttributeProto.STRING)
FunctionNodes = Callable[[int], list[onnx.NodeProto]]


@dataclass(frozen=True)
class PluginOp:
    """One custom op: what its node looks like, what it means, which tensors its plugin takes.

    `attributes` maps each attribute to float or list (of int); `dtypes` are the ONNX element types of X;
    `function_nodes` writes the op in ONNX operators of a given opset.
    """

    name: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, type]
    dtypes: frozenset[int]
    function_nodes: FunctionNodes


def attributes_for(op: PluginOp, values: Mapping[str, AttributeValue], opset: int) -> dict[str, Any]:
    """Return all attributes of a node of `op` in a model of ai.onnx `opset`, for graph-surgeon.

    Raises ValueError for a missing, unknown or mistyped attribute: this is a defect of the caller, not of the model.
    """
    if set(values) != set(op.attributes):
        raise ValueError(f"{op.name} takes the attributes {sorted(op.attributes)}, got {sorted(values)}")
    for name, value in values.items():
        if not isinstance(value, op.attributes[name]):
            raise ValueError(f"{op.name}.{name} is of type {type(value)}, expected {op.attributes[name]}")
    attributes: dict[str, Any] = dict(values)
    if _needs_pads_tensor(op, opset):
        attributes["pads_tensor"] = numpy_helper.from_array(np.array(values["pads"], dtype=np.int64))
    return {**attributes, "plugin_version": str(VERSION), "plugin_namespace": DOMAIN}


def problem_of(node: onnx.NodeProto) -> str | None:
    """Return why TensorRT could not make a plugin of a node of this domain as it is meant, None where it can.

    Whoever edits a rewritten model may misspell an attribute, which TensorRT's parser would drop without a word.
    """
    op = PLUGIN_OPS.get(node.op_type)
    if op is None:
        return f"there is no plugin {node.op_type}, only {', '.join(PLUGIN_OPS)}"
    if len(node.input) != len(op.inputs) or not all(node.input):
        return f"{op.name} takes the inputs {', '.join(op.inputs)}, got {list(node.input)}"
    given = {attribute.name: attribute for attribute in node.attribute}
    expected = {name: _ATTRIBUTE_KINDS[kind] for name, kind in op.attributes.items()} | _PLUGIN_ATTRIBUTES
    for name, kind in expected.items():
        if name not in given:
            return f"{op.name} needs the attribute {name}, got {sorted(map(str, given))}"
        if given[name].type != kind:
            return f"{op.name}.{name} must be {_kind_name(kind)}, got {_kind_name(given[name].type)}"
    unknown = sorted(map(str, given.keys() - expected.keys() - {"pads_tensor"}))
    if unknown:
        return f"{op.name} has no attribute {', '.join(unknown)}, only {', '.join(expected)}"
    if "pads" in given and len(given["pads"].ints) % 2:
        return f"{op.name}.pads must be two values an axis, got {len(given['pads'].ints)} values"
    for name, value in (("plugin_version", str(VERSION)), ("plugin_namespace", DOMAIN)):
        if given[name].s.decode(errors="replace") != value:
            return f"{op.name}.{name} must be {value!r}, got {given[name].s.decode(errors='replace')!r}"
    return None


def _kind_name(kind: int) -> str:
    return str(onnx.AttributeProto.AttributeType.Name(kind))


def function_for(op: PluginOp, opset: int) -> onnx.FunctionProto:
    """Return the model-local function that gives `op` its meaning in a model of ai.onnx `opset`."""
    names = [*op.attributes, "plugin_version", "plugin_namespace"]
    if _needs_pads_tensor(op, opset):
        names.append("pads_tensor")
    return helper.make_function(
        DOMAIN,
        op.name,
        list(op.inputs),
        ["Y"],
        op.function_nodes(opset),
        [helper.make_opsetid("", opset)],
        attributes=names,
    )


def instance_norm_reference(
    x: npt.NDArray[Any], scale: npt.NDArray[Any], bias: npt.NDArray[Any], epsilon: float
) -> npt.NDArray[np.float64]:
    """Normalise each [n, c] slice of `x` [N, C, D1..Dk] in float64: scale * (x - mean) / sqrt(var + epsilon) + bias.

    var is the population variance; the formula is that of ONNX InstanceNormalization.
    """
    x = x.astype(np.float64)
    axes = tuple(range(2, x.ndim))
    per_channel = (1, -1) + (1,) * len(axes)
    deviation = x - x.mean(axis=axes, keepdims=True)
    variance = np.square(deviation).mean(axis=axes, keepdims=True)
    normalised: npt.NDArray[np.float64] = deviation / np.sqrt(variance + epsilon)
    return scale.astype(np.float64).reshape(per_channel) * normalised + bias.astype(np.float64).reshape(per_channel)


def reflect_pad_reference(x: npt.NDArray[Any], pads: Sequence[int]) -> npt.NDArray[Any]:
    """Pad `x` by reflection without repeating the border; `pads` holds all begins, then all ends, each < its dimension.

    The formula is that of ONNX Pad(mode=reflect): padded[i] = x[f(i - begin)] with f(j) = |j| below dim and
    2 * (dim - 1) - j from there on.
    """
    for axis in range(x.ndim):
        begin, end, dim = pads[axis], pads[axis + x.ndim], x.shape[axis]
        position = np.abs(np.arange(-begin, dim + end))
        x = x.take(np.where(position < dim, position, 2 * (dim - 1) - position), axis=axis)
    return x


def _instance_norm_nodes(opset: int) -> list[onnx.NodeProto]:
    node = helper.make_node("InstanceNormalization", ["X", "scale", "bias"], ["Y"])
    node.attribute.append(_reference("epsilon", onnx.AttributeProto.FLOAT))
    return [node]


def _reflect_pad_nodes(opset: int) -> list[onnx.NodeProto]:
    if opset < 11:
        pad = helper.make_node("Pad", ["X"], ["Y"], mode="reflect")
        pad.attribute.append(_reference("paddings" if opset < 2 else "pads", onnx.AttributeProto.INTS, of="pads"))
        return [pad]
    constant = helper.make_node("Constant", [], ["pads"])
    if opset == 11:
        constant.attribute.append(_reference("value", onnx.AttributeProto.TENSOR, of="pads_tensor"))
    else:
        constant.attribute.append(_reference("value_ints", onnx.AttributeProto.INTS, of="pads"))
    return [constant, helper.make_node("Pad", ["X", "pads"], ["Y"], mode="reflect")]


def _needs_pads_tensor(op: PluginOp, opset: int) -> bool:
    """At opset 11 Pad takes its pads as an input, but Constant cannot be made of a list of integers before opset 12."""
    return op is REFLECT_PAD and opset == 11


def _reference(name: str, kind: onnx.AttributeProto.AttributeType, of: str | None = None) -> onnx.AttributeProto:
    return onnx.AttributeProto(name=name, type=kind, ref_attr_name=of or name)


INSTANCE_NORM = PluginOp(
    name="InstanceNorm",
    inputs=("X", "scale", "bias"),
    attributes={"epsilon": float},
    dtypes=frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16}),
    function_nodes=_instance_norm_nodes,
)
REFLECT_PAD = PluginOp(
    name="ReflectPad",
    inputs=("X",),
    attributes={"pads": list},
    dtypes=frozenset(
        {
            TensorProto.FLOAT,
            TensorProto.FLOAT16,
            TensorProto.BFLOAT16,
            TensorProto.INT64,
            TensorProto.INT32,
            TensorProto.INT8,
            TensorProto.BOOL,
        }
    ),
    function_nodes=_reflect_pad_nodes,
)
PLUGIN_OPS: Mapping[str, PluginOp] = {op.name: op for op in (INSTANCE_NORM, REFLECT_PAD)}
