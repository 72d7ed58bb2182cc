"""Read tensors that hold how many elements there are: products and quotients of sizes, as Size(X) / (N * C) is one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import onnx_graphsurgeon as gs

from trtconv.model.walking import is_onnx
from trtconv.passes.graph_edit import dtype_of, shape_of
from trtconv.passes.view_sizes import WIDE, SizeReader
from trtconv.passes.views import Size

_MAX_DEPTH = 12
_SAME = frozenset({"Cast", "CastLike", "Identity", "Squeeze", "Unsqueeze", "Reshape"})
_FLOATS = (1, 10, 11, 16)  # ONNX's numbers of float32, float16, float64 and bfloat16


@dataclass(frozen=True)
class Count:
    """A number of elements: `number`, times the sizes of axes to the power of their `exponents`."""

    number: Fraction = Fraction(1)
    exponents: Counter[int] = field(default_factory=Counter)

    def times(self, other: Count, sign: int = 1) -> Count:
        """Return the product, or with a `sign` of -1 the quotient."""
        exponents = Counter(self.exponents)
        for axis, exponent in other.exponents.items():
            exponents[axis] += sign * exponent
        number = self.number * (other.number if sign == 1 else 1 / other.number)
        return Count(number, Counter({axis: exponent for axis, exponent in exponents.items() if exponent}))

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole number whatever the sizes are."""
        return self.number.denominator == 1 and all(exponent > 0 for exponent in self.exponents.values())


def count_of(tensor: gs.Tensor, sizes: SizeReader) -> Count | None:
    """Return a tensor of one element as a count, None where it is none that is known."""
    return _count_of(tensor, sizes, 0, {})


def _count_of(tensor: gs.Tensor, sizes: SizeReader, depth: int, known: dict[int, Count | None]) -> Count | None:
    """Read a tensor, unless that was done: products may read one tensor along many ways."""
    if id(tensor) not in known:
        known[id(tensor)] = _computed(tensor, sizes, depth, known)
    return known[id(tensor)]


def _computed(tensor: gs.Tensor, sizes: SizeReader, depth: int, known: dict[int, Count | None]) -> Count | None:
    if any(dim != 1 for dim in shape_of(tensor) or ()):
        return None
    entries = sizes.read(tensor)
    if entries is not None and len(entries) == 1 and (found := _of_size(entries[0], sizes)) is not None:
        return found
    if depth > _MAX_DEPTH or len(tensor.inputs) != 1 or not is_onnx(tensor.inputs[0].domain):
        return None
    node = tensor.inputs[0]
    if node.op == "Size":
        return product_of(sizes.of_tensor(node.inputs[0]), sizes)
    if node.op == "ReduceProd" and not node.attrs.get("noop_with_empty_axes"):
        return product_of(sizes.read(node.inputs[0]), sizes)
    if node.op in _SAME:
        return _uncut(_count_of(node.inputs[0], sizes, depth + 1, known), tensor)
    if node.op not in ("Mul", "Div"):
        return None
    one, other = (_count_of(each, sizes, depth + 1, known) for each in node.inputs)
    return None if one is None or other is None else _uncut(one.times(other, 1 if node.op == "Mul" else -1), tensor)


def _uncut(count: Count | None, tensor: gs.Tensor) -> Count | None:
    """Return what is the value of a tensor, None where its type cuts something off."""
    dtype = dtype_of(tensor)
    if count is None or dtype not in WIDE or (dtype not in _FLOATS and not count.is_whole):
        return None
    return count


def product_of(entries: Sequence[Size] | None, sizes: SizeReader) -> Count | None:
    """Return the product of sizes, None where one is not known."""
    result = Count()
    for entry in [None] if entries is None else entries:
        count = _of_size(entry, sizes)
        if count is None:
            return None
        result = result.times(count)
    return result


def _of_size(size: Size, sizes: SizeReader) -> Count | None:
    """Return a size as a count: axes whose size is known count as numbers."""
    if isinstance(size, int):
        return Count(Fraction(size)) if size > 0 else None
    result = Count()
    for axis in size or ():
        dim = sizes.base[axis]
        result = result.times(Count(Fraction(dim)) if isinstance(dim, int) else Count(exponents=Counter([axis])))
    return None if size is None or result.number <= 0 else result
