"""Rewrite  Conv(X) of few output channels  ->  ReflectPad(Conv(X), phases), with b times the strides and the channels.

TensorRT's convolutions compute a tile of output channels, of which a thin one throws most away. Here the tile holds
neighbouring positions too, each with a copy of the kernel that is shifted by its phase.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import onnx_graphsurgeon as gs

from trtconv.decisions import REWRITTEN
from trtconv.passes.base import NoMatch, PassContext
from trtconv.passes.convolutions import Convolution, read_convolution
from trtconv.passes.fusion import given_out, is_op
from trtconv.passes.graph_edit import shape_of
from trtconv.passes.phase_forms import AxisForm, plain_axis, strided_axis
from trtconv.passes.phased_convolution import (
    NO_READER,
    PhasedForm,
    is_read_by_plugin,
    leave,
    reads_phases,
    rewrite_as_phases,
)

# Output channels up to which a convolution of so many axes is thin. Measured on an H100 (TensorRT 10.6, fp16): 3
# channels of images are 5.5 times as fast with 48, 32 channels of volumes 1.25 times with 64. Lines are not measured.
THIN: Mapping[int, int] = {1: 16, 2: 16, 3: 32}
THIN_ALONE = 4  # the same where no custom op follows: a map more has to move so little that it costs next to nothing
TILE = 64  # output channels that are computed together; it puts the measured forms in their right order
FACTORS = (1, 2, 4)
MAX_PHASES = 16
# What a rewrite has to leave of the work: the map after it costs what it reads and writes.
MAX_WORK = 0.7


def rewrite_thin_convolution(graph: gs.Graph, context: PassContext) -> int:
    """Return how many Conv nodes were rewritten."""
    outputs = given_out(graph)
    num_edits = 0
    for site in context.nodes(graph, lambda node: is_op(node, "Conv")):
        convolution = read_convolution(site.node)
        if isinstance(convolution, NoMatch) or convolution.out_channels > THIN.get(len(convolution.kernel), 0):
            continue
        if any(reads_phases(reader) for reader in convolution.y.outputs):
            continue
        form = context.wish_against(site, REWRITTEN) or _match(convolution, outputs, context)
        if isinstance(form, NoMatch):
            leave(site, form, context)
        else:
            num_edits += rewrite_as_phases(site, form, context)
    return num_edits


def _match(convolution: Convolution, outputs: frozenset[int], context: PassContext) -> PhasedForm | NoMatch:
    if convolution.out_channels > THIN_ALONE and not is_read_by_plugin(convolution.y, outputs, context):
        return NoMatch(NO_READER)
    if any(dilation != 1 for dilation in convolution.dilations):
        return NoMatch(
            f"its dilations are {convolution.dilations}: with other strides its kernel would be mostly zeros"
        )
    x, y = shape_of(convolution.x), shape_of(convolution.y)
    if x is None or y is None or len(x) != len(y):
        return NoMatch("the rank of its input is unknown")
    is_known = [isinstance(size, int) and isinstance(other, int) for size, other in zip(x[2:], y[2:], strict=True)]
    if not any(is_known):
        return NoMatch("its sizes are only known at run time, and so is what other strides leave over")
    factors = choose_factors(convolution, is_known)
    if all(factor == 1 for factor in factors):
        return NoMatch(f"its {convolution.out_channels} output channels take no less work with other strides")
    axes = [_axis(convolution, axis, factor, x[2 + axis]) for axis, factor in enumerate(factors)]
    what = f"{convolution.out_channels} output channels as {'x'.join(map(str, factors))} phases"
    return PhasedForm(convolution, convolution.x, axes, what)


def choose_factors(convolution: Convolution, is_known: Sequence[bool]) -> tuple[int, ...]:
    """Return the factors of the strides with the least work; all 1 where they leave more of it than MAX_WORK.

    Only axes of known sizes get a factor: the crop of what it leaves over is a number.
    """
    candidates = itertools.product(*(FACTORS if known else (1,) for known in is_known))
    allowed = [factors for factors in candidates if math.prod(factors) <= MAX_PHASES]
    best = min(allowed, key=lambda factors: (work(convolution, factors), math.prod(factors)))
    before = work(convolution, [1] * len(best))
    return best if work(convolution, best) <= MAX_WORK * before else (1,) * len(best)


def work(convolution: Convolution, factors: Sequence[int]) -> float:
    """Return what one position and input channel cost: elements of the kernel times channels in whole tiles."""
    pairs = zip(factors, convolution.kernel, convolution.strides, strict=True)
    elements = math.prod(size + (factor - 1) * stride for factor, size, stride in pairs)
    phases = math.prod(factors)
    channels = TILE * -(-convolution.out_channels * phases // TILE)
    return elements * channels / phases


def _axis(convolution: Convolution, axis: int, factor: int, size: object) -> AxisForm:
    kernel, stride = convolution.kernel[axis], convolution.strides[axis]
    begin, end = convolution.begins[axis], convolution.ends[axis]
    if not isinstance(size, int):
        return plain_axis(kernel, stride, begin, end)
    return strided_axis(factor, kernel, stride, begin, end, size)
