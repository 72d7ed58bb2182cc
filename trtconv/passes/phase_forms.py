"""Convolutions that compute b neighbouring positions of an axis at once: which input each phase meets, axis by axis.

Position b * q + r of the result, r its phase, is a sum over elements t of a kernel, each times one element of the
input. Where that element is  stride * q + offset(r, t),  the phases are the channels of one convolution over q: its
kernel reaches from the first offset to the last, and holds for each phase the sums of the elements t at their offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AxisForm:
    """One axis of such a convolution.

    `taps` [phases, new kernel, kernel] is 1 where an element of the new kernel takes over one of the old, else 0.
    `begin` and `end` are the pads of the input, `crop` is what the last position has too many.
    """

    stride: int
    taps: Float64
    begin: int
    end: int
    crop: int

    @property
    def phases(self) -> int:
        """How many positions are computed at once."""
        return len(self.taps)

    @property
    def kernel(self) -> int:
        """The size of the new kernel."""
        return len(self.taps[0])


def plain_axis(kernel: int, dilation: int, stride: int, begin: int, end: int) -> AxisForm:
    """Return the form of an axis that stays as it is, its kernel dense."""
    taps = _taps(1, kernel, lambda phase, t: t * dilation, 0, (kernel - 1) * dilation)
    return AxisForm(stride, taps, begin, end, 0)


def upsampled_axis(factor: int, kernel: int, dilation: int, begin: int, end: int) -> AxisForm:
    """Return the form of a convolution of stride 1 after nearest upsampling and pads, as one before the upsampling.

    Element t meets position m = factor * q + r + t * dilation - begin of the upsampled tensor, which is element
    floor(m / factor) of the input. That lies outside where m does, so that zero pads stay zero pads and edge pads edge
    pads, of the input.
    """
    reach = (kernel - 1) * dilation
    first, last = -_ceil(begin, factor), _ceil(reach - begin, factor)
    taps = _taps(factor, kernel, lambda phase, t: (phase + t * dilation - begin) // factor, first, last)
    growth = _ceil(begin + end - reach, factor)  # of the number of positions q over the size of the input
    return AxisForm(1, taps, -first, growth + last, factor * growth - (begin + end - reach))


def transposed_axis(stride: int, kernel: int, dilation: int, begin: int, end: int, output_padding: int) -> AxisForm:
    """Return the form of a transposed convolution as a convolution of its input.

    Element t of the kernel meets element (stride * q + r + begin - t * dilation) / stride of the input where that is
    whole.
    """
    reach = (kernel - 1) * dilation
    more = reach + 1 + output_padding - begin - end  # positions of the result over stride * (size of the input - 1)
    growth = _ceil(more, stride) - 1
    met = {
        (phase, t): (phase + begin - t * dilation) // stride
        for phase in range(stride)
        for t in range(kernel)
        if (phase + begin - t * dilation) % stride == 0
    }
    first, last = min(0, *met.values()), max(0, -growth, *met.values())
    taps = np.zeros((stride, last - first + 1, kernel))
    for (phase, t), offset in met.items():
        taps[phase, offset - first, t] = 1
    return AxisForm(1, taps, -first, growth + last, stride * (growth + 1) - more)


def strided_axis(factor: int, kernel: int, dilation: int, stride: int, begin: int, end: int, size: int) -> AxisForm:
    """Return the form of a convolution with `factor` times its stride; `size` is that of its input, without pads.

    Element t meets element  factor * stride * q + r * stride + t * dilation  of the padded input.
    """
    reach = (kernel - 1) * dilation
    new_kernel = reach + 1 + (factor - 1) * stride
    taps = _taps(factor, kernel, lambda phase, t: phase * stride + t * dilation, 0, new_kernel - 1)
    positions = (size + begin + end - reach - 1) // stride + 1
    blocks = _ceil(positions, factor)
    needed = (blocks - 1) * factor * stride + new_kernel - size - begin
    return AxisForm(factor * stride, taps, begin, max(end, needed), factor * blocks - positions)


def combine(weights: npt.NDArray[np.generic], axes: Sequence[AxisForm]) -> Float64:
    """Return the weights [B * M, C, new kernels] of all phases for those of one, [M, C, kernels], in float64."""
    combined = weights.astype(np.float64)
    for axis in axes:  # the next kernel axis is always the third; its phases and its new kernel come last
        combined = np.tensordot(combined, axis.taps, axes=(2, 2))
    num_axes = len(axes)
    phases, kernels = (range(first, 2 + 2 * num_axes, 2) for first in (2, 3))
    shape = (-1, weights.shape[1], *(axis.kernel for axis in axes))
    ordered: Float64 = combined.transpose(*phases, 0, 1, *kernels).reshape(shape)
    return ordered


def _taps(phases: int, kernel: int, offset: Callable[[int, int], int], first: int, last: int) -> Float64:
    taps = np.zeros((phases, last - first + 1, kernel))
    for phase in range(phases):
        for t in range(kernel):
            taps[phase, offset(phase, t) - first, t] += 1
    return taps


def _ceil(number: int, divisor: int) -> int:
    return -(-number // divisor)
