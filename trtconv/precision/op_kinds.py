"""What kinds of ops there are, for deciding which of them may compute in 16 bits."""

from __future__ import annotations

from trtconv.ops import CUSTOM_OPS, names_of_kind

MATRIX_PRODUCTS = frozenset(
    ("Conv", "ConvTranspose", "DeformConv", "MatMul", "Gemm", "Einsum", "LSTM", "GRU", "RNN", "Attention")
)
NATIVE_NORMS = frozenset({"LayerNormalization", "GroupNormalization", "RMSNormalization"}) | (
    names_of_kind("norm") - CUSTOM_OPS.keys()
)
NORMS = NATIVE_NORMS | names_of_kind("norm") | {"BatchNormalization"}
POOLS = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize", "Upsample"})
HEAVY = MATRIX_PRODUCTS | NORMS | POOLS | {"Softmax"}
MOVES = names_of_kind("pad") | {
    *("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Expand", "Tile", "Slice", "Split"),
    *("Concat", "Gather", "DepthToSpace", "SpaceToDepth", "Dropout"),
}
# Every value of their outputs is a value of their inputs.
SELECTIONS = MOVES - names_of_kind("pad") - {"Dropout"}
