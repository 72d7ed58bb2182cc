"""Random edits are in the written model, all of them, and the rest is byte for byte what was read."""

from __future__ import annotations

import os
import random
from pathlib import Path

import onnx
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import golden
from tests.support.edits import read, to_bytes, written
from tests.support.extent import num_examples
from tests.support.random_graphs import RandomModel, TwinEdits

PROPERTY = settings(max_examples=num_examples(300), deadline=None, derandomize=True)
MODELS = os.environ.get("TRTCONV_TEST_MODELS")
REAL_MODELS = sorted(Path(MODELS).rglob("*.onnx")) if MODELS else []


@PROPERTY
@given(st.randoms(use_true_random=False))
def test_without_edits_nothing_changes(rng: random.Random) -> None:
    proto = RandomModel(rng).proto
    assert to_bytes(written(proto, *read(proto))) == to_bytes(proto)


@pytest.mark.parametrize(
    "path", [*golden.case_paths(), *REAL_MODELS], ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_test_models_come_back_identical(path: Path) -> None:
    proto = onnx.load(path, load_external_data=False) if path.suffix == ".onnx" else golden.read_case(path).model
    proto.ClearField("functions")
    assert to_bytes(written(proto, *read(proto))) == to_bytes(proto)


@PROPERTY
@given(st.randoms(use_true_random=False), st.integers(1, 6))
def test_edits_come_out_as_they_were_made(rng: random.Random, num_edits: int) -> None:
    proto = RandomModel(rng).proto
    graph, as_read = read(proto)
    expected = onnx.ModelProto()
    expected.CopyFrom(proto)
    TwinEdits(rng, graph, expected).make(num_edits)
    before = to_bytes(proto)
    result = written(proto, graph, as_read)
    assert to_bytes(proto) == before
    assert_same(result.graph, expected.graph)
    assert_ordered(result.graph, set())
    order = [node.output[-1] for node in proto.graph.node]
    order_now = [node.output[-1] for node in result.graph.node if node.output[-1] in order]
    assert order_now == [name for name in order if name in order_now]


def assert_same(graph: onnx.GraphProto, expected: onnx.GraphProto) -> None:
    """Compare two graphs: each node, whatever their order, inputs, outputs, initializers, declared types."""
    for field in ("name", "doc_string"):
        assert getattr(graph, field) == getattr(expected, field)
    for field in ("input", "output"):
        assert list(getattr(graph, field)) == list(getattr(expected, field))
    assert sorted(map(to_bytes, graph.initializer)) == sorted(map(to_bytes, expected.initializer))
    nodes, expected_nodes = ({tuple(node.output): node for node in each.node} for each in (graph, expected))
    assert len(nodes) == len(graph.node)
    assert nodes.keys() == expected_nodes.keys()
    for outputs, node in nodes.items():
        other = expected_nodes[outputs]
        assert to_bytes(without_branches(node)) == to_bytes(without_branches(other))
        for attribute, expected_attribute in zip(node.attribute, other.attribute, strict=True):
            assert_same(attribute.g, expected_attribute.g)
    declared = {value.name: value for value in graph.value_info}
    for value in expected.value_info:
        assert declared[value.name] == value
    assert declared.keys() <= {name for node in graph.node for name in node.output}


def without_branches(node: onnx.NodeProto) -> onnx.NodeProto:
    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    for attribute in alone.attribute:
        attribute.ClearField("g")
    return alone


def assert_ordered(graph: onnx.GraphProto, outer: set[str]) -> None:
    """Each tensor is written once, and before it is read, by branches too."""
    seen = outer | {""} | {each.name for each in (*graph.input, *graph.initializer)}
    for node in graph.node:
        assert seen.issuperset(node.input)
        for attribute in node.attribute:
            assert_ordered(attribute.g, seen)
        assert seen.isdisjoint(node.output)
        seen = seen | set(node.output)
    assert seen.issuperset(value.name for value in graph.output)
