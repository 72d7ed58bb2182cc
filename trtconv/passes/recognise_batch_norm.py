"""Rewrite  BatchNormalization(X, scale, bias, mean, var) over batch statistics, X of one image
        ->  InstanceNormalization(X, scale, bias).

The statistics of a batch are taken over all axes but the channels, so of a batch of one they are those of an instance
norm. F.batch_norm(x.view(1, N * C, H, W), training=True), as AdaIN is often written, is exported so, and TensorRT
refuses it outright.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.passes.base import PassContext
from trtconv.passes.constant_values import AtRunTime, read_constants
from trtconv.passes.fold_batch_statistics import MAX_WEIGHTS, uses_batch_statistics
from trtconv.passes.graph_edit import NewNode, replace, shape_of


def recognise_batch_norm(graph: gs.Graph, context: PassContext) -> int:
    """Turn BatchNormalization nodes into InstanceNormalization, which later passes count and decide on; return 0."""
    for site in context.nodes(graph, lambda node: uses_batch_statistics(node, context.opset)):
        node = site.node
        shape = shape_of(node.inputs[0])
        is_of_one_image = shape is not None and len(shape) in INSTANCE_NORM.ranks and shape[0] == 1
        outer = {id(tensor) for tensor in site.graph.outputs}
        are_statistics_read = any(tensor.outputs or id(tensor) in outer for tensor in node.outputs[1:])
        if not is_of_one_image or are_statistics_read or _is_constant(node.inputs[0], context):
            continue
        epsilon = node.attrs.get("epsilon", INSTANCE_NORM.attributes["epsilon"].default)
        by = NewNode(INSTANCE_NORM.form.op_type, node.inputs[:3], node.outputs[:1], {"epsilon": epsilon})
        replace(site.graph, [node], by)
    return 0


def _is_constant(x: gs.Tensor, context: PassContext) -> bool:
    """Say whether X is known before run time: then fold_batch_statistics computes the node."""
    (value,) = read_constants([x], context.opset, context.folder, limit=MAX_WEIGHTS).values()
    return not isinstance(value, AtRunTime)
