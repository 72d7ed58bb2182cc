"""Outputs that are not tensors: sequences and maps, as ONNX Runtime returns them from ZipMap and its like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from trtconv.inputs.made_inputs import type_name

Leaf = tuple[str, npt.NDArray[Any]]


def leaves_of(value: Any, place: str = "") -> Iterator[Leaf]:
    """Yield the tensors inside sequences and maps with their places, such as `[0]['cat']`, in an order of their own.

    A number or a text counts as a tensor without dimensions.
    """
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from leaves_of(value[key], f"{place}[{key!r}]")
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from leaves_of(each, f"{place}[{index}]")
    else:
        yield place, value if isinstance(value, np.ndarray) else np.array(value)


def structure_name(value: Any) -> str:
    """Return what people call the type of an output, such as `sequence of map of float64`."""
    if isinstance(value, Mapping | list | tuple):
        inner = list(value.values() if isinstance(value, Mapping) else value)[:1]
        kind = "map" if isinstance(value, Mapping) else "sequence"
        return " of ".join([kind, *map(structure_name, inner)])
    return type_name(value.dtype if isinstance(value, np.ndarray) else np.array(value).dtype)
