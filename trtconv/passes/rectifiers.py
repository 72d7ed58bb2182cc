"""Find the Clip and Max nodes that are a Relu: those that take the larger of a tensor and 0, and nothing else."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from trtconv.passes.base import NoMatch, PassContext
from trtconv.passes.constant_values import read_constants
from trtconv.passes.graph_edit import given_inputs, shape_of

RECTIFIERS = frozenset({"Clip", "Max"})
_LARGEST = float(np.finfo(np.float32).max)  # as a maximum that is none


def why_not_relu(y: gs.Tensor, node: gs.Node, context: PassContext) -> NoMatch | None:
    """Return why a Clip or Max of Y is not a Relu, None where it is one."""
    if node.op == "Max":
        others = [tensor for tensor in node.inputs if tensor is not y]
        if len(node.inputs) != 2 or len(others) != 1:
            return NoMatch("it is not of two tensors")
        if len(shape_of(others[0]) or ()) > len(shape_of(y) or ()):
            return NoMatch(f"{others[0].name} is of another rank")
        return _why_not_zero(_read(others[0], context))
    if node.inputs[0] is not y:
        return NoMatch("the tensor is a bound of it")
    highest = _bound(node, 2, "max", _LARGEST, context)
    if isinstance(highest, NoMatch) or highest < _LARGEST:
        return highest if isinstance(highest, NoMatch) else NoMatch(f"it clips at a maximum of {highest:g}")
    return _why_not_zero(_bound(node, 1, "min", -_LARGEST, context))


def _why_not_zero(lowest: float | NoMatch) -> NoMatch | None:
    if isinstance(lowest, NoMatch):
        return lowest
    return None if lowest == 0 else NoMatch(f"it clips at a minimum of {lowest:g}, expected 0")


def _bound(node: gs.Node, position: int, name: str, default: float, context: PassContext) -> float | NoMatch:
    """Return a bound of a Clip: an attribute before opset 11, an input from there on."""
    if name in node.attrs:
        return float(node.attrs[name])
    inputs = given_inputs(node)
    tensor = inputs[position] if len(inputs) > position else None
    return default if tensor is None else _read(tensor, context)


def _read(tensor: gs.Tensor, context: PassContext) -> float | NoMatch:
    (value,) = read_constants([tensor], context.opset, context.folder).values()
    if isinstance(value, NoMatch):
        return NoMatch(f"its bound is only known at run time: {tensor.name}")
    return float(value.reshape(())) if value.size == 1 else NoMatch(f"its bound has {value.size} values")
