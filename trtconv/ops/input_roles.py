"""What the inputs of ONNX operators are for, by position: to say a shape, or to be constants for TensorRT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_REDUCTIONS = tuple(
    f"Reduce{kind}" for kind in ("Mean", "Sum", "Max", "Min", "Prod", "SumSquare", "L1", "L2", "LogSum", "LogSumExp")
)

# Inputs whose values say which shape a node gives.
SHAPE_INPUTS: Mapping[str, Sequence[int]] = {
    "Pad": (1, 3),
    "Reshape": (1,),
    "Expand": (1,),
    "Tile": (1,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
    "Resize": (2, 3),
    "Upsample": (1,),
    "ConstantOfShape": (0,),
    "Range": (0, 1, 2),
    "TopK": (1,),
    "OneHot": (1,),
    "CenterCropPad": (1,),
    "Col2Im": (1, 2),
    **dict.fromkeys(_REDUCTIONS, (1,)),
}

# Inputs that TensorRT's parsers take as initializers and Constant nodes, but not as what other nodes compute from them.
# Of those in TensorRT-RTX 1.7.1 these are the reductions and STFT; the others are those of older parsers.
CONSTANT_INPUTS: Mapping[str, Mapping[int, str]] = {
    **{op: {1: "axes"} for op in _REDUCTIONS},
    "Squeeze": {1: "axes"},
    "Unsqueeze": {1: "axes"},
    "CumSum": {1: "axis"},
    "Trilu": {1: "k"},
    "Upsample": {1: "scales"},
    "Pad": {3: "axes"},
    "STFT": {1: "frame_step", 3: "frame_length"},
}
