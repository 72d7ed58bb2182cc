"""The passes of --ops fused and rewritten, in the order in which they run, and those that --ops auto tries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trtconv.passes import DEFAULT_PASSES, REPAIRS, REWRITES, Pass
from trtconv.passes.bypass_identities import bypass_identities
from trtconv.passes.check_inputs import check_inputs
from trtconv.passes.fuse_affine import fuse_affine
from trtconv.passes.fuse_neighbours import fuse_neighbours
from trtconv.passes.fuse_padded_residual import fuse_padded_residual
from trtconv.passes.lines_as_images import lines_as_images
from trtconv.passes.recognise_group_norm import recognise_group_norm
from trtconv.passes.recognise_instance_norm import recognise_instance_norm
from trtconv.passes.recognise_upsampling import recognise_upsampling
from trtconv.passes.rewrite_thin_convolution import rewrite_thin_convolution
from trtconv.passes.rewrite_transposed_convolution import rewrite_transposed_convolution
from trtconv.passes.rewrite_upsampled_convolution import rewrite_upsampled_convolution

_RECOGNISED: Sequence[Pass] = (
    check_inputs,  # first: the next ask what nodes compute
    recognise_instance_norm,  # what recognises comes before the rewrites: it makes nodes that the next take
    recognise_group_norm,  # before the rewrite of the norms, which takes what it leaves
    *REWRITES,
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
_FUSED: Sequence[Pass] = (*_RECOGNISED, *_FUSIONS)
_REWRITTEN: Sequence[Pass] = (*_RECOGNISED, *_CONVOLUTIONS, *_FUSIONS)
_LAST: Sequence[Pass] = (
    lines_as_images,  # after all that looks for neighbours: it puts nodes between them
    *REPAIRS,
)
FUSED_PASSES: Sequence[Pass] = (*_FUSED, *_LAST)
REWRITTEN_PASSES: Sequence[Pass] = (*_REWRITTEN, *_LAST)


# What choose_by_cost compares with TensorRT's own layers; the last makes the most of a graph. Lines stay lines here:
# the model of times gives them the layouts of images, which is what becomes of them.
TRIALS: Mapping[str, Sequence[Pass]] = {
    "plugin": DEFAULT_PASSES,
    "fused": (*_FUSED, *REPAIRS),
    "rewritten": (*_REWRITTEN, *REPAIRS),
}
