"""Guess what black and white are in the images that a model takes and gives, from its first and last operators.

An exporter writes preprocessing into the graph (x / 255, x - mean), and the last activation bounds the output: Tanh
gives -1 to 1, Sigmoid 0 to 1, a bias around 120 an image of bytes. Where neither tells, nothing is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from trtconv.inputs.images import ImageRange
from trtconv.ops import names_of_kind

Values = npt.NDArray[np.float64]

UNIT, BYTES, SIGNED = ImageRange(0, 1), ImageRange(0, 255), ImageRange(-1, 1)

# What moves values, or copies them, and changes none.
_SAME_VALUES = names_of_kind("pad") | {
    *("Cast", "Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Gather", "Dropout"),
    *("DepthToSpace", "SpaceToDepth", "Resize", "Upsample"),
}
_MAX_STEPS = 16
_MAX_ELEMENTS = 1 << 16
_BYTE_SCALE = 100.0  # a factor from here on stands between bytes and a small range: 127.5, 255
_BYTE_OFFSET = 2.0  # a mean beyond this is one of bytes: 103.9, 116.8, 123.7
_BYTE_BIAS = 20.0  # so is the bias of a last convolution
_SLACK = 0.1  # beyond 0 to 1 and -1 to 1
_MAX_BYTE = 400.0  # nets that give bytes overshoot 255


class Guess(NamedTuple):
    """A range of pixels, and what it was concluded from."""

    range: ImageRange
    why: str


def guess_input(graph: onnx.GraphProto, name: str) -> Guess | None:
    """Return the range of the pixels that an input takes, None where the model does not show it."""
    constants = _Constants(graph)
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for each in node.input:
            readers.setdefault(each, []).append(node)
    for _ in range(_MAX_STEPS):
        found = readers.get(name, [])
        if len(found) != 1:
            return None
        (node,) = found
        if node.op_type not in _SAME_VALUES:
            return _of_first_step(node, [constants.get(each) for each in node.input])
        name = node.output[0]
    return None


def guess_output(graph: onnx.GraphProto, name: str) -> Guess | None:
    """Return the range of the pixels of an output, None where the model does not show it."""
    constants = _Constants(graph)
    writers = {output: node for node in graph.node for output in node.output}
    for _ in range(_MAX_STEPS):
        node = writers.get(name)
        if node is None or not node.input:
            return None
        if node.op_type not in _SAME_VALUES:
            return _of_last_step(node, [constants.get(each) for each in node.input])
        name = node.input[0]
    return None


class _Constants:
    """The small constants of a graph by name: initializers and Constant nodes, without those in other files."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                self._tensors[node.output[0]] = node.attribute[0].t

    def get(self, name: str) -> Values | None:
        """Return the values in float64, None where they are not known, none or many."""
        tensor = self._tensors.get(name)
        if tensor is None or tensor.data_location == onnx.TensorProto.EXTERNAL:
            return None
        if not 0 < math.prod(tensor.dims) <= _MAX_ELEMENTS:
            return None
        values: Values = numpy_helper.to_array(tensor).astype(np.float64)
        return values


def range_of_values(values: npt.NDArray[Any]) -> Guess:
    """Return the range that the values of an output themselves suggest: one of the usual ones, else from end to end."""
    wide = values.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    for usual in (UNIT, SIGNED):
        if usual.black - _SLACK <= low and high <= usual.white + _SLACK:
            return Guess(usual, f"its values lie between {low:.3g} and {high:.3g}")
    if low >= -_MAX_BYTE / 2 and BYTES.white / 4 <= high <= _MAX_BYTE:
        return Guess(BYTES, f"its values lie between {low:.3g} and {high:.3g}")
    return Guess(ImageRange(low, high), "its values fit no usual range: its smallest is black, its largest white")


def _of_first_step(node: onnx.NodeProto, operands: Sequence[Values | None]) -> Guess | None:
    """Conclude from the first operator that changes the pixels."""
    known = next((each for each in operands if each is not None), None)
    if known is None:
        return None
    largest = float(np.abs(known).max())
    scale = {"Mul": largest, "Div": 1 / largest if largest else 0.0}.get(node.op_type)
    if scale:
        worded = f"the model {'multiplies' if node.op_type == 'Mul' else 'divides'} its input by {largest:.4g}"
        return Guess(BYTES if scale <= 1 / _BYTE_SCALE else UNIT, worded) if scale < _BYTE_SCALE else None
    if node.op_type in ("Sub", "Add") and largest:
        worded = f"the model shifts its input by {largest:.4g}"
        return Guess(BYTES if largest > _BYTE_OFFSET else UNIT, worded)
    return None


def _of_last_step(node: onnx.NodeProto, operands: Sequence[Values | None]) -> Guess | None:
    """Conclude from the last operator that changes the pixels."""
    if node.op_type == "Tanh":
        return Guess(SIGNED, "the model ends in Tanh")
    if node.op_type in ("Sigmoid", "HardSigmoid"):
        return Guess(UNIT, f"the model ends in {node.op_type}")
    if node.op_type == "Clip":
        return _of_clip(node, operands)
    if node.op_type in ("Conv", "ConvTranspose"):
        operands = operands[2:]
    known = next((each for each in operands if each is not None), None)
    if known is None:
        return None
    if node.op_type == "Mul" and np.abs(known).max() >= _BYTE_SCALE:
        return Guess(BYTES, f"the model ends by multiplying by {np.abs(known).max():.4g}")
    if node.op_type in ("Add", "Conv", "ConvTranspose") and np.abs(known).mean() >= _BYTE_BIAS:
        return Guess(BYTES, f"the model ends by adding about {np.abs(known).mean():.3g}")
    return None


def _of_clip(node: onnx.NodeProto, operands: Sequence[Values | None]) -> Guess | None:
    bounds = {each.name: float(each.f) for each in node.attribute}  # before opset 11
    for word, operand in zip(("min", "max"), operands[1:], strict=False):
        if operand is not None:
            bounds[word] = float(operand.ravel()[0])
    for usual in (UNIT, BYTES, SIGNED):
        if (bounds.get("min"), bounds.get("max")) == (usual.black, usual.white):
            return Guess(usual, f"the model clips its output to {usual}")
    return None
