"""What passes read of a Conv or ConvTranspose node: its sizes, its pads and its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx_graphsurgeon as gs

from trtconv import element_types
from trtconv.ops.output_map import FLOATS
from trtconv.passes.base import NoMatch, PassContext
from trtconv.passes.constant_values import read_constants
from trtconv.passes.graph_edit import given_inputs, shape_of

MAX_KERNEL = 1 << 12  # elements of an axis
MAX_WEIGHTS = 1 << 28  # elements; a convolution has fewer
_MISFIT = "its attributes do not fit its weights"


class Convolution(NamedTuple):
    """A convolution of one group over [N, C, D1..Dk]; the lists have an entry a spatial axis.

    `begins` and `ends` are the zero pads of X, or what a transposed convolution takes off its result.
    """

    node: gs.Node
    in_channels: int
    out_channels: int
    kernel: Sequence[int]
    strides: Sequence[int]
    dilations: Sequence[int]
    begins: Sequence[int]
    ends: Sequence[int]
    output_padding: Sequence[int]

    @property
    def x(self) -> gs.Tensor:
        """What it reads."""
        tensor: gs.Tensor = self.node.inputs[0]
        return tensor

    @property
    def y(self) -> gs.Tensor:
        """What it writes."""
        tensor: gs.Tensor = self.node.outputs[0]
        return tensor

    @property
    def is_transposed(self) -> bool:
        """Whether it is a ConvTranspose."""
        return bool(self.node.op == "ConvTranspose")


class Parameters(NamedTuple):
    """The values of a convolution's weights, [M, C, kernel] also of a transposed one, and of its bias [M]."""

    weights: npt.NDArray[Any]
    bias: npt.NDArray[Any] | None

    @property
    def num_bytes(self) -> int:
        """How many bytes they take."""
        return self.weights.nbytes + (0 if self.bias is None else self.bias.nbytes)


def read_convolution(node: gs.Node) -> Convolution | NoMatch:
    """Return a convolution as its attributes and the shape of its weights say, or why the passes take no such one."""
    weight = shape_of(node.inputs[1]) if len(node.inputs) > 1 else None
    if weight is None or len(weight) < 3 or not all(isinstance(size, int) and size > 0 for size in weight):
        return NoMatch("the shape of its weights is not known")
    sizes = [size for size in weight if isinstance(size, int)]
    if (groups := node.attrs.get("group", 1)) != 1:
        return NoMatch(f"it has {groups} groups")
    kernel = sizes[2:]
    if max(kernel) > MAX_KERNEL:
        return NoMatch(f"its kernel has the sizes {kernel}")
    ranks = [len(dims) for tensor in (node.inputs[0], node.outputs[0]) if (dims := shape_of(tensor)) is not None]
    lists = {name: node.attrs.get(name, []) for name in ("strides", "dilations", "output_padding", "pads")}
    if any(rank != len(sizes) for rank in ranks):
        return NoMatch(_MISFIT)
    ones = [1] * len(kernel)
    strides, dilations = (lists[name] or ones for name in ("strides", "dilations"))
    output_padding = lists["output_padding"] or [0] * len(kernel)
    if node.attrs.get("output_shape"):
        return NoMatch("its output_shape says how it is padded")
    pads = _pads(node, kernel, strides, dilations)
    if isinstance(pads, NoMatch):
        return pads
    of_axes = (strides, dilations, output_padding, *pads)
    if any(len(values) != len(kernel) for values in of_axes) or node.attrs.get("kernel_shape", kernel) != kernel:
        return NoMatch(_MISFIT)
    if min(*strides, *dilations) < 1:
        return NoMatch(_MISFIT)
    if any(value < 0 for values in (*pads, output_padding) for value in values):
        return NoMatch("some of its pads are negative")
    channels = (sizes[0], sizes[1]) if node.op == "ConvTranspose" else (sizes[1], sizes[0])
    return Convolution(node, *channels, kernel, strides, dilations, *pads, output_padding)


def _pads(
    node: gs.Node, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[list[int], list[int]] | NoMatch:
    """Return the pads before and after each axis."""
    count, auto_pad = len(kernel), node.attrs.get("auto_pad", "NOTSET")
    if auto_pad == "NOTSET":
        pads = list(node.attrs.get("pads") or [0] * (2 * count))
        return pads[:count], pads[count:]
    if auto_pad == "VALID":
        return [0] * count, [0] * count
    if node.op == "ConvTranspose" or any(stride != 1 for stride in strides):
        return NoMatch(f"how auto_pad {auto_pad} pads it depends on its sizes")
    totals = [(size - 1) * dilation for size, dilation in zip(kernel, dilations, strict=True)]
    fewer, more = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return (more, fewer) if auto_pad == "SAME_LOWER" else (fewer, more)


def read_parameters(convolution: Convolution, context: PassContext) -> Parameters | NoMatch:
    """Return the values of weights and bias, read from an external file only here, or why they are not known."""
    node = convolution.node
    tensors = [tensor for tensor in given_inputs(node)[1:3] if tensor is not None]
    found = read_constants(tensors, context.opset, context.folder, limit=MAX_WEIGHTS)
    values = [found[tensor.name] for tensor in tensors]
    for value in values:
        if isinstance(value, NoMatch):
            return NoMatch(f"its weights are not constant: {value.reason}")
        dtype = element_types.of_dtype(value.dtype).onnx
        if dtype not in FLOATS:
            return NoMatch(f"its weights are of type {element_types.name_of(dtype)}")
        if not np.isfinite(value.astype(np.float64)).all():
            return NoMatch("not all of its weights are finite")
    weights, *bias = (value for value in values if isinstance(value, np.ndarray))
    shape = (convolution.out_channels, convolution.in_channels, *convolution.kernel)
    if convolution.is_transposed and weights.ndim == len(shape):
        weights = weights.swapaxes(0, 1)
    if weights.shape != shape or any(each.shape != shape[:1] for each in bias):
        return NoMatch("its weights do not have the shape that is declared")
    return Parameters(weights, bias[0] if bias else None)
