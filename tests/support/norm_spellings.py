"""Instance norms, written out in random ways: by each kind of mean, variance, root and affine part, in any opset.

Between any two nodes may stand what changes nothing: an Identity, a view and the view back; constants may be computed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

EPSILON = 1e-3
OPSETS = (9, 11, 13, 15, 17, 18, 21)
_AXES_INPUT = {"ReduceSum": 13, "Squeeze": 13, "Unsqueeze": 13}  # other reductions: from 18 on
_FIRST_REDUCTION = 18
_CAST_LIKE = 15


class NormSpelling:
    """Builds one model  y = scale * (x - mean) / sqrt(variance + EPSILON) + bias  over the axes after the channels."""

    def __init__(self, rng: random.Random, is_disguised: bool = True) -> None:
        self._rng = rng
        self._is_disguised = is_disguised
        self._opset = rng.choice(OPSETS)
        self._dims = [rng.randint(1, 2), rng.randint(2, 3), *(rng.randint(2, 4) for _ in range(rng.randint(1, 3)))]
        self._spatial = list(range(2, len(self._dims)))
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._build()
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self._read_nodes(),
            "g",
            [value("x", TensorProto.FLOAT, self._dims), value("style", TensorProto.FLOAT, self._style_dims)],
            [value("y", TensorProto.FLOAT, self._dims)],
            self._constants,
        )
        self.proto = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", self._opset)])

    @property
    def _style_dims(self) -> list[int]:
        return [*self._dims[:2], *[1] * len(self._spatial)]

    def _read_nodes(self) -> list[onnx.NodeProto]:
        """Return the nodes that the result depends on."""
        read, nodes = {"y"}, []
        for node in reversed(self._nodes):
            if read & set(node.output):
                nodes.insert(0, node)
                read |= set(node.input)
        return nodes

    @property
    def _count(self) -> int:
        return int(np.prod(self._dims[2:]))

    def _build(self) -> None:
        rng = self._rng
        mean = self._mean("x")
        difference = self._node("Sub", "x", mean)
        variance = self._variance(mean, difference)
        guarded = self._node("Relu", variance) if rng.random() < 0.2 else variance
        sum_ = self._either_order("Add", guarded, self._constant(EPSILON))
        if rng.random() < 0.3:
            self._folded(mean, self._inverse(sum_))
            return
        normalised = self._normalised(difference, sum_)
        self._affine(normalised)

    def _mean(self, x: str) -> str:
        kind = self._rng.choice(("reduced", "summed", "pooled", "in turn", "of a view"))
        if kind == "summed":
            return self._node("Mul", self._reduced("ReduceSum", x), self._constant(1 / self._count))
        if kind == "pooled":
            return self._node("GlobalAveragePool", x)
        if kind == "in turn":
            for axis in self._rng.sample(self._spatial, len(self._spatial)):
                x = self._reduced("ReduceMean", x, [axis])
            return x
        if kind == "of a view":
            flat = self._node("Reshape", x, self._integers([*self._dims[:2], -1]))
            mean = self._reduced("ReduceMean", flat, [2])
            return self._node("Reshape", mean, self._integers(self._style_dims))
        return self._reduced("ReduceMean", x)

    def _variance(self, mean: str, difference: str) -> str:
        kind = self._rng.choice(("product", "power", "sum of squares", "length", "difference of squares"))
        if kind == "sum of squares":
            return self._node("Div", self._reduced("ReduceSumSquare", difference), self._constant(self._count))
        if kind == "length":
            length = self._reduced("ReduceL2", difference)
            return self._node("Mul", self._node("Mul", length, length), self._constant(1 / self._count))
        if kind == "difference of squares":
            squares = self._mean(self._node("Mul", "x", "x"))
            return self._node("Sub", squares, self._node("Mul", mean, mean))
        if kind == "power":
            return self._mean(self._node("Pow", difference, self._constant(2)))
        return self._mean(self._node("Mul", difference, difference))

    def _inverse(self, sum_: str) -> str:
        kind = self._rng.choice(("power", "reciprocal", "division", "root of reciprocal"))
        if kind == "power":
            return self._node("Pow", sum_, self._constant(-0.5))
        if kind == "root of reciprocal":
            return self._node("Sqrt", self._node("Reciprocal", sum_))
        root = self._node("Sqrt", sum_)
        if kind == "division":
            return self._node("Div", self._constant(1), root)
        return self._node("Reciprocal", root)

    def _normalised(self, difference: str, sum_: str) -> str:
        kind = self._rng.choice(("multiplied", "divided", "divided by power"))
        if kind == "multiplied":
            return self._either_order("Mul", difference, self._inverse(sum_))
        root = self._node("Sqrt", sum_) if kind == "divided" else self._node("Pow", sum_, self._constant(0.5))
        return self._node("Div", difference, root)

    def _folded(self, mean: str, inverse: str) -> None:
        """Write x * (scale * inverse) + (bias - mean * (scale * inverse)), as tf.nn.batch_normalization does."""
        factor = self._either_order("Mul", inverse, self._by_channel())
        product = self._either_order("Mul", "x", factor)
        shift = self._node("Sub", self._by_channel(), self._either_order("Mul", mean, factor))
        self._last("Add", product, shift)

    def _affine(self, normalised: str) -> None:
        kind = self._rng.choice(("none", "scale", "scale, bias", "bias, scale", "divided"))
        if kind == "none":
            self._last("Identity", normalised)
        elif kind == "scale":
            self._last("Mul", self._by_channel(), normalised)
        elif kind == "scale, bias":
            self._last("Add", self._either_order("Mul", normalised, self._by_channel()), self._by_channel())
        elif kind == "bias, scale":
            self._last("Mul", self._either_order("Add", normalised, self._by_channel()), self._by_channel())
        else:
            self._last("Sub", self._node("Div", normalised, self._by_channel()), self._by_channel())

    def _reduced(self, op: str, x: str, axes: Sequence[int] | None = None) -> str:
        """Reduce over axes that are an attribute or an input, some counted from the end, with or without keepdims."""
        rng = self._rng
        rank = 3 if axes == [2] and self._rank(x) == 3 else len(self._dims)
        wanted = list(self._spatial if axes is None else axes)
        given = [axis - rank if rng.random() < 0.4 else axis for axis in rng.sample(wanted, len(wanted))]
        keeps = rng.random() < 0.7
        first = _AXES_INPUT.get(op, _FIRST_REDUCTION)
        inputs, attributes = self._axes(given, first)
        reduced = self._node(op, x, *inputs, keepdims=int(keeps), **attributes)
        if keeps:
            return reduced
        inputs, attributes = self._axes(sorted(wanted), _AXES_INPUT["Unsqueeze"])
        return self._node("Unsqueeze", reduced, *inputs, **attributes)

    def _rank(self, x: str) -> int:
        writer = next((node for node in self._nodes if x in node.output), None)
        return 3 if writer is not None and writer.op_type == "Reshape" else len(self._dims)

    def _axes(self, axes: Sequence[int], first_as_input: int) -> tuple[list[str], dict[str, Any]]:
        return ([self._integers(axes)], {}) if self._opset >= first_as_input else ([], {"axes": list(axes)})

    def _either_order(self, op: str, one: str, other: str) -> str:
        return self._node(op, *self._rng.sample((one, other), 2))

    def _node(self, op: str, *inputs: str, **attributes: Any) -> str:
        output = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return self._disguised(output) if op not in ("Reshape", "Unsqueeze") else output

    def _last(self, op: str, *inputs: str) -> None:
        self._nodes.append(helper.make_node(op, inputs, ["y"]))

    def _disguised(self, x: str) -> str:
        """Put behind a tensor, now and then, what changes nothing."""
        if not self._is_disguised or self._rng.random() > 0.2:
            return x
        inputs, attributes = self._axes([0], _AXES_INPUT["Squeeze"])
        output = f"t{len(self._nodes)}"
        kind = self._rng.choice(("Identity", "Dropout", "Neg", "view"))
        if kind in ("Identity", "Dropout"):
            self._nodes.append(helper.make_node(kind, [x], [output]))
            return output
        first, second = ("Neg", "Neg") if kind == "Neg" else ("Unsqueeze", "Squeeze")
        given = [] if kind == "Neg" else inputs
        self._nodes.append(helper.make_node(first, [x, *given], [output], **({} if kind == "Neg" else attributes)))
        back = f"{output}_back"
        self._nodes.append(helper.make_node(second, [output, *given], [back], **({} if kind == "Neg" else attributes)))
        return back

    def _constant(self, number: float) -> str:
        shape = self._rng.choice(([], [1], [1] * len(self._dims)))
        return self._given(np.full(shape, number, dtype=np.float32))

    def _by_channel(self) -> str:
        """Return one value a channel: constant, or now and then an input that each image has its own of."""
        if self._rng.random() < 0.15:
            return "style"
        values = np.array([self._rng.choice((-2, -0.5, 0.5, 1, 3)) for _ in range(self._dims[1])], dtype=np.float32)
        if self._rng.random() < 0.3:
            shape = self._integers([1, -1, *[1] * len(self._spatial)])
            return self._node_of_constants("Reshape", self._given(values), shape)
        leading = self._rng.choice(([], [1]))
        return self._given(values.reshape([*leading, -1, *[1] * len(self._spatial)]))

    def _integers(self, values: Sequence[int]) -> str:
        return self._given(np.array(values, dtype=np.int64))

    def _given(self, array: npt.NDArray[Any]) -> str:
        """Return a constant: an initializer, a Constant node, one through Identity, or of double and cast."""
        name = f"c{len(self._constants)}_{len(self._nodes)}"
        kind = self._rng.choice(("initializer", "initializer", "node", "Identity", "Cast"))
        if kind == "node":
            return self._node_of_constants("Constant", value=numpy_helper.from_array(array))
        if kind == "Cast" and array.dtype == np.float32:
            self._constants.append(numpy_helper.from_array(array.astype(np.float64), name))
            if self._opset >= _CAST_LIKE:
                return self._node_of_constants("CastLike", name, "x")
            return self._node_of_constants("Cast", name, to=TensorProto.FLOAT)
        self._constants.append(numpy_helper.from_array(array, name))
        return self._node_of_constants("Identity", name) if kind == "Identity" else name

    def _node_of_constants(self, op: str, *inputs: str, **attributes: Any) -> str:
        output = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output
