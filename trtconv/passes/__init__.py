"""The graph passes, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import onnx_graphsurgeon as gs

from trtconv.config import Ops
from trtconv.passes.base import PassContext
from trtconv.passes.bypass_identities import bypass_identities
from trtconv.passes.check_inputs import check_inputs
from trtconv.passes.complete_shapes import complete_shapes
from trtconv.passes.fix_constant_inputs import fix_constant_inputs
from trtconv.passes.fold_batch_statistics import fold_batch_statistics
from trtconv.passes.fuse_affine import fuse_affine
from trtconv.passes.fuse_neighbours import fuse_neighbours
from trtconv.passes.fuse_padded_residual import fuse_padded_residual
from trtconv.passes.recognise_batch_norm import recognise_batch_norm
from trtconv.passes.recognise_group_norm import recognise_group_norm
from trtconv.passes.recognise_instance_norm import recognise_instance_norm
from trtconv.passes.recognise_upsampling import recognise_upsampling
from trtconv.passes.rewrite_instance_norm import rewrite_instance_norm
from trtconv.passes.rewrite_reflect_pad import rewrite_reflect_pad
from trtconv.passes.rewrite_thin_convolution import rewrite_thin_convolution
from trtconv.passes.rewrite_transposed_convolution import rewrite_transposed_convolution
from trtconv.passes.rewrite_upsampled_convolution import rewrite_upsampled_convolution

Pass = Callable[[gs.Graph, PassContext], int]

_REWRITES: Sequence[Pass] = (
    recognise_batch_norm,  # first: it makes nodes that the next takes
    rewrite_instance_norm,  # meets no node of the next: their order only sets that of the report
    rewrite_reflect_pad,
)
_REPAIRS: Sequence[Pass] = (
    fold_batch_statistics,  # after all that makes norms of batch statistics: what is left TensorRT refuses, or is here
    fix_constant_inputs,  # last: a node that another pass replaced needs none of it
)
DEFAULT_PASSES: Sequence[Pass] = (*_REWRITES, *_REPAIRS)
_RECOGNISED: Sequence[Pass] = (
    check_inputs,  # first: the next ask what nodes compute
    recognise_instance_norm,  # what recognises comes before the rewrites: it makes nodes that the next take
    recognise_group_norm,  # before the rewrite of the norms, which takes what it leaves
    *_REWRITES,
    bypass_identities,  # after the rewrites: it asks for custom ops; before all that looks at what lies around them
    recognise_upsampling,  # after the rewrites likewise; before the convolutions and the fusions, which take it
)
_CONVOLUTIONS: Sequence[Pass] = (
    rewrite_upsampled_convolution,  # before the upsampling and the pads go into the norm before them
    rewrite_transposed_convolution,  # after the rewrites: it asks for a custom op that follows
    rewrite_thin_convolution,  # last: it leaves alone what has phases already
)
_FUSIONS: Sequence[Pass] = (
    fuse_affine,  # before the neighbours, which come after the affine part of a norm
    fuse_neighbours,  # after the rewrites: it takes what lies around the custom ops that they made
    fuse_padded_residual,  # after the sums have become residuals
)
FUSED_PASSES: Sequence[Pass] = (*_RECOGNISED, *_FUSIONS, *_REPAIRS)
REWRITTEN_PASSES: Sequence[Pass] = (*_RECOGNISED, *_CONVOLUTIONS, *_FUSIONS, *_REPAIRS)


# What choose_by_cost compares with TensorRT's own layers; the last makes the most of a graph.
TRIALS: Mapping[str, Sequence[Pass]] = {
    "plugin": DEFAULT_PASSES,
    "fused": FUSED_PASSES,
    "rewritten": REWRITTEN_PASSES,
}


def passes_for(ops: Ops | None) -> Sequence[Pass]:
    """Return the passes of a conversion: "native" has those of "plugin", which then keep every node as it is.

    "auto" has those of the last trial, which make of each node what was chosen.
    """
    if ops in ("rewritten", "auto"):
        return REWRITTEN_PASSES
    return FUSED_PASSES if ops == "fused" else DEFAULT_PASSES


def run_passes(graph: gs.Graph, context: PassContext, passes: Sequence[Pass] = DEFAULT_PASSES) -> int:
    """Edit `graph` in place, leave the decisions in `context`, and return the number of edited nodes.

    Raises ConfigError when a keep_native pattern matched nothing, ModelError when a node breaks ONNX's rules.
    """
    complete_shapes(graph, context)
    num_edits = sum(run(graph, context) for run in passes)
    context.choices.require_used([decision.node for decision in context.decisions if not decision.is_computed])
    return num_edits
