"""Refuse integer divisions of constants that no processor does: they end the process of TensorRT or ONNX Runtime."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from trtconv.errors import ModelError
from trtconv.model.addresses import address_of
from trtconv.model.external_data import read_external_tensor
from trtconv.model.light_copy import MAX_LIGHT_ELEMENTS
from trtconv.model.walking import branches, is_onnx

DIVIDING_OPS = frozenset({"Div", "Mod"})


class DivisionError(ModelError):
    """A node divides integers, known before run time, by zero, or the smallest one by -1."""


def problem_of_division(dividend: npt.NDArray[Any] | None, divisor: npt.NDArray[Any]) -> str | None:
    """Return why integers cannot be divided, None where they can; floats, and an unknown dividend, always can."""
    if divisor.dtype.kind not in "iu":
        return None
    if (divisor == 0).any():
        return "it divides by zero"
    if divisor.dtype.kind == "u" or dividend is None or not (divisor == -1).any():
        return None
    is_smallest = (dividend == np.iinfo(divisor.dtype).min).any()
    return f"it divides {np.iinfo(divisor.dtype).min} by -1, which {divisor.dtype} cannot hold" if is_smallest else None


def require_divisible(
    graph: onnx.GraphProto, path: Path, outer: MutableMapping[str, onnx.TensorProto] | None = None
) -> None:
    """Raise DivisionError for a node whose constant divisor, or constant operands, cannot be divided.

    `outer` holds the constants that a branch sees; external ones are read.
    """
    known = ChainMap(_constants(graph), *([outer] if outer else []))
    for node in graph.node:
        if node.op_type in DIVIDING_OPS and is_onnx(node.domain) and len(node.input) == 2:
            dividend, divisor = (_values(known.get(name), path.parent) for name in node.input)
            problem = problem_of_division(dividend, divisor) if divisor is not None else None
            if problem is not None:
                raise DivisionError(problem, where=f"{path}: node {address_of(node)}", hint="correct its constants")
        for branch in branches(node):
            require_divisible(branch, path, known)


def _constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and is_onnx(node.domain):
            values = [each.t for each in node.attribute if each.name == "value"]
            constants |= dict(zip(node.output, values, strict=False))
    return constants


def _values(tensor: onnx.TensorProto | None, folder: Path) -> npt.NDArray[Any] | None:
    if tensor is None or int(np.prod(tensor.dims, dtype=object)) > MAX_LIGHT_ELEMENTS:
        return None
    is_external = tensor.data_location == onnx.TensorProto.EXTERNAL
    loaded = read_external_tensor(tensor, folder) if is_external else tensor
    return np.asarray(onnx.numpy_helper.to_array(loaded))
