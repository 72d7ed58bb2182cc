"""Any way to write an instance norm is recognised, and one with a fault keeps its numbers, whatever it is taken for."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.equivalence import Arrays, assert_same_numbers, rewrite, run_onnxruntime, seeded_inputs
from tests.support.extent import num_examples
from tests.support.group_spellings import GroupSpelling
from tests.support.model_faults import with_each_fault
from tests.support.norm_spellings import NormSpelling
from trtconv.errors import ModelError

# Sums of other orders, whose rounding a fault may blow up; what is taken for another function differs by far more.
ROUNDING = 1e-3
STATISTICS = {"Sqrt", "Pow", "Reciprocal", "ReduceMean", "ReduceSum", "GlobalAveragePool"}


@settings(max_examples=num_examples(80), deadline=None, derandomize=True)
@given(st.integers(0, 1 << 30))
def test_every_spelling_is_recognised(seed: int) -> None:
    model = NormSpelling(random.Random(seed)).proto
    with tempfile.TemporaryDirectory() as folder:
        rewritten = rewrite(model, Path(folder), ops="fused")
    made = {node.op_type for node in rewritten.proto.graph.node}
    assert "InstanceNorm" in made
    assert not STATISTICS & made
    assert_same_numbers(model, rewritten.proto, seeded_inputs(model))


@settings(max_examples=num_examples(80), deadline=None, derandomize=True)
@given(st.integers(0, 1 << 30))
def test_every_spelling_of_groups_is_recognised(seed: int) -> None:
    model = GroupSpelling(random.Random(seed)).proto
    with tempfile.TemporaryDirectory() as folder:
        rewritten = rewrite(model, Path(folder), ops="fused")
    made = [node for node in rewritten.proto.graph.node if node.op_type == "InstanceNorm"]
    assert len(made) == 1
    assert next(each.i for each in made[0].attribute if each.name == "groups") > 1
    assert not (STATISTICS | {"LayerNormalization", "Reshape"}) & {node.op_type for node in rewritten.proto.graph.node}
    assert rewritten.num_edits == 1
    assert [decision.op for decision in rewritten.decisions if decision.is_plugin] == ["written-out norm"]
    assert_same_numbers(model, rewritten.proto, seeded_inputs(model))


@pytest.mark.parametrize("is_of_groups", [False, True], ids=["of channels", "of groups"])
@pytest.mark.parametrize("seed", range(2))
def test_a_fault_keeps_its_numbers(seed: int, is_of_groups: bool, tmp_path: Path) -> None:
    rng = random.Random(seed)
    model = GroupSpelling(rng).proto if is_of_groups else NormSpelling(rng, is_disguised=False).proto
    feeds = seeded_inputs(model)
    num_taken = 0
    for fault, faulty in with_each_fault(model):
        faulty.graph.output[0].type.tensor_type.ClearField("shape")
        expected = _run(faulty, feeds)
        if expected is None or not np.isfinite(expected).all():
            continue
        try:
            rewritten = rewrite(faulty, tmp_path, ops="fused").proto
        except ModelError:  # a model that ONNX forbids, which ONNX Runtime ran all the same
            continue
        num_taken += any(node.op_type == "InstanceNorm" for node in rewritten.graph.node)
        (got,) = run_onnxruntime(rewritten, feeds)
        assert got.shape == expected.shape, fault
        difference = np.abs(got - expected).max(initial=0)
        assert difference <= ROUNDING * np.abs(expected).max(initial=0), fault
    assert num_taken, "no fault left a norm: the test shows nothing"


def _run(model: onnx.ModelProto, feeds: Arrays) -> npt.NDArray[np.float32] | None:
    try:
        (y,) = run_onnxruntime(model, feeds, optimise=False)
    except Exception:  # ONNX Runtime has many
        return None
    return y
