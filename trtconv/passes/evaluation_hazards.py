"""What must not run in ONNX Runtime: an integer division that ends the process, a tensor that takes all memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy.typing as npt
import onnx_graphsurgeon as gs

from trtconv.model.addresses import address_of
from trtconv.model.division_check import DIVIDING_OPS, DivisionError, problem_of_division
from trtconv.passes.graph_edit import given_inputs, shape_of

ValueOf = Callable[[gs.Tensor], npt.NDArray[Any]]

_FILLING = frozenset({"ConstantOfShape", "Expand", "Range", "Tile"})


def require_harmless(node: gs.Node, value_of: ValueOf, limit: int) -> None:
    """Raise DivisionError for an integer division that ends the process, ValueError for more than `limit` elements.

    `value_of` computes an input: it is asked for those alone that the answer depends on.
    """
    inputs = [tensor for tensor in given_inputs(node) if tensor is not None]
    if node.op in DIVIDING_OPS and len(inputs) == 2:
        divisor = value_of(inputs[1])
        is_minus_one = divisor.dtype.kind == "i" and bool((divisor == -1).any())
        problem = problem_of_division(value_of(inputs[0]) if is_minus_one else None, divisor)
        if problem is not None:
            raise DivisionError(problem, where=address_of(node), hint="correct the constants that it is computed from")
    elif node.op in _FILLING and not _is_known(node):
        num_elements = _num_filled(node.op, [value_of(tensor) for tensor in inputs])
        if num_elements > limit:
            raise ValueError(f"{address_of(node)} gives {num_elements} elements")


def _is_known(node: gs.Node) -> bool:
    """Say whether the shape of what a node gives is known: then it is within the limit."""
    shape = shape_of(node.outputs[0]) if node.outputs else None
    return shape is not None and all(isinstance(dim, int) for dim in shape)


def _num_filled(op: str, values: list[npt.NDArray[Any]]) -> int:
    """Return how many elements an op gives, at most; 0 where its inputs make no sense, which ONNX Runtime says."""
    if op == "Range":
        numbers = [number for value in values for number in value.reshape(-1)[:1].tolist()]
        if len(numbers) != 3 or not all(map(math.isfinite, numbers)) or numbers[2] == 0:
            return 0
        return max(0, int((numbers[1] - numbers[0]) / numbers[2]) + 1)
    if not values or values[-1].dtype.kind not in "iu":
        return 0
    sizes: list[int] = [max(size, 1) for size in values[-1].reshape(-1).tolist()]
    return int(math.prod(sizes)) * (int(values[0].size) if op in ("Expand", "Tile") else 1)
