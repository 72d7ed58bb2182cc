"""The nodes that make one scale and one bias of a norm of those that it has and those that follow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx_graphsurgeon as gs

from trtconv.ops.custom_op import Dim
from trtconv.passes.constant_values import MAX_CHANNELS
from trtconv.passes.graph_edit import NewNode


class Values(NamedTuple):
    """A tensor of one value a channel: its numbers [C] where it is constant, else whether each image has its own."""

    tensor: gs.Tensor
    constant: npt.NDArray[Any] | None
    is_by_image: bool


class Affine(NamedTuple):
    """A scale and a bias of one shape, [C] or [N, C], and the nodes that compute them."""

    scale: gs.Tensor
    bias: gs.Tensor
    nodes: Sequence[NewNode]


Part: TypeAlias = npt.NDArray[Any] | gs.Tensor  # [C], or of tensors [1, C] or [N, C] where each image has its own


@dataclass
class AffineNodes:
    """Makes nodes whose tensors are named after `name`, for as many images as `batch` says, and as many channels."""

    name: str
    batch: Dim
    channels: int
    dtype: Any
    _made: list[NewNode] = field(default_factory=list)
    _by_image: dict[int, gs.Tensor] = field(default_factory=dict)
    _is_by_image: bool = False
    _count: int = 0

    def combine(
        self, scale: npt.NDArray[Any], bias: npt.NDArray[Any], factor: Values | None, summand: Values | None
    ) -> Affine:
        """Return  scale * factor  and  bias * factor + summand."""
        self._is_by_image = any(values is not None and values.is_by_image for values in (factor, summand))
        by = np.ones_like(scale) if factor is None else self._flat(factor)
        added = np.zeros_like(bias) if summand is None else self._flat(summand)
        new_scale, new_bias = self._product(scale, by), self._sum(self._product(bias, by), added)
        return Affine(self._ended(new_scale), self._ended(new_bias), self._made)

    def _flat(self, values: Values) -> Part:
        if values.constant is not None:
            return values.constant
        target = [0, -1] if values.is_by_image else [1, -1] if self._is_by_image else [-1]
        shape = gs.Constant(self._name("shape"), np.array(target, dtype=np.int64))
        return self._node("Reshape", [values.tensor, shape], values.is_by_image)

    def _product(self, one: npt.NDArray[Any], other: Part) -> Part:
        if isinstance(other, np.ndarray):
            return one * other
        if not one.any():
            return one
        return other if (one == 1).all() else self._node("Mul", [self._constant(one), other], self._is_full(other))

    def _sum(self, one: Part, other: Part) -> Part:
        if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
            return one + other
        for part, rest in ((one, other), (other, one)):
            if isinstance(part, np.ndarray) and not part.any():
                return rest
        tensors = [self._constant(each) if isinstance(each, np.ndarray) else each for each in (one, other)]
        return self._node("Add", tensors, any(map(self._is_full, tensors)))

    def _ended(self, part: Part) -> gs.Tensor:
        """Return a scale or bias of [C], or of [N, C] where one of them has it."""
        tensor = self._constant(part) if isinstance(part, np.ndarray) else part
        if not self._is_by_image or self._is_full(tensor):
            return tensor
        batch = self.batch if isinstance(self.batch, int) else MAX_CHANNELS + 1
        if isinstance(part, np.ndarray) and batch * self.channels <= MAX_CHANNELS:
            return self._constant(np.tile(part, (batch, 1)))
        shape = self._node("Shape", [next(iter(self._by_image.values()))], is_full=False, dtype=np.int64, dims=[2])
        return self._node("Expand", [tensor, shape], is_full=True)

    def _is_full(self, tensor: gs.Tensor) -> bool:
        return id(tensor) in self._by_image

    def _constant(self, values: npt.NDArray[Any]) -> gs.Constant:
        return gs.Constant(self._name("value"), np.ascontiguousarray(values))

    def _node(
        self, op: str, inputs: Sequence[gs.Tensor], is_full: bool, dtype: Any = None, dims: list[Dim] | None = None
    ) -> gs.Tensor:
        rows: list[Dim] = [self.batch] if is_full else [1] if self._is_by_image else []
        made = gs.Variable(self._name(op.lower()), dtype or self.dtype, dims or [*rows, self.channels])
        self._made.append(NewNode(op, inputs, [made]))
        if is_full:
            self._by_image[id(made)] = made
        return made

    def _name(self, role: str) -> str:
        self._count += 1
        return f"{self.name}_{role}_{self._count}"
