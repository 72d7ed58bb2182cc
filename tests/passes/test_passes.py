"""Every golden case: the expected graph, a truthful count, reasons, a second run without edits, the same numbers."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
import onnx.parser
import pytest

from tests.support import golden
from tests.support.equivalence import assert_same_numbers, rewrite, seeded_inputs
from trtconv.errors import ModelError

CASES = golden.case_paths()
# Nothing can run these models, before as after; the case itself says so.
RUNS_NOWHERE = "othing runs"
FAILS_IN_REFERENCE = "onnx.reference mixes"
FAILS_CHECKER = "onnx.checker refuses it"


@pytest.fixture(params=CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def case(request: pytest.FixtureRequest) -> golden.Case:
    return golden.read_case(request.param)


@pytest.mark.parametrize("epsilon", [math.nan, math.inf, -math.inf, -1e-30])
def test_an_epsilon_that_is_no_number_from_0_on_stays_native(epsilon: float, tmp_path: Path) -> None:
    """ONNX's text format has no such numbers."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[1,2,3] x, float[2] s) => (float[1,2,3] y) '
        "{ y = InstanceNormalization <epsilon = 0.5> (x, s, s) }"
    )
    model.graph.node[0].attribute[0].f = epsilon
    rewritten = rewrite(model, tmp_path)
    assert rewritten.num_edits == 0
    assert rewritten.reasons == [f"epsilon must be a number not below 0, got {epsilon:g}"]
    assert list(rewritten.proto.functions) == []


def test_pads_that_no_plugin_field_holds_stay_native(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[N] x) => (float[M] y) <int64[2] pads = {2147483648, 0}> '
        '{ y = Pad <mode = "reflect"> (x, pads) }'
    )
    rewritten = rewrite(model, tmp_path)
    assert rewritten.num_edits == 0
    assert rewritten.reasons == ["pads must be at most 2147483647, got [2147483648, 0]"]


@pytest.mark.parametrize("opset", [10, 17])
def test_pads_that_crop_more_than_int64_holds_are_refused(opset: int, tmp_path: Path) -> None:
    values = "-9223372036854775808, 1"
    pad, pads = ("(x, pads)", f"<int64[2] pads = {{{values}}}>") if opset > 10 else ("(x)", "")
    attribute = "" if opset > 10 else f", pads = [{values}]"
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> g (float[N] x) => (float[M] y) {pads} '
        f'{{ y = Pad <mode = "reflect"{attribute}> {pad} }}'
    )
    with pytest.raises(ModelError, match=r"Pad\(y\): pads of -9223372036854775808 crop more than any tensor has"):
        rewrite(model, tmp_path)


def test_rewrite_gives_the_expected_graph(case: golden.Case, tmp_path: Path) -> None:
    if case.error is not None:
        with pytest.raises(ModelError) as raised:
            case.rewrite()
        assert case.error in str(raised.value)
        return
    text = case.path.read_text()
    rewritten = case.rewrite()
    assert rewritten.num_edits == case.num_edits
    assert len(rewritten.decisions) == case.num_edits + len(case.native)
    for reason, expected in zip(rewritten.reasons, case.native, strict=True):
        assert expected in reason
    if case.others:
        for other, expected in zip(rewritten.others, case.others, strict=True):
            assert expected in other.reason
    expected_text = case.expected_text or golden.to_text(case.model)
    assert golden.to_text(rewritten.proto) == golden.normalised(expected_text)
    assert (rewritten.warning is None) == (FAILS_CHECKER not in text)

    again = rewrite(rewritten.proto, tmp_path, case.keep_native, case.ops)
    assert again.num_edits == 0
    assert again.proto.SerializeToString(deterministic=True) == rewritten.proto.SerializeToString(deterministic=True)

    if RUNS_NOWHERE in text or FAILS_CHECKER in text:
        return
    if case.path.stem != "already_rewritten":
        onnx.checker.check_model(rewritten.proto, full_check=True)
        feeds = seeded_inputs(case.model, case.feeds)
        assert_same_numbers(case.model, rewritten.proto, feeds, by_references=FAILS_IN_REFERENCE not in text)
