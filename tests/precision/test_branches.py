"""Conversion to fp16 and bf16 inside branches and the bodies of loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from tests.support.precision_cases import (
    BF16,
    CHOICES,
    FP16,
    HEADER,
    IF,
    LOOP,
    ROUND,
    SCAN,
    X,
    assert_same_results,
    convert,
)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_branches_are_converted(precision: str) -> None:
    converted = convert(IF, precision, CHOICES)
    assert not converted.kept
    assert len(converted.casts) == 2, "x and y"
    assert {t.data_type for t in converted.model.graph.initializer} == {FP16 if precision == "fp16" else BF16}
    assert_same_results(converted, *CHOICES, tolerance=1e-2 if precision == "fp16" else 3e-2)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_node_that_stays_within_a_branch_has_its_casts_there(precision: str) -> None:
    converted = convert(IF.replace("p = Relu(q)", "e = Exp(q) p = Relu(e)"), precision, CHOICES)
    assert [node.address for node in converted.kept] == ["choice/then_branch/Exp(e)"]
    (choice,) = [node for node in converted.nodes if node.op_type == "If"]
    assert [node.op_type for node in choice.attribute[0].g.node] == ["Mul", "Cast", "Exp", "Cast", "Relu"]
    assert_same_results(converted, *CHOICES, tolerance=5e-2)
    asked = convert(IF, precision, CHOICES, keep_fp32=["choice/then_branch/inner"])
    assert [(node.address, node.op) for node in asked.kept] == [("choice/then_branch/inner", "Mul")]
    outer = convert(IF, precision, CHOICES, keep_fp32=["choice"])
    assert [(node.address, node.op) for node in outer.kept] == [("choice", "If")]
    assert_same_results(outer, *CHOICES, tolerance=5e-2)


def test_values_inside_a_branch_count() -> None:
    """Both branches are seen, though the data take one of them."""
    text = IF.replace("p = Relu(q)", "big = Mul(q, large) p = Mul(big, small)").replace(
        "float one", "float large = {9000}, float small = {1e-4}, float one"
    )
    for choice in CHOICES:
        converted = convert(text, feeds=[choice])
        assert {node.address for node in converted.kept} == {f"choice/then_branch/Mul({name})" for name in ("big", "p")}
        assert "big reaches" in converted.kept[0].reason
        assert_same_results(converted, *CHOICES)


def test_a_branch_that_cannot_run_on_the_data_is_unknown() -> None:
    text = IF.replace("q = Mul(a, one)", "s = Reshape(a, six) q = Mul(s, one)").replace(
        "float one", "int64[2] six = {2, 3}, float one"
    )
    model = onnx.parser.parse_model(HEADER + text)
    converted = convert(model, feeds=CHOICES[1:])
    kept = {node.address: node.reason for node in converted.kept}
    assert kept.keys() == {"choice", "choice/then_branch/Mul(q)", "choice/then_branch/Relu(p)"}
    assert "no input set runs its branch" in kept["choice/then_branch/Mul(q)"]
    assert set(convert(model, "bf16").kept_ops) == set()


def test_two_branches_may_name_their_tensors_alike() -> None:
    text = IF.replace("n = MatMul(a, w)", "q = MatMul(a, w) e = Sin(q) n = Relu(e)")
    converted = convert(text, feeds=CHOICES)
    assert [node.address for node in converted.kept] == ["choice/else_branch/Sin(e)"]
    assert_same_results(converted, *CHOICES, tolerance=5e-2)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize(("text", "feed"), [(LOOP, X), (SCAN, np.stack([X, 2 * X, -X]))], ids=["loop", "scan"])
def test_bodies_are_converted(text: str, feed: Any, precision: str) -> None:
    body = ROUND if text is LOOP else ROUND.replace("MatMul(v, w)", "Add(v, e)")
    feeds = [{"x": feed}]
    converted = convert(text.replace("BODY", body), precision, feeds)
    assert not converted.kept
    assert_same_results(converted, *feeds, tolerance=1e-2 if precision == "fp16" else 5e-2)
    kept = convert(text.replace("BODY", body.replace("Tanh(h)", "Exp(h)")), precision, feeds)
    assert "Exp" in kept.kept_ops
    assert_same_results(kept, *feeds, tolerance=1e-2 if precision == "fp16" else 5e-2)
    asked = convert(text.replace("BODY", body), precision, feeds, keep_fp32=["loop", "scan"][text is SCAN :][:1])
    assert asked.kept_ops["Loop" if text is LOOP else "Scan"] == 1
    assert text is SCAN or set(asked.kept_ops) == {"Loop"}, "all of the Scan's body is light and enclosed by it"
    assert_same_results(asked, *feeds, tolerance=1e-2 if precision == "fp16" else 5e-2)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_state_that_adds_up_stays(precision: str) -> None:
    converted = convert(LOOP.replace("BODY", "h = Mul(a, small) u = Add(v, h)"), precision, [{"x": X}])
    assert converted.kept_ops["Loop"] == converted.kept_ops["Add"] == 1
    assert "accumulates over the iterations" in converted.reason("Loop")
    assert "Mul" not in converted.kept_ops
    assert_same_results(converted, {"x": X}, tolerance=3e-2)


def test_values_of_every_round_count() -> None:
    """x triples in each round: 3e4 is passed in the last of ten."""
    text = LOOP.replace("BODY", "u = Mul(v, three)").replace("int64 n = {3}", "int64 n = {10}, float three = {3}")
    kept = {node.address for node in convert(text, feeds=[{"x": X}]).kept}
    assert {"loop", "loop/body/Mul(u)"} <= kept
    assert "loop/body/Mul(u)" not in {node.address for node in convert(text, "bf16").kept}
    never = convert(text.replace("int64 n = {10}", "int64 n = {0}"), feeds=[{"x": X}])
    assert "is unknown: no input set runs its branch or body" in next(
        node.reason for node in never.kept if node.address == "loop/body/Mul(u)"
    )


def test_an_if_within_a_loop() -> None:
    body = """z = Less(i, one64) u = If(z) <then_branch = t () => (float[2,4] p) { p = Mul(v, half) },
        else_branch = e () => (float[2,4] q) { m = MatMul(v, w) q = Mul(m, small) }>"""
    text = LOOP.replace("BODY", body).replace("float half", "int64 one64 = {1}, float half")
    for precision in ("fp16", "bf16"):
        converted = convert(text, precision, [{"x": X}])
        assert not converted.kept
        assert_same_results(converted, {"x": X}, tolerance=1e-2 if precision == "fp16" else 5e-2)
