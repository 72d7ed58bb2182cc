"""Rewrite  ConvTranspose(X), stride b  ->  ReflectPad(Conv(X), phases b), where a custom op follows.

Each phase of the result meets every b-th element of the kernel, so that it is a small convolution of X.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from trtconv.passes.base import NoMatch, PassContext, Site
from trtconv.passes.convolutions import read_convolution
from trtconv.passes.fuse_activation import ACTIVATION_RULE
from trtconv.passes.fusion import given_out, is_op, read_plugin_node
from trtconv.passes.phase_forms import transposed_axis
from trtconv.passes.phased_convolution import PhasedForm, leave, rewrite_as_phases


def rewrite_transposed_convolution(graph: gs.Graph, context: PassContext) -> int:
    """Return how many ConvTranspose nodes were rewritten."""
    outputs = given_out(graph)
    num_edits = 0
    for site in context.nodes(graph, lambda node: is_op(node, "ConvTranspose")):
        form = context.wish_against(site) or _match(site, outputs)
        if isinstance(form, NoMatch):
            leave(site, form, context)
        else:
            num_edits += rewrite_as_phases(site, form, context)
    return num_edits


def _match(site: Site, outputs: frozenset[int]) -> PhasedForm | NoMatch:
    convolution = read_convolution(site.node)
    if isinstance(convolution, NoMatch):
        return convolution
    if all(stride == 1 for stride in convolution.strides):
        return NoMatch("its strides are 1: it has one phase")
    if not _is_read_by_plugin(convolution.y, outputs):
        return NoMatch("no custom op follows that could read its phases, and to put them in place costs a copy")
    axes = [
        transposed_axis(*each)
        for each in zip(
            convolution.strides,
            convolution.kernel,
            convolution.dilations,
            convolution.begins,
            convolution.ends,
            convolution.output_padding,
            strict=True,
        )
    ]
    what = f"strides {'x'.join(map(str, convolution.strides))} as phases of a convolution before them"
    return PhasedForm(convolution, convolution.x, axes, what)


def _is_read_by_plugin(y: gs.Tensor, outputs: frozenset[int]) -> bool:
    """Say whether a custom op alone reads a tensor, or the activation of it."""
    readers = [reader for reader in y.outputs if not is_op(reader, "Sigmoid")]  # that of a silu goes into its Mul
    if id(y) in outputs or len(readers) != 1:
        return False
    (reader,) = readers
    if read_plugin_node(reader) is not None:
        return True
    return ACTIVATION_RULE.accepts(reader) and _is_read_by_plugin(reader.outputs[0], outputs)
