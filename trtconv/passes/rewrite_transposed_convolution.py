"""Rewrite  ConvTranspose(X), stride b  ->  ReflectPad(Conv(X), phases b), where a custom op follows.

Each phase of the result meets every b-th element of the kernel, so that it is a small convolution of X.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from trtconv.decisions import REWRITTEN
from trtconv.passes.base import NoMatch, PassContext, Site
from trtconv.passes.convolutions import read_convolution
from trtconv.passes.fusion import given_out, is_op
from trtconv.passes.phase_forms import transposed_axis
from trtconv.passes.phased_convolution import (
    NO_READER,
    PhasedForm,
    is_read_by_plugin,
    leave,
    rewrite_as_phases,
    too_many_phases,
)


def rewrite_transposed_convolution(graph: gs.Graph, context: PassContext) -> int:
    """Return how many ConvTranspose nodes were rewritten."""
    outputs = given_out(graph)
    num_edits = 0
    for site in context.nodes(graph, lambda node: is_op(node, "ConvTranspose")):
        form = context.wish_against(site, REWRITTEN) or _match(site, outputs, context)
        if isinstance(form, NoMatch):
            leave(site, form, context)
        else:
            num_edits += rewrite_as_phases(site, form, context)
    return num_edits


def _match(site: Site, outputs: frozenset[int], context: PassContext) -> PhasedForm | NoMatch:
    convolution = read_convolution(site.node)
    if isinstance(convolution, NoMatch):
        return convolution
    if all(stride == 1 for stride in convolution.strides):
        return NoMatch("its strides are 1: it has one phase")
    if not is_read_by_plugin(convolution.y, outputs, context):
        return NoMatch(NO_READER)
    if problem := too_many_phases(convolution.strides):
        return problem
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
    what = f"a convolution of stride 1 whose phases stand for the strides {'x'.join(map(str, convolution.strides))}"
    return PhasedForm(convolution, convolution.x, axes, what)
