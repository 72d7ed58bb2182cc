"""What a network does, as the cost model sees it: nodes with the data that they read and write."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from trtconv.ops import names_of_kind
from trtconv.ops.custom_op import CustomOp

Layout = Literal["linear", "channels_last"]
LINEAR: Final = "linear"
CHANNELS_LAST: Final = "channels_last"
_VECTOR_BYTES = 16  # channels-last tensors hold whole vectors of channels
_MIN_IMAGE_RANK = 3

CONVOLUTION, NORM, PAD, RESIZE = "convolution", "norm", "pad", "resize"
POINTWISE, REDUCTION, MOVE, VIEW, OTHER = "pointwise", "reduction", "move", "view", "other"
# What TensorRT may join into one region around a norm or a reduction.
REGIONAL = frozenset({NORM, POINTWISE, REDUCTION, MOVE, VIEW})

_POINTWISE_OPS = (
    *("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "Sigmoid", "HardSigmoid", "HardSwish"),
    *("Tanh", "Softplus", "Softsign", "Gelu", "Mish", "Swish", "Clip", "Add", "Sub", "Mul", "Div", "Pow", "Sqrt"),
    *("Reciprocal", "Exp", "Log", "Erf", "Abs", "Neg", "Floor", "Ceil", "Round", "Sign", "Sin", "Cos", "Max", "Min"),
    *("Sum", "Mean", "Where", "Cast", "BatchNormalization", "Equal", "Greater", "Less", "And", "Or", "Not"),
)
_REDUCTIONS = (
    *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSumSquare", "ReduceL1", "ReduceL2"),
    *("ReduceLogSumExp", "Softmax", "LogSoftmax", "LayerNormalization", "GroupNormalization", "RMSNormalization"),
    *("MeanVarianceNormalization", "LpNormalization"),
)
_MOVES = ("Slice", "Transpose", "Concat", "Split", "Gather", "Expand", "Tile", "DepthToSpace", "SpaceToDepth")
_VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")
_KINDS: Mapping[str, str] = {
    **dict.fromkeys(_POINTWISE_OPS, POINTWISE),
    **dict.fromkeys(_REDUCTIONS, REDUCTION),
    **dict.fromkeys(_MOVES, MOVE),
    **dict.fromkeys(_VIEWS, VIEW),
    **dict.fromkeys(names_of_kind("norm"), NORM),
    **dict.fromkeys(names_of_kind("pad"), PAD),
    **dict.fromkeys(("Resize", "Upsample"), RESIZE),
    **dict.fromkeys(("Conv", "ConvTranspose"), CONVOLUTION),
}


def kind_of(op: str) -> str:
    """Return which kind of work an ONNX operator or a custom op is."""
    return _KINDS.get(op, OTHER)


@dataclass(frozen=True)
class Data:
    """A tensor of known size: its dimensions, and the bytes of an element in the engine."""

    dims: tuple[int, ...]
    element_bytes: int

    def num_bytes(self, layout: Layout = LINEAR) -> int:
        """Return what it takes in memory; channels-last, the channels fill whole vectors of 16 bytes."""
        if layout == LINEAR or len(self.dims) < _MIN_IMAGE_RANK:
            return math.prod(self.dims) * self.element_bytes
        channels = -(-self.dims[1] // self.lanes) * self.lanes
        return self.dims[0] * channels * math.prod(self.dims[2:]) * self.element_bytes

    @property
    def lanes(self) -> int:
        """The channels in a vector of a channels-last tensor."""
        return max(_VECTOR_BYTES // self.element_bytes, 1)

    @property
    def is_image(self) -> bool:
        """Whether it has channels and at least one spatial axis, so that it may lie channels-last."""
        return len(self.dims) >= _MIN_IMAGE_RANK


@dataclass(frozen=True)
class Work:
    """One node: what it is, and the data that it reads and writes, by name; constants are left out.

    `op` is set for a custom op, with its `attributes` and the `roles` of its inputs. `weights` are the dimensions of a
    convolution's, `is_transposed` says that it is a ConvTranspose, `is_uneven` that its strides differ between axes.
    """

    name: str
    kind: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    op: CustomOp | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    roles: Sequence[str] = ()
    weights: Sequence[int] = ()
    is_transposed: bool = False
    is_uneven: bool = False

    @property
    def is_regional(self) -> bool:
        """Whether TensorRT may join it with its neighbours: a plugin stands alone."""
        return self.op is None and self.kind in REGIONAL
