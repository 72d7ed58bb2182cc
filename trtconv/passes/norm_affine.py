"""The scale and bias of a written-out norm that are computed at run time: Mul and Add after the norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_graphsurgeon as gs

from trtconv import element_types
from trtconv.ops.custom_op import Dim
from trtconv.passes.graph_edit import NewNode, dtype_of, shape_of
from trtconv.passes.moments import Coefficient
from trtconv.passes.views import Axes
from trtconv.passes.written_norms import Factor, Norm


def problem_of_factors(norm: Norm) -> str | None:
    """Return why scale and bias cannot be multiplied and added, None where they can."""
    if norm.is_constant:
        return None
    atoms = [atom for factor in (norm.scale, norm.bias) for atoms in factor for atom in atoms]
    if any(exponent not in (1, -1) for _, exponent in atoms):
        return "its scale or bias is a power of another tensor"
    for key, _ in atoms:
        tensor, view = norm.reading.atoms[key]
        axes = [axis for dimension in view for axis in dimension]
        if axes != sorted(axes) or sum(not isinstance(norm.reading.source.dims[axis], int) for axis in axes) > 1:
            return f"{tensor.name} cannot be shaped for it before run time"
    return None


def scale_and_shift(norm: Norm, normalised: gs.Tensor) -> list[NewNode]:
    """Return the nodes that make the norm's output of what the norm itself gives, none where both are constants."""
    if norm.is_constant:
        return []
    maker = _Maker(norm)
    product = norm.output if not norm.bias else maker.variable("scaled", norm.reading.source.dims)
    maker.made.append(NewNode("Mul", [normalised, maker.sum_of(norm.scale)], [product]))
    if norm.bias:
        maker.made.append(NewNode("Add", [product, maker.sum_of(norm.bias)], [norm.output]))
    return maker.made


class _Maker:
    """Makes the nodes of sums of products of tensors, in the type and the rank of the norm."""

    def __init__(self, norm: Norm) -> None:
        self.made: list[NewNode] = []
        self._norm = norm
        self._source = norm.reading.source
        self._count = 0

    def variable(self, role: str, dims: Sequence[Dim] | None = None) -> gs.Variable:
        self._count += 1
        return gs.Variable(f"{self._norm.output.name}_{role}_{self._count}", self._norm.output.dtype, dims)

    def sum_of(self, factor: Factor) -> gs.Tensor:
        parts = [self._product(atoms, coefficient) for atoms, coefficient in factor.items()]
        total = parts[0]
        for part in parts[1:]:
            total = self._node("Add", [total, part])
        return total

    def _product(self, atoms: Sequence[tuple[int, float]], coefficient: Coefficient) -> gs.Tensor:
        over = [self._shaped(key) for key, exponent in atoms if exponent == 1]
        under = [self._shaped(key) for key, exponent in atoms if exponent == -1]
        if not over or np.any(coefficient != 1.0):
            over.insert(0, self._constant(coefficient))
        result = over[0]
        for other in over[1:]:
            result = self._node("Mul", [result, other])
        for other in under:
            result = self._node("Div", [result, other])
        return result

    def _constant(self, coefficient: Coefficient) -> gs.Constant:
        dtype = element_types.BY_ONNX[dtype_of(self._source.tensor) or 0].dtype
        shape = [1] * len(self._source.dims)
        values = np.asarray(coefficient)
        shape[self._source.channel_axis] = values.size
        self._count += 1
        name = f"{self._norm.output.name}_factor_{self._count}"
        return gs.Constant(name, values.reshape(shape).astype(dtype))

    def _shaped(self, key: int) -> gs.Tensor:
        """Return a tensor so that it broadcasts along the axes that it lies in."""
        tensor, view = self._norm.reading.atoms[key]
        if dtype_of(tensor) != dtype_of(self._source.tensor):
            tensor = self._node("Cast", [tensor], {"to": dtype_of(self._source.tensor)}, shape_of(tensor))
        rank = len(self._source.dims)
        if _is_in_place(view, rank):
            return tensor
        axes = {axis for dimension in view for axis in dimension}
        sizes = [self._source.dims[axis] if axis in axes else 1 for axis in range(rank)]
        target = np.array([size if isinstance(size, int) else -1 for size in sizes], dtype=np.int64)
        self._count += 1
        shape = gs.Constant(f"{self._norm.output.name}_shape_{self._count}", target)
        return self._node("Reshape", [tensor, shape], {}, sizes)

    def _node(
        self,
        op: str,
        inputs: Sequence[gs.Tensor],
        attributes: Mapping[str, int | None] | None = None,
        dims: Sequence[Dim] | None = None,
    ) -> gs.Tensor:
        result = self.variable(op.lower(), dims)
        self.made.append(NewNode(op, inputs, [result], attributes or {}))
        return result


def _is_in_place(view: Sequence[Axes], rank: int) -> bool:
    """Say whether each dimension stands where broadcasting puts it."""
    first = rank - len(view)
    return all(axes in ((), (first + index,)) for index, axes in enumerate(view))
