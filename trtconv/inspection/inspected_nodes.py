"""What `trtconv inspect` knows of the tensors and nodes of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trtconv.inspection.parameter_sources import Parameter
from trtconv.ops.custom_op import Dim
from trtconv.shapes import format_dims


@dataclass(frozen=True)
class Tensor:
    """An input or output; `shape` is None when not even the rank is known, a dimension None when it has no name."""

    name: str
    dtype: str | None
    shape: Sequence[Dim] | None


@dataclass(frozen=True)
class NodeInspection:
    """One custom op or node that might become one: its data input X, its parameters, what it would become and why.

    `became` is None for a node that stays native, and where nothing was decided since the pass met an error. `figures`
    are those of the decision, which the reason names.
    """

    node: str
    op: str
    dtype: str | None
    shape: Sequence[Dim] | None
    parameters: Sequence[Parameter]
    is_decided: bool
    became: str | None
    reason: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rank(self) -> int | None:
        """The number of dimensions of X, as far as the model tells."""
        return None if self.shape is None else len(self.shape)


def describe_shape(shape: Sequence[Dim] | None, times: str = "x") -> str:
    """Return a shape for people, as `format_dims` does, also one that nobody knows."""
    return "rank unknown" if shape is None else format_dims(shape, times)
