"""Group norms, written out in random ways: by each view that splits the channels, kind of statistics and affine part.

The channels are second or last; scale and bias lie inside the view, after it, or in the folded form of TensorFlow.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

EPSILON = 1e-3
OPSET = 17


class GroupSpelling:
    """Builds one model  y = scale * (x - mean) / sqrt(variance + EPSILON) + bias  of groups of channels."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._groups, self._size = rng.randint(2, 4), rng.randint(2, 3)
        self._batch, self._spatial = rng.randint(1, 3), [rng.choice((2, 5, 7)) for _ in range(rng.randint(1, 3))]
        self._is_last = rng.random() < 0.5
        channels = [self._groups * self._size]
        self._dims = [self._batch, *((*self._spatial, *channels) if self._is_last else (*channels, *self._spatial))]
        self._build()
        value = helper.make_tensor_value_info
        x, y = (value(name, TensorProto.FLOAT, self._dims) for name in "xy")
        read = {name for node in self._nodes for name in node.input} | {"y"}
        nodes = [node for node in self._nodes if node.output[0] in read]
        graph = helper.make_graph(nodes, "g", [x], [y], self._constants)
        self.proto = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", OPSET)])

    def _build(self) -> None:
        kinds = ["split", "folded"] if self._is_last else ["split", "folded", "flat", "with the batch", "layer norm"]
        kind = self._rng.choice(kinds)
        split = [self._groups, self._size]
        if self._is_last:
            places = [self._spatial] if self._rng.random() < 0.5 else [[math.prod(self._spatial)]]
            view = [self._batch, *places[0], *split]
            axes = [*range(1, len(view) - 2), len(view) - 1]
        elif kind in ("split", "folded"):
            view = [self._batch, *split, *self._spatial]
            axes = list(range(2, len(view)))
        else:
            view = [self._batch * self._groups, -1] if kind == "with the batch" else [self._batch, self._groups, -1]
            axes = [len(view) - 1]
        r = self._node("Reshape", "x", self._integers(view))
        if kind == "folded":
            self._last("Reshape", self._folded(r, axes, view), self._integers(self._dims))
            return
        if kind == "layer norm":
            length = self._size * math.prod(self._spatial)
            normalised = self._node("LayerNormalization", r, self._given(np.ones(length)), axis=-1, epsilon=EPSILON)
        else:
            normalised = self._normalised(r, axes)
        if kind == "split" and self._rng.random() < 0.5:
            normalised = self._affine(normalised, self._inner(view))
            self._last("Reshape", normalised, self._integers(self._dims))
            return
        whole = self._node("Reshape", normalised, self._integers(self._dims))
        self._last("Identity", self._affine(whole, [-1] if self._is_last else [-1, *[1] * len(self._spatial)]))

    def _normalised(self, r: str, axes: Sequence[int]) -> str:
        mean = self._mean(r, axes)
        difference = self._node("Sub", r, mean)
        root = self._node("Sqrt", self._node("Add", self._variance(r, mean, difference, axes), self._given(EPSILON)))
        if self._rng.random() < 0.5:
            return self._node("Div", difference, root)
        return self._node("Mul", self._node("Reciprocal", root), difference)

    def _folded(self, r: str, axes: Sequence[int], view: Sequence[int]) -> str:
        """Write x * (scale * inverse) + (bias - mean * (scale * inverse))."""
        mean = self._mean(r, axes)
        variance = self._variance(r, mean, self._node("Sub", r, mean), axes)
        root = self._node("Sqrt", self._node("Add", variance, self._given(EPSILON)))
        factor = self._node("Mul", self._node("Reciprocal", root), self._by_channel(self._inner(view)))
        shift = self._node("Sub", self._by_channel(self._inner(view)), self._node("Mul", mean, factor))
        return self._node("Add", self._node("Mul", r, factor), shift)

    def _mean(self, tensor: str, axes: Sequence[int]) -> str:
        kind = self._rng.choice(("at once", "at once", "in turn", "summed"))
        if kind == "summed":
            total = self._node("ReduceSum", tensor, self._integers(axes))
            count = self._size * math.prod(self._spatial)
            return self._node("Div", total, self._given(count))
        if kind == "at once":
            return self._node("ReduceMean", tensor, axes=list(axes))
        for axis in self._rng.sample(list(axes), len(axes)):
            tensor = self._node("ReduceMean", tensor, axes=[axis])
        return tensor

    def _variance(self, r: str, mean: str, difference: str, axes: Sequence[int]) -> str:
        kind = self._rng.choice(("product", "power", "absolute", "difference of squares"))
        if kind == "power":
            return self._mean(self._node("Pow", difference, self._given(2.0)), axes)
        if kind == "difference of squares":
            squares = self._mean(self._node("Mul", r, r), axes)
            return self._node("Sub", squares, self._node("Mul", mean, mean))
        factor = self._node("Abs", difference) if kind == "absolute" else difference
        return self._mean(self._node("Mul", factor, factor), axes)

    def _inner(self, view: Sequence[int]) -> list[int]:
        """Return the shape of one value a channel inside a view that splits the channels."""
        ones = [1] * (len(view) - 3)
        return [1, *ones, self._groups, self._size] if self._is_last else [1, self._groups, self._size, *ones]

    def _affine(self, tensor: str, shape: Sequence[int]) -> str:
        kind = self._rng.choice(("none", "scale", "scale, bias"))
        if kind != "none":
            tensor = self._node("Mul", tensor, self._by_channel(shape))
        return self._node("Add", self._by_channel(shape), tensor) if kind == "scale, bias" else tensor

    def _by_channel(self, shape: Sequence[int]) -> str:
        values = [self._rng.choice((-2, -0.5, 0.5, 1, 3)) for _ in range(self._groups * self._size)]
        return self._given(np.array(values).reshape(shape))

    def _integers(self, values: Sequence[int]) -> str:
        return self._constant(np.array(values, dtype=np.int64))

    def _given(self, values: npt.ArrayLike) -> str:
        return self._constant(np.asarray(values, dtype=np.float32))

    def _constant(self, array: npt.NDArray[Any]) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def _node(self, op: str, *inputs: str, **attributes: Any) -> str:
        output = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def _last(self, op: str, *inputs: str) -> None:
        self._nodes.append(helper.make_node(op, inputs, ["y"]))
