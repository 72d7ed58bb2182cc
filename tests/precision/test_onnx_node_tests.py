"""ONNX's node tests in fp16 and bf16: one of each op here, all of them where TRTCONV_ALL_NODE_TESTS is set."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.precision.onnx_node_tests import CONVERTED, KEPT, WRONG, NodeCase, judge, node_cases
from tests.support.extent import part

RUN_ALL = bool(os.environ.get("TRTCONV_ALL_NODE_TESTS"))
# What must be converted and what must stay, of the selection.
CONVERTED_OPS = {
    "Conv",
    "MatMul",
    "Gemm",
    "Softmax",
    "Relu",
    "Add",
    "LSTM",
    "Resize",
    "BatchNormalization",
    "Concat",
    "If",
}
KEPT_OPS = {"BitCast", "Unique", "DFT", "STFT", "CumSum", "GridSample", "Exp", "DynamicQuantizeLinear"}


def selected() -> Iterator[NodeCase]:
    """Yield the first case of each set of ops with all inputs given, and the first with constants."""
    seen: set[tuple[frozenset[str], bool]] = set()
    for case in node_cases():
        kind = frozenset(case.ops), case.name.endswith("_bound")
        if RUN_ALL or (kind not in seen and "_expanded" not in case.name):
            seen.add(kind)
            yield case


@pytest.mark.parametrize("precision", part(["fp16", "bf16"], {"fp16"}.__contains__))
def test_no_op_gives_wrong_results(precision: str) -> None:
    results = {case.name: (case, *judge(case, precision)) for case in selected()}
    wrong = {name: why for name, (_, result, why) in results.items() if result == WRONG}
    assert not wrong
    counts = Counter(result for _, result, _ in results.values())
    assert counts[CONVERTED] > 150
    ops_of = {
        word: {op for case, result, _ in results.values() if result == word for op in case.ops}
        for word in (CONVERTED, KEPT)
    }
    no_bf16 = {"Resize"} if precision == "bf16" else set()
    assert CONVERTED_OPS - no_bf16 <= ops_of[CONVERTED]
    assert not KEPT_OPS & ops_of[CONVERTED]
