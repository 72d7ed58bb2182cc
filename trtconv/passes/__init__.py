"""The graph passes, in the order in which they run.

Those of --ops fused, rewritten and auto are imported where they are asked for: half of all passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_graphsurgeon as gs

from trtconv.config import FUSING_OPS, Ops
from trtconv.passes.base import PassContext
from trtconv.passes.complete_shapes import complete_shapes
from trtconv.passes.fix_constant_inputs import fix_constant_inputs
from trtconv.passes.fold_batch_statistics import fold_batch_statistics
from trtconv.passes.recognise_batch_norm import recognise_batch_norm
from trtconv.passes.rewrite_instance_norm import rewrite_instance_norm
from trtconv.passes.rewrite_reflect_pad import rewrite_reflect_pad

Pass = Callable[[gs.Graph, PassContext], int]

REWRITES: Sequence[Pass] = (
    recognise_batch_norm,  # first: it makes nodes that the next takes
    rewrite_instance_norm,  # meets no node of the next: their order only sets that of the report
    rewrite_reflect_pad,
)
REPAIRS: Sequence[Pass] = (
    fold_batch_statistics,  # after all that makes norms of batch statistics: what is left TensorRT refuses, or is here
    fix_constant_inputs,  # last: a node that another pass replaced needs none of it
)
DEFAULT_PASSES: Sequence[Pass] = (*REWRITES, *REPAIRS)


def passes_for(ops: Ops | None) -> Sequence[Pass]:
    """Return the passes of a conversion: "native" has those of "plugin", which then keep every node as it is.

    "auto" has those of the last trial, which make of each node what was chosen.
    """
    if ops not in FUSING_OPS:
        return DEFAULT_PASSES
    from trtconv.passes.fusing_passes import FUSED_PASSES, REWRITTEN_PASSES

    return FUSED_PASSES if ops == "fused" else REWRITTEN_PASSES


def run_passes(graph: gs.Graph, context: PassContext, passes: Sequence[Pass] = DEFAULT_PASSES) -> int:
    """Edit `graph` in place, leave the decisions in `context`, and return the number of edited nodes.

    Raises ConfigError when a keep_native pattern matched nothing, ModelError when a node breaks ONNX's rules.
    """
    complete_shapes(graph, context)
    num_edits = sum(run(graph, context) for run in passes)
    context.choices.require_used([decision.node for decision in context.decisions if not decision.is_computed])
    return num_edits
