"""The tensor that a norm is of, and the axes by which what is computed of it is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_graphsurgeon as gs

from trtconv.ops.custom_op import Dim
from trtconv.passes.graph_edit import shape_of
from trtconv.passes.views import Axes, whole


@dataclass(frozen=True)
class Source:
    """The tensor X that a norm may be of, and where its channels are.

    `dims` are the sizes of the axes that quantities are told by: those of the tensor, but that with `groups` of
    channels the axis of the channels is two, one of the groups and one of the channels of a group.
    """

    tensor: gs.Tensor
    dims: Sequence[Dim]
    channel_axis: int
    groups: int = 0

    @classmethod
    def of(cls, tensor: gs.Tensor, channel_axis: int, groups: int = 0) -> Source:
        """Return a tensor as a source; with `groups` it has that many, which divide its channels."""
        dims = list(shape_of(tensor) or [])
        if groups:
            channels = dims[channel_axis]
            assert isinstance(channels, int)
            dims[channel_axis : channel_axis + 1] = [groups, channels // groups]
        return cls(tensor, dims, channel_axis, groups)

    @property
    def channel_axes(self) -> Axes:
        """The axes along which scale and bias may vary."""
        return (self.channel_axis, self.channel_axis + 1) if self.groups else (self.channel_axis,)

    @property
    def tensor_dims(self) -> list[Dim]:
        """The sizes of the tensor."""
        dims = list(self.dims)
        if self.groups:
            channels = [dim for dim in dims[self.channel_axis : self.channel_axis + 2] if isinstance(dim, int)]
            dims[self.channel_axis : self.channel_axis + 2] = [math.prod(channels)]
        return dims

    @property
    def view(self) -> list[Axes]:
        """How the dimensions of the tensor lie in the axes."""
        view = whole(self.dims)
        if self.groups:
            view[self.channel_axis : self.channel_axis + 2] = [sum(view[self.channel_axis : self.channel_axis + 2], ())]
        return view

    @property
    def spatial(self) -> frozenset[int]:
        """The axes that the statistics are taken over; those of size 1 make no difference."""
        kept = (0, self.channel_axis)
        return frozenset(axis for axis, dim in enumerate(self.dims) if axis not in kept and dim != 1)
