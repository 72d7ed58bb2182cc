"""Rewrite  BatchNormalization(W, scale, bias, ...) over batch statistics  ->  its value, where W is constant.

Weight-standardised convolutions (NFNet, BiT) normalise their weights so, and PyTorch's exporter leaves it in the model:
Reshape -> BatchNormalization -> Reshape -> Conv. TensorRT refuses batch statistics. What only serves that node goes
with it, and what only turns its value over is computed with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx_graphsurgeon as gs

from trtconv.decisions import CONSTANT, NATIVE
from trtconv.passes.base import NoMatch, PassContext, Site
from trtconv.passes.constant_values import AtRunTime, Value, direct_value, is_evaluated, read_constants
from trtconv.passes.graph_edit import given_inputs, replace

_FIRST_WITH_MODE = 14  # before it, batch statistics are used where more than Y is given out
_FIRST_OPSET = 7  # before it, another attribute chooses
_DEFAULT_EPSILON = 1e-5
MAX_WEIGHTS = 1 << 28  # elements; a convolution has fewer


class _Match(NamedTuple):
    weights: npt.NDArray[Any]
    scale: npt.NDArray[Any]
    bias: npt.NDArray[Any]
    epsilon: float


def fold_batch_statistics(graph: gs.Graph, context: PassContext) -> int:
    """Return how many BatchNormalization nodes became constants."""
    sites = context.nodes(graph, lambda node: uses_batch_statistics(node, context.opset))
    num_folded = 0
    for site in sites:
        values = read_constants(site.node.inputs[:3], context.opset, context.folder, limit=MAX_WEIGHTS)
        match = _match(site.node, values)
        wish = context.choices.chosen.get(site.address)
        if wish is not None and wish.choice == NATIVE:
            match = NoMatch(wish.reason)
        if isinstance(match, NoMatch):
            context.note(site, None, match.reason)
            continue
        context.note(site, CONSTANT, "batch statistics of a constant, which TensorRT refuses to compute")
        _fold(site, match, context)
        num_folded += 1
    return num_folded


def uses_batch_statistics(node: gs.Node, opset: int) -> bool:
    """Say whether a node is a BatchNormalization over the statistics of its batch, not over given ones."""
    if node.op != "BatchNormalization" or opset < _FIRST_OPSET:
        return False
    is_training = node.attrs.get("training_mode", 0) == 1 if opset >= _FIRST_WITH_MODE else len(node.outputs) > 1
    return is_training and len(node.inputs) >= 3


def _match(node: gs.Node, values: dict[str, Value]) -> _Match | NoMatch:
    if any(tensor.outputs for tensor in node.outputs[1:]):
        return NoMatch("other nodes read its statistics")
    x, scale, bias = (values.get(tensor.name) for tensor in node.inputs[:3])
    if isinstance(x, AtRunTime) or x is None:
        return NoMatch("it normalises data by the statistics of the batch, which TensorRT refuses")
    if isinstance(x, NoMatch):
        return x
    if not isinstance(scale, np.ndarray) or not isinstance(bias, np.ndarray):
        return NoMatch("its scale or bias is only known at run time")
    if x.ndim < 2 or scale.shape != (x.shape[1],) or bias.shape != (x.shape[1],):
        return NoMatch(f"scale has shape {list(scale.shape)}, its input {list(x.shape)}")
    return _Match(x, scale, bias, float(node.attrs.get("epsilon", _DEFAULT_EPSILON)))


def _normalised(match: _Match) -> npt.NDArray[Any]:
    """Compute in float64, as the float32 of a training framework is no better than any other order of sums."""
    x = match.weights.astype(np.float64)
    axes = (0, *range(2, x.ndim))
    a_channel = (1, -1) + (1,) * (x.ndim - 2)
    deviation = x - x.mean(axis=axes, keepdims=True)
    variance = np.square(deviation).mean(axis=axes, keepdims=True)
    scale, bias = (values.astype(np.float64).reshape(a_channel) for values in (match.scale, match.bias))
    y: npt.NDArray[Any] = (deviation / np.sqrt(variance + match.epsilon) * scale + bias).astype(match.weights.dtype)
    return y


def _fold(site: Site, match: _Match, context: PassContext) -> None:
    """Put the value in the place of the node, then in that of each node that does no more than reshape it."""
    graph, node, sources = site.graph, site.node, list(site.node.inputs)
    value = _normalised(match)
    while True:
        written = node.outputs[0]
        constant = gs.Constant(f"{written.name}_value", value)
        replace(graph, [node], [], instead=[(written, constant)])
        following = _only_reader(graph, constant, context)
        if following is None:
            break
        found = read_constants(following.outputs, context.opset, context.folder, limit=MAX_WEIGHTS)
        reshaped = found[following.outputs[0].name]
        if not isinstance(reshaped, np.ndarray):
            break
        node, value = following, reshaped
    _drop_unread(graph, sources)


def _only_reader(graph: gs.Graph, constant: gs.Constant, context: PassContext) -> gs.Node | None:
    """Return the one node that reads a constant, where all else that it reads is constant too."""
    is_given_out = any(tensor is constant for tensor in graph.outputs)
    if is_given_out or len(constant.outputs) != 1:
        return None
    reader = constant.outputs[0]
    others = [tensor for tensor in given_inputs(reader) if tensor is not None and tensor is not constant]
    is_here = any(each is reader for each in graph.nodes)
    if not is_here or len(reader.outputs) != 1 or not is_evaluated(reader):
        return None
    return reader if all(direct_value(tensor, context.folder) is not None for tensor in others) else None


def _drop_unread(graph: gs.Graph, tensors: Sequence[gs.Tensor]) -> None:
    """Remove the nodes of this graph that compute tensors which nobody reads any more."""
    stack = list(tensors)
    while stack:
        writer = stack.pop().inputs[:1]
        if not writer or not any(each is writer[0] for each in graph.nodes):
            continue
        is_read = any(tensor.outputs or any(out is tensor for out in graph.outputs) for tensor in writer[0].outputs)
        if not is_read and is_evaluated(writer[0]):
            stack.extend(writer[0].inputs)
            replace(graph, [writer[0]], [])
