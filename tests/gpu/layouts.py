"""Tensors [N, C, D1..Dk] in the layouts of the plugin library's formats, and back."""

from __future__ import annotations

from collections.abc import Sequence

from tests.gpu.cuda_torch import torch
from tests.gpu.kernel_library import FORMAT_CHANNELS_LAST, FORMAT_CHW4, FORMAT_CHW32, FORMAT_LINEAR, Tensor

# Channels that fill vectors, blocks and columns, and that do not.
CHANNELS = (1, 3, 7, 8, 9, 24, 40, 64, 320)


def lanes_of(format_: int, element_bytes: int) -> int:
    """Return how many neighbouring channels lie together."""
    lanes = {FORMAT_LINEAR: 1, FORMAT_CHANNELS_LAST: 16 // element_bytes, FORMAT_CHW4: 4, FORMAT_CHW32: 32}
    return lanes[format_]


def to_layout(x: Tensor, format_: int, filling: float) -> Tensor:
    """Return `x` as it lies in memory; `filling` fills the vectors up."""
    if format_ == FORMAT_LINEAR:
        return x.contiguous()
    lanes = lanes_of(format_, x.element_size())
    batch, channels, *sizes = x.shape
    groups = -(-channels // lanes)
    filled = torch.full((batch, groups * lanes, *sizes), filling, dtype=x.dtype, device=x.device)
    filled[:, :channels] = x
    if format_ == FORMAT_CHANNELS_LAST:
        return filled.movedim(1, -1).contiguous()
    return filled.view(batch, groups, lanes, *sizes).movedim(2, -1).contiguous()


def from_layout(stored: Tensor, channels: int, format_: int) -> tuple[Tensor, Tensor]:
    """Return the tensor [N, C, D1..Dk], and what fills its vectors up."""
    if format_ == FORMAT_LINEAR:
        return stored, stored[:, :0]
    if format_ == FORMAT_CHANNELS_LAST:
        filled = stored.movedim(-1, 1)
    else:
        split = stored.movedim(-1, 2)
        filled = split.reshape(split.shape[0], -1, *split.shape[3:])
    return filled[:, :channels].contiguous(), filled[:, channels:]


def in_phases(x: Tensor, phases: Sequence[int], filling: float) -> tuple[Tensor, tuple[int, ...]]:
    """Return `x` [N, C, D1..Dk] as the phases of its spatial axes, [N, B * C, d1..dk], and what is cropped of them.

    This undoes ONNX's DepthToSpace(mode=DCR). `filling` is what is cropped, where an axis holds no whole elements of
    its phases.
    """
    sizes = x.shape[2:]
    crop = tuple(-size % factor for size, factor in zip(sizes, phases, strict=True))
    filled = torch.full((*x.shape[:2], *map(sum, zip(sizes, crop, strict=True))), filling, dtype=x.dtype, device="cuda")
    filled[(..., *map(slice, sizes))] = x
    split = [part for size, factor in zip(filled.shape[2:], phases, strict=True) for part in (size // factor, factor)]
    num_axes = len(phases)
    elements = [2 + 2 * axis for axis in range(num_axes)]
    order = (0, *(axis + 1 for axis in elements), 1, *elements)
    parts = filled.reshape(*x.shape[:2], *split).permute(order)
    return parts.reshape(x.shape[0], -1, *split[::2]).contiguous(), crop
