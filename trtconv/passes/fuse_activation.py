"""Fuse  Relu(Y), LeakyRelu(Y), PRelu(Y, slope), Elu(Y), Tanh(Y), Mul(Y, Sigmoid(Y))  ->  activation of the op before.

A PRelu with one slope for all channels is a LeakyRelu; one with a slope a channel gives InstanceNorm an input more.
Clip and Max with 0 as the minimum are a Relu, and Swish is Mul(Y, Sigmoid(Y)).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from trtconv.ops.activations import PRELU
from trtconv.ops.instance_norm_function import SLOPE
from trtconv.passes.base import NoMatch, PassContext
from trtconv.passes.constant_values import MAX_ELEMENTS, read_constants
from trtconv.passes.fusion import Fusion, Rule, is_op
from trtconv.passes.graph_edit import shape_of
from trtconv.passes.rectifiers import RECTIFIERS, why_not_relu

_PLAIN = {"Relu": "relu", "Tanh": "tanh"}
_WITH_ALPHA = {"LeakyRelu": ("leaky_relu", 0.01), "Elu": ("elu", 1.0)}  # and ONNX's default
# Activations that the plugins do not have: the report says why these stay.
_UNKNOWN = frozenset(
    {"Celu", "Gelu", "HardSigmoid", "HardSwish", "Mish", "Selu", "Softplus", "Softsign", "ThresholdedRelu"}
)


def _accepts(node: gs.Node) -> bool:
    is_activation = is_op(node, *_PLAIN, *_WITH_ALPHA, *RECTIFIERS, "PRelu", "Swish", *_UNKNOWN)
    return is_activation or _source_of_silu(node) is not None


def source_of(node: gs.Node) -> gs.Tensor:
    """Return Y of a node that the rule accepts."""
    inputs: list[gs.Tensor] = node.inputs
    if node.op == "Max":
        return next((tensor for tensor in inputs if not _is_constant(tensor)), inputs[0])
    return _source_of_silu(node) or inputs[0]


def _is_constant(tensor: gs.Tensor) -> bool:
    return isinstance(tensor, gs.Constant) or any(writer.op == "Constant" for writer in tensor.inputs)


def _source_of_silu(node: gs.Node) -> gs.Tensor | None:
    """Return Y of a node Mul(Y, Sigmoid(Y)), None for another node."""
    if not is_op(node, "Mul") or len(node.inputs) != 2:
        return None
    for y, gate in (node.inputs, node.inputs[::-1]):
        writer = gate.inputs[0] if gate.inputs else None
        if writer is not None and is_op(writer, "Sigmoid") and writer.inputs[0] is y:
            return y
    return None


def _match(y: gs.Tensor, node: gs.Node, context: PassContext) -> Fusion | NoMatch:
    if node.op in _UNKNOWN:
        return NoMatch(f"the plugins have no {node.op}")
    if node.op in _PLAIN:
        return _activation(_PLAIN[node.op], node)
    if node.op in _WITH_ALPHA:
        name, default = _WITH_ALPHA[node.op]
        return _activation(name, node, alpha=node.attrs.get("alpha", default))
    if node.op in RECTIFIERS:
        return why_not_relu(y, node, context) or _activation("relu", node)
    if node.op == "Swish":
        beta = node.attrs.get("alpha", 1.0)
        return _activation("silu", node) if beta == 1 else NoMatch(f"its alpha is {beta}, expected 1")
    if node.op == "PRelu":
        return _match_prelu(y, node, context)
    gate = next(tensor.inputs[0] for tensor in node.inputs if tensor is not y)
    return _activation("silu", gate, node)


def _match_prelu(y: gs.Tensor, node: gs.Node, context: PassContext) -> Fusion | NoMatch:
    if len(node.inputs) != 2 or node.inputs[0] is not y:
        return NoMatch("the tensor is its slope")
    tensor = node.inputs[1]
    value = read_constants([tensor], context.opset, context.folder, limit=MAX_ELEMENTS)[tensor.name]
    if isinstance(value, NoMatch):
        return NoMatch(f"its slope is only known at run time: {tensor.name}")
    if value.size == 1:
        return _activation("leaky_relu", node, alpha=float(value.reshape(())))
    dims = shape_of(y)
    if dims is None or len(dims) < 2:
        return NoMatch("the rank of its input is unknown")
    num_spatial = len(dims) - 2
    by_channel = [1] * (len(dims) - 1 - value.ndim) + list(value.shape)  # as broadcast over [C, D1..Dk]
    channels = int(value.size)
    is_by_channel = by_channel[-1 - num_spatial :] == [channels] + [1] * num_spatial and dims[1] == channels
    if not is_by_channel and not (value.ndim == 1 and context.opset < 7 and dims[1] == channels):
        return NoMatch(f"its slope has shape {list(value.shape)}, expected one value a channel")
    slope = gs.Constant(f"{tensor.name}_by_channel", np.ascontiguousarray(value.reshape(channels)))
    return Fusion([node], "activation prelu", {"activation": PRELU}, {SLOPE: slope})


def _activation(name: str, *nodes: gs.Node, **attributes: Any) -> Fusion:
    alpha = f", alpha {attributes['alpha']:g}" if attributes else ""
    return Fusion(nodes, f"activation {name}{alpha}", {"activation": name, **attributes})


ACTIVATION_RULE = Rule(1, _accepts, _match)
