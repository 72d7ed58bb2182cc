"""Convolutions that compute b neighbouring positions of an axis at once: which input each phase meets, axis by axis.

Position b * q + r of the result, r its phase, is a sum over elements t of a kernel, each times one element of the
input. Where that element is  stride * q + offset(r, t),  the phases are the channels of one convolution over q: its
kernel reaches from the first offset to the last, and holds for each phase the sums of the elements t at their offsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
NOWHERE = -1  # an element of the kernel that a phase does not meet


class AxisForm(NamedTuple):
    """One axis of such a convolution.

    `places` [phases, old kernel] says which element of the new kernel, of size `kernel`, takes over one of the old, or
    NOWHERE. `begin` and `end` are the pads of the input, `crop` is what the last position has too many.
    """

    places: Sequence[Sequence[int]]
    kernel: int
    stride: int
    begin: int
    end: int
    crop: int

    @property
    def phases(self) -> int:
        """How many positions are computed at once."""
        return len(self.places)


def plain_axis(kernel: int, stride: int, begin: int, end: int) -> AxisForm:
    """Return the form of an axis without dilation that stays as it is."""
    return AxisForm([range(kernel)], kernel, stride, begin, end, 0)


def upsampled_axis(factor: int, kernel: int, dilation: int, begin: int, end: int) -> AxisForm:
    """Return the form of a convolution of stride 1 after nearest upsampling and pads, as one before the upsampling.

    Element t meets position m = factor * q + r + t * dilation - begin of the upsampled tensor, which is element
    floor(m / factor) of the input. That lies outside where m does, so that zero pads stay zero pads and edge pads edge
    pads, of the input.
    """
    reach = (kernel - 1) * dilation
    first, last = -_ceil(begin, factor), _ceil(reach - begin, factor)
    growth = _ceil(begin + end - reach, factor)  # of the number of positions q over the size of the input
    places = [[(phase + t * dilation - begin) // factor - first for t in range(kernel)] for phase in range(factor)]
    crop = factor * growth - (begin + end - reach)
    return AxisForm(places, last - first + 1, 1, -first, growth + last, crop)


def transposed_axis(stride: int, kernel: int, dilation: int, begin: int, end: int, output_padding: int) -> AxisForm:
    """Return the form of a transposed convolution as a convolution of its input.

    Element t of the kernel meets element (stride * q + r + begin - t * dilation) / stride of the input where that is
    whole.
    """
    reach = (kernel - 1) * dilation
    more = reach + 1 + output_padding - begin - end  # positions of the result over stride * (size of the input - 1)
    growth = _ceil(more, stride) - 1
    met = [[divmod(phase + begin - t * dilation, stride) for t in range(kernel)] for phase in range(stride)]
    offsets = [offset for of_phase in met for offset, rest in of_phase if rest == 0]
    first, last = min(0, *offsets), max(0, -growth, *offsets)
    places = [[offset - first if rest == 0 else NOWHERE for offset, rest in of_phase] for of_phase in met]
    return AxisForm(places, last - first + 1, 1, -first, growth + last, stride * (growth + 1) - more)


def strided_axis(factor: int, kernel: int, stride: int, begin: int, end: int, size: int) -> AxisForm:
    """Return the form of a convolution without dilation with `factor` times its stride; `size` is that of its input.

    Element t meets element  factor * stride * q + r * stride + t  of the padded input.
    """
    new_kernel = kernel + (factor - 1) * stride
    positions = (size + begin + end - kernel) // stride + 1
    blocks = _ceil(positions, factor)
    needed = (blocks - 1) * factor * stride + new_kernel - size - begin
    places = [[phase * stride + t for t in range(kernel)] for phase in range(factor)]
    return AxisForm(places, new_kernel, factor * stride, begin, max(end, needed), factor * blocks - positions)


def combine(weights: npt.NDArray[np.generic], axes: Sequence[AxisForm]) -> Float64:
    """Return the weights [B * M, C, new kernels] of all phases for those of one, [M, C, kernels], in float64."""
    combined = weights.astype(np.float64)
    for axis in axes:  # the next kernel axis is always the third; its phases and its new kernel come last
        combined = _combine_axis(combined, axis)
    num_axes = len(axes)
    phases, kernels = (range(first, 2 + 2 * num_axes, 2) for first in (2, 3))
    shape = (-1, weights.shape[1], *(axis.kernel for axis in axes))
    ordered: Float64 = combined.transpose(*phases, 0, 1, *kernels).reshape(shape)
    return ordered


def _combine_axis(weights: Float64, axis: AxisForm) -> Float64:
    combined = np.zeros((*weights.shape[:2], *weights.shape[3:], axis.phases, axis.kernel))
    for phase, places in enumerate(axis.places):
        for t, place in enumerate(places):
            if place != NOWHERE:
                combined[..., phase, place] += weights[:, :, t]
    return combined


def _ceil(number: int, divisor: int) -> int:
    return -(-number // divisor)
