"""trtconv::DynamicReflectPad: its row, its function at many sizes, and the models that hold it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto

import trtconv
from tests.support import golden
from tests.support.equivalence import run_onnxruntime
from trtconv import BuildConfig
from trtconv.model import model_io
from trtconv.ops.custom_op import MAX_RANK, Operand
from trtconv.ops.dynamic_reflect_pad import DYNAMIC_REFLECT_PAD, dynamic_reflect_pad_reference
from trtconv.shapes import parse_profiles

CASES = golden.FOLDER / "rewrite_reflect_pad"
TO_MULTIPLE = CASES / "run_time_pads_to_a_multiple.onnxtxt"
WITH_AXES = CASES / "run_time_pads_with_axes.onnxtxt"
INT32, FLOAT = TensorProto.INT32, TensorProto.FLOAT


def write(case: Path, folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx.save(golden.read_case(case).model, path)
    return path


@pytest.mark.parametrize(
    ("operands", "rank", "problem"),
    [
        ([(FLOAT, [1, 5]), (INT32, [0, 2]), (INT32, [0, 4])], [2], None),
        ([(FLOAT, ["n", None]), (INT32, [None, None]), (INT32, None)], [2], None),
        ([(FLOAT, None), (None, None), (None, None)], [8], None),
        ([(FLOAT, [1, 5]), (INT32, None), (INT32, None)], [3], "X has rank 2, expected 3"),
        ([(FLOAT, [1, 5]), (INT32, [2]), (INT32, None)], [2], "begins has rank 1, expected 2"),
        ([(FLOAT, [1, 5]), (INT32, None), (TensorProto.INT64, None)], [2], "ends is of type int64, expected int32"),
        ([(FLOAT, [1, 5]), (INT32, [0, 5]), (INT32, None)], [2], "axis 1 of X has size 5"),
        ([(TensorProto.DOUBLE, [1, 5]), (INT32, None), (INT32, None)], [2], "float64"),
        ([(FLOAT, None), (INT32, None), (INT32, None)], [0], f"rank must be one value from 1 to {MAX_RANK}"),
        ([(FLOAT, None), (INT32, None), (INT32, None)], [9], "must be one value"),
        ([(FLOAT, None), (INT32, None), (INT32, None)], [1, 2], "must be one value"),
    ],
)
def test_the_rule_on_inputs_and_rank(
    operands: Sequence[tuple[int | None, Sequence[int | str | None] | None]], rank: list[int], problem: str | None
) -> None:
    found = DYNAMIC_REFLECT_PAD.problem([Operand(*each) for each in operands], {"rank": rank})
    assert (found is None) == (problem is None)
    assert (problem or "") in (found or "")


def test_the_reference_pads_by_dimensions() -> None:
    x = np.arange(12.0).reshape(3, 4)
    got = dynamic_reflect_pad_reference(x, np.zeros((1, 2)), np.zeros((2, 0)), [2])
    np.testing.assert_array_equal(got, np.pad(x, ((1, 2), (2, 0)), mode="reflect"))


@pytest.mark.parametrize("case", [TO_MULTIPLE, WITH_AXES], ids=["to_multiple", "with_axes"])
@pytest.mark.parametrize("sides", [(4, 3), (5, 7), (8, 9), (7, 6), (30, 29)])
def test_the_rewritten_model_pads_every_size(case: Path, sides: tuple[int, int], tmp_path: Path) -> None:
    path, rewritten = write(case, tmp_path), tmp_path / "rewritten.onnx"
    assert trtconv.rewrite(path, rewritten, ops="plugin").num_rewritten == 1
    x = np.random.default_rng(0).standard_normal((2, 2, *sides)).astype(np.float32)
    (expected,) = run_onnxruntime(onnx.load(path), {"x": x}, optimise=False)
    (got,) = run_onnxruntime(onnx.load(rewritten), {"x": x})
    assert got.tobytes() == expected.tobytes()


def test_a_rewritten_model_becomes_native_again(tmp_path: Path) -> None:
    rewritten = tmp_path / "rewritten.onnx"
    trtconv.rewrite(write(TO_MULTIPLE, tmp_path), rewritten, ops="plugin")
    native = model_io.load(rewritten, inline_plugins=True).proto
    assert "Pad" in {node.op_type for node in native.graph.node}
    assert {node.domain for node in native.graph.node} == {""}
    profiles = parse_profiles(["x=1x2x8x9:1x2x13x12:1x2x16x15"])
    report = trtconv.dry_run(rewritten, BuildConfig(backend="tensorrt", ops="native", profiles=profiles))
    assert [decision.became for decision in report.decisions] == [None]


def test_rtx_builds_the_rewritten_model(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    rewritten = tmp_path / "rewritten.onnx"
    trtconv.rewrite(write(TO_MULTIPLE, tmp_path), rewritten, ops="plugin")
    profiles = parse_profiles(["x=1x2x8x9:1x2x13x12:1x2x16x15"])
    assert trtconv.build(rewritten, BuildConfig(backend="tensorrt-rtx", profiles=profiles)).engine.exists()
