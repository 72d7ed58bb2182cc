"""The search for the smallest part of a network, with conditions that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from trtconv.reduction.search import smallest
from trtconv.reduction.subgraph import Part, Parts

LENGTH = 40


@pytest.fixture
def chain() -> Parts:
    """40 nodes one after the other; every tensor also goes into the last, and a constant into each."""
    nodes = ["k = Constant<value_float=1.0>()", *(f"t{n + 1} = Add(t{n}, k)" for n in range(LENGTH))]
    text = f'<ir_version: 8, opset_import: ["": 17]> g (float[3] t0) => (float[3] t{LENGTH}) {{ {" ".join(nodes)} }}'
    return Parts(onnx.parser.parse_model(text), Path(), {"t0": np.zeros(3, np.float32)})


def places(*numbers: int) -> Part:
    """The places of nodes; the constant is at 0."""
    return frozenset(numbers)


@pytest.mark.parametrize("first", [1, 2, 17, 39, 40])
def test_the_nearest_start_that_holds_is_found(chain: Parts, first: int) -> None:
    tried = []

    def holds(part: Part) -> bool:
        tried.append(part)
        return first in part

    assert smallest(chain, f"t{LENGTH}", holds) == places(*range(first, LENGTH + 1))
    assert len(tried) <= 2 * 6 + LENGTH - first + 1


def test_a_condition_that_never_holds(chain: Parts) -> None:
    assert smallest(chain, f"t{LENGTH}", lambda part: False) is None


def test_nodes_beside_the_wrong_one_are_left_out() -> None:
    """The wrong node is two levels back, on one of two arms."""
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[3] x) => (float[3] y) {
        a = Neg(x) b = Abs(x) c = Exp(a) d = Relu(b) y = Add(c, d) }"""
    parts = Parts(onnx.parser.parse_model(text), Path(), {"x": np.ones(3, np.float32)})
    found = smallest(parts, "y", lambda part: {1, 4} <= part)
    assert found == places(1, 3, 4)
    model, values = parts.extract(found, "y")
    assert [value.name for value in model.graph.input] == ["x", "c"]
    assert values["c"] == pytest.approx(np.exp(-1), rel=1e-6)


def test_constants_are_no_inputs(chain: Parts) -> None:
    model, values = chain.extract(places(LENGTH), f"t{LENGTH}")
    assert [node.op_type for node in model.graph.node] == ["Constant", "Add"]
    assert {name: float(each[0]) for name, each in values.items()} == {f"t{LENGTH - 1}": LENGTH - 1}


def test_a_part_of_an_old_model_is_valid() -> None:
    """Up to IR version 3 every initializer is an input as well."""
    text = '<ir_version: 3, opset_import: ["": 8]> g (float[3] x, float[3] w) => (float[3] y) <float[3] w = {1, 2, 3}> '
    model = onnx.parser.parse_model(text + "{ a = Neg(x) y = Add(a, w) }")
    parts = Parts(model, Path(), {"x": np.ones(3, np.float32)})
    small, values = parts.extract(places(1), "y")
    onnx.checker.check_model(small, full_check=True)
    assert list(values) == [value.name for value in small.graph.input] == ["a"]
