"""What kinds of ops there are, for deciding which of them may compute in 16 bits."""

from __future__ import annotations

MATRIX_PRODUCTS = frozenset(
    ("Conv", "ConvTranspose", "DeformConv", "MatMul", "Gemm", "Einsum", "LSTM", "GRU", "RNN", "Attention")
)
NATIVE_NORMS = frozenset({"InstanceNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization"})
NORMS = NATIVE_NORMS | {"InstanceNorm", "BatchNormalization"}
POOLS = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize", "Upsample"})
HEAVY = MATRIX_PRODUCTS | NORMS | POOLS | {"Softmax"}
MOVES = frozenset(
    {
        *("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Expand", "Tile", "Slice", "Split"),
        *("Concat", "Gather", "Pad", "DepthToSpace", "SpaceToDepth", "Dropout", "ReflectPad"),
    }
)
