"""Refuse a graph in which a node of ONNX has fewer inputs than its op needs; edits nothing."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from trtconv.model.walking import is_onnx
from trtconv.model.well_formed import require_enough
from trtconv.passes.base import PassContext, walk


def check_inputs(graph: gs.Graph, context: PassContext) -> int:
    """Return 0. Raises ModelError with the node and how many inputs its op needs."""
    for site in walk(graph):
        if is_onnx(site.node.domain):
            require_enough(site.address, site.node.op, len(site.node.inputs), context.opset)
    return 0
