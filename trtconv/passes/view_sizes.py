"""Read the tensors that hold sizes: the target of a Reshape, or the number of elements of a slice.

Exporters compute them of the shapes of other tensors. An entry is a number, the product of the sizes of axes of the
source, or None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt
import onnx_graphsurgeon as gs

from trtconv.model.walking import is_onnx
from trtconv.ops.custom_op import Dim
from trtconv.passes.graph_edit import dtype_of, given_inputs, shape_of
from trtconv.passes.views import SPREAD, Axes, Size

_SAME = frozenset({"Cast", "Identity", "Unsqueeze", "Squeeze", "CastLike"})
_OF_ALL_INPUTS = frozenset({"Concat", "Mul"})
_KNOWN = _SAME | _OF_ALL_INPUTS | {"Reshape", "ReduceProd", "Gather", "Slice"}
_MAX_DEPTH = 24
_MAX_SIZE = 2**63 - 1  # what an int64 holds
# ONNX's numbers of the types that hold sizes: float32, int32, int64, float16, float64, uint32, uint64 and bfloat16.
WIDE = frozenset({1, 6, 7, 10, 11, 12, 13, 16})


class SizeReader:
    """Reads tensors of sizes; `view_of` tells how a tensor lies in the source, `value_of` a constant's value."""

    def __init__(
        self,
        base: Sequence[Dim],
        view_of: Callable[[gs.Tensor], Sequence[Axes] | None],
        value_of: Callable[[gs.Tensor], npt.NDArray[Any] | None],
    ) -> None:
        self.base = base
        self._view_of = view_of
        self._value_of = value_of

    def read(self, tensor: gs.Tensor) -> list[Size] | None:
        """Return the entries of a tensor of rank 0 or 1, None where it holds no sizes."""
        return self._read(tensor, 0, {})

    def _read(self, tensor: gs.Tensor, depth: int, known: dict[int, list[Size] | None]) -> list[Size] | None:
        """Read a tensor, unless that was done: products may read one tensor along many ways."""
        if id(tensor) not in known:
            known[id(tensor)] = self._entries(tensor, depth, known)
        return known[id(tensor)]

    def _entries(self, tensor: gs.Tensor, depth: int, known: dict[int, list[Size] | None]) -> list[Size] | None:
        value = self._value_of(tensor)
        if value is not None:
            entries: list[Any] = value.reshape(-1).tolist() if value.size <= _MAX_DEPTH else [None]
            are_whole = all(
                isinstance(entry, int) or (isinstance(entry, float) and entry.is_integer()) for entry in entries
            )
            return [int(entry) for entry in entries] if are_whole else None
        if depth > _MAX_DEPTH or len(tensor.inputs) != 1 or not is_onnx(tensor.inputs[0].domain):
            return None
        node = tensor.inputs[0]
        if node.op == "Shape":
            sizes = self.of_tensor(node.inputs[0])
            return sizes and sizes[node.attrs.get("start", 0) : node.attrs.get("end", len(sizes))]
        if node.op not in _KNOWN or not _may_hold_sizes(tensor):  # a chain of data is not followed
            return None
        if node.op == "ReduceProd" and node.attrs.get("noop_with_empty_axes"):
            return None
        inputs = [each for each in given_inputs(node) if each is not None]
        parts = []
        for each in inputs if node.op in _OF_ALL_INPUTS else inputs[:1]:
            part = self._read(each, depth + 1, known)
            if part is None:
                return None
            parts.append(part)
        return self._combined(node, parts) if parts else None

    def of_tensor(self, tensor: gs.Tensor) -> list[Size] | None:
        """Return the sizes of a tensor as entries, None where not even its rank is known."""
        view = self._view_of(tensor)
        if view is None:
            return None if tensor.shape is None else [self.size_of(dim) for dim in tensor.shape]
        return [None if dimension == SPREAD else self._product(dimension) for dimension in view]

    def _combined(self, node: gs.Node, parts: list[list[Size]]) -> list[Size] | None:
        """Return what a node makes of the entries of its inputs."""
        if node.op in _SAME or node.op == "Reshape":
            return parts[0]
        if node.op == "Concat":
            return [entry for part in parts for entry in part]
        if node.op == "Mul":
            return [self._multiplied(entries) for entries in zip(*parts, strict=True)] if _are_alike(parts) else None
        if node.op == "ReduceProd":
            return [self._multiplied(parts[0])]
        if node.op == "Gather":
            indices = self._integers(node.inputs[1])
            places = range(-len(parts[0]), len(parts[0]))
            is_plain = indices is not None and all(index in places for index in indices)
            return [parts[0][index] for index in indices] if is_plain and indices is not None else None
        return self._sliced(node, parts[0]) if node.op == "Slice" else None

    def _sliced(self, node: gs.Node, entries: list[Size]) -> list[Size] | None:
        if len(node.inputs) == 1:
            bounds = [node.attrs.get("starts"), node.attrs.get("ends")]
        else:
            bounds = [self._integers(tensor) for tensor in node.inputs[1:3]]
            if len(node.inputs) > 4 and node.inputs[4].name and self._integers(node.inputs[4]) != [1]:
                return None
        if any(bound is None or len(bound) != 1 for bound in bounds):
            return None
        start, end = (bound[0] for bound in bounds if bound is not None)
        return entries[start:end]

    def _integers(self, tensor: gs.Tensor) -> list[int] | None:
        """Return a constant scalar or list of integers."""
        value = self._value_of(tensor)
        return [*map(int, value.flat)] if value is not None and value.ndim <= 1 and value.dtype.kind in "iu" else None

    def size_of(self, dim: Dim) -> Size:
        """Return an inferred dimension as an entry: a symbol that one axis alone has means that axis."""
        if isinstance(dim, int):
            return dim
        axes = [axis for axis, size in enumerate(self.base) if size == dim]
        return (axes[0],) if dim is not None and len(axes) == 1 else None

    def _multiplied(self, entries: Sequence[Size]) -> Size:
        if any(entry is None for entry in entries):
            return None
        axes: list[int] = []
        for entry in entries:
            if isinstance(entry, tuple):
                axes += entry
        numbers = math.prod(entry for entry in entries if isinstance(entry, int))
        if not axes:
            return numbers if numbers <= _MAX_SIZE else None
        return tuple(axes) if numbers == 1 and len(axes) <= _MAX_DEPTH else None

    def _product(self, axes: Axes) -> Size:
        sizes = [self.base[axis] for axis in axes]
        numbers = [size for size in sizes if isinstance(size, int)]
        return math.prod(numbers) if len(numbers) == len(sizes) else axes


def _may_hold_sizes(tensor: gs.Tensor) -> bool:
    """Say whether a tensor is a number or a list, of a type that cuts nothing off."""
    return dtype_of(tensor) in WIDE and len(shape_of(tensor) or ()) <= 1


def _are_alike(parts: Sequence[Sequence[Size]]) -> bool:
    return len({len(part) for part in parts}) == 1
