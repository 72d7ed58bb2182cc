"""Nearest upsampling that is written out becomes Resize in any spelling; what repeats otherwise keeps its numbers."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.support.equivalence import assert_same_numbers, rewrite, seeded_inputs
from tests.support.extent import num_examples

KINDS = ("Tile", "Expand", "Mul")
WRITTEN_OUT = {*KINDS, "Unsqueeze", "Reshape"}


class Upsampling:
    """A model that repeats elements and convolves; `is_nearest` says whether each follows its own copies."""

    def __init__(self, rng: random.Random, is_nearest: bool) -> None:
        self.constants: list[onnx.TensorProto] = []
        self.nodes: list[onnx.NodeProto] = []
        dims = [rng.randint(1, 2), rng.randint(2, 3), *(rng.randint(2, 4) for _ in range(rng.randint(1, 3)))]
        factors = [1, 1, *(rng.randint(1, 3) for _ in dims[2:])]
        factors[rng.randrange(2, len(dims))] = 2
        groups = [[axis for axis in range(2, len(dims)) if factors[axis] > 1]]
        if rng.random() < 0.3:
            groups = [[axis] for axis in groups[0]]
        current, tensor = list(dims), "x"
        for group in groups:
            view, counts = [], []
            for axis, dim in enumerate(current):
                own = [(dim, 1), (1, factors[axis])] if axis in group else [(dim, 1)]
                for size, count in own if is_nearest else own[::-1]:
                    view.append(size)
                    counts.append(count)
                current[axis] = dim * (factors[axis] if axis in group else 1)
            tensor = self._repeated(tensor, view, counts, rng, is_nearest)
            tensor = self._node("Reshape", tensor, self._integers([0, *current[1:]] if rng.random() < 0.5 else current))
        weights = np.array(rng.choices(range(-3, 4), k=4 * dims[1] * 3 ** len(dims[2:])), dtype=np.float32)
        w = self._constant(weights.reshape(4, dims[1], *[3] * len(dims[2:])))
        self.nodes.append(helper.make_node("Conv", [tensor, w], ["y"], pads=[1] * 2 * len(dims[2:])))
        value = helper.make_tensor_value_info
        x, y = value("x", TensorProto.FLOAT, dims), value("y", TensorProto.FLOAT, [current[0], 4, *current[2:]])
        graph = helper.make_graph(self.nodes, "g", [x], [y], self.constants)
        self.proto = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])

    def _repeated(self, x: str, view: list[int], counts: list[int], rng: random.Random, is_nearest: bool) -> str:
        kind = rng.choice(KINDS)
        added = [index for index, count in enumerate(counts) if count > 1]
        if is_nearest and rng.random() < 0.5:
            split = self._node("Unsqueeze", x, self._integers(added))
        else:
            split = self._node("Reshape", x, self._integers(view))
        if kind == "Tile":
            return self._node("Tile", split, self._integers(counts))
        if kind == "Mul":
            return self._node("Mul", split, self._constant(np.ones(counts, dtype=np.float32)))
        sizes = [size * count for size, count in zip(view, counts, strict=True)]
        return self._node("Expand", split, self._integers(counts if rng.random() < 0.5 else sizes))

    def _integers(self, values: list[int]) -> str:
        return self._constant(np.array(values, dtype=np.int64))

    def _constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def _node(self, op: str, *inputs: str) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output]))
        return output


def ops_of(model: onnx.ModelProto) -> set[str]:
    with tempfile.TemporaryDirectory() as folder:
        rewritten = rewrite(model, Path(folder), ops="fused")
    assert_same_numbers(model, rewritten.proto, seeded_inputs(model))
    return {node.op_type for node in rewritten.proto.graph.node}


@settings(max_examples=num_examples(80), deadline=None, derandomize=True)
@given(st.integers(0, 1 << 30))
def test_every_spelling_becomes_a_resize(seed: int) -> None:
    made = ops_of(Upsampling(random.Random(seed), is_nearest=True).proto)
    assert "Resize" in made
    assert not made & WRITTEN_OUT


@settings(max_examples=num_examples(80), deadline=None, derandomize=True)
@given(st.integers(0, 1 << 30))
def test_what_repeats_whole_axes_stays(seed: int) -> None:
    assert "Resize" not in ops_of(Upsampling(random.Random(seed), is_nearest=False).proto)
