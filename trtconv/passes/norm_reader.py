"""Read what the nodes after a tensor compute as quantities of moments.py: each node once, as far as there are some."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_graphsurgeon as gs

from trtconv.model.walking import is_onnx
from trtconv.passes import moments
from trtconv.passes.element_counts import Count, count_of, product_of
from trtconv.passes.graph_edit import given_inputs, shape_of
from trtconv.passes.moments import Moments, NotMoments
from trtconv.passes.norm_source import Source
from trtconv.passes.view_sizes import SizeReader
from trtconv.passes.views import SPREAD, Axes, aligned

ABSOLUTE = "it takes the absolute value of the data, and not its square"
_MAX_NODES = 96  # the longest spelling has 40, with the nodes that compute its sizes
ValueOf = Callable[[gs.Tensor], npt.NDArray[Any] | None]


Step = Callable[["Reader", gs.Node], "Quantity"]


@dataclass(frozen=True)
class Quantity:
    """What a tensor holds, and how its dimensions lie in the source.

    An `is_absolute` one holds the absolute value of its moments, which only its squares are moments of again.
    `is_square` says that it is a square, and so never negative.
    """

    moments: Moments
    view: Sequence[Axes]
    is_absolute: bool = False
    is_square: bool = False


@dataclass
class Reading:
    """What the nodes after a source compute: by the ids of tensors, and why the others are not quantities, by nodes."""

    source: Source
    quantities: dict[int, Quantity] = field(default_factory=dict)
    steps: list[gs.Node] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)
    atoms: dict[int, tuple[gs.Tensor, Sequence[Axes]]] = field(default_factory=dict)


class Reader:
    """Follows the readers of a source, in the order of the graph, which `positions` gives by the ids of its nodes.

    `value_of` tells the value of a constant, `steps` what the node of an op gives.
    """

    def __init__(
        self, source: Source, positions: Mapping[int, int], value_of: ValueOf, steps: Mapping[str, Step]
    ) -> None:
        self._steps = steps
        self.reading = Reading(source)
        self.source = source
        self._positions = positions
        self.value_of = value_of
        self.sizes = SizeReader(source.dims, self._view_of, value_of)
        self._waiting: list[tuple[int, int, gs.Node]] = []
        self._seen: set[int] = set()

    def run(self) -> Reading:
        self._take(self.source.tensor, Quantity(moments.X, self.source.view))
        while self._waiting and len(self._seen) <= _MAX_NODES:
            _, _, node = heapq.heappop(self._waiting)
            try:
                quantity, output = self._read(node), _only_output(node)
            except NotMoments as why:
                self.reading.failures[id(node)] = str(why)
            except (ArithmeticError, LookupError, RuntimeError, StopIteration, TypeError, ValueError):
                self.reading.failures[id(node)] = f"{node.op} is not as ONNX has it"
            else:
                self.reading.steps.append(node)
                self._take(output, quantity)
        return self.reading

    def _take(self, tensor: gs.Tensor, quantity: Quantity) -> None:
        self.reading.quantities[id(tensor)] = quantity
        for node in tensor.outputs:
            if id(node) in self._positions and id(node) not in self._seen:
                self._seen.add(id(node))
                heapq.heappush(self._waiting, (self._positions[id(node)], id(node), node))

    def _view_of(self, tensor: gs.Tensor) -> Sequence[Axes] | None:
        found = self.reading.quantities.get(id(tensor))
        return None if found is None else found.view

    def _read(self, node: gs.Node) -> Quantity:
        step = self._steps.get(node.op) if is_onnx(node.domain) else None
        if step is None:
            raise NotMoments(f"{node.op} is not part of a norm")
        return step(self, node)

    def quantity(self, tensor: gs.Tensor, is_squared: bool = False) -> Quantity:
        """Return what a tensor holds; of one that is to be squared the sign may be lost."""
        found = self.reading.quantities.get(id(tensor))
        if found is None:
            raise NotMoments(f"it depends on {tensor.name}, too")
        if found.is_absolute and not is_squared:
            raise NotMoments(ABSOLUTE)
        return found

    def operands(self, node: gs.Node, is_squared: bool = False) -> tuple[list[Moments], list[Axes]]:
        """Return the inputs of an elementwise node as quantities, and the view that they make together."""
        if "axis" in node.attrs:
            raise NotMoments("it is broadcast as before opset 7")
        known = [self.quantity(each, is_squared) for each in node.inputs if id(each) in self.reading.quantities]
        view: list[Axes] = list(known[0].view)
        for quantity in known[1:]:
            view = aligned(view, quantity.view)
        view = aligned([()] * max(len(shape_of(tensor) or ()) for tensor in node.inputs), view)
        if self.source.groups:
            view = self._spread_along_channels(view, node)
        found = []
        for tensor in node.inputs:
            own = self.reading.quantities.get(id(tensor))
            found.append(self.other(tensor, view) if own is None else own.moments)
        return found, view

    def _spread_along_channels(self, view: list[Axes], node: gs.Node) -> list[Axes]:
        """Return the view of a result in which constants of each channel meet statistics of their group.

        Which axis a new dimension runs over shows where it meets the data: a wrong guess is refused there.
        """
        used = {axis for axes in view for axis in axes}
        for value in map(self.value_of, node.inputs):
            sizes = [] if value is None else value.shape[-len(view) :]
            for position, size in zip(range(-len(sizes), 0), sizes, strict=True):
                fits = (axis for axis in self.source.channel_axes if self.source.dims[axis] == size)
                axis = next((axis for axis in fits if axis not in used), None)
                if view[position] == () and size != 1 and axis is not None:
                    view[position] = (axis,)
                    used.add(axis)
        return view

    def other(self, tensor: gs.Tensor, view: Sequence[Axes]) -> Moments:
        """Return a tensor that does not depend on the source, read beside a quantity of this view."""
        value = self.value_of(tensor)
        if value is not None:
            return moments.number(self._by_channel(tensor, value, view))
        filled = self._filling(tensor, view)
        if filled is not None:
            return moments.number(filled)
        count = count_of(tensor, self.sizes)
        if count is not None and not count.exponents:
            return moments.number(float(count.number))
        if count is not None and count == self._count:
            return moments.COUNT
        return self._atom(tensor, view)

    @property
    def _count(self) -> Count | None:
        """How many elements the statistics are taken of."""
        return product_of([(axis,) for axis in self.source.spatial], self.sizes)

    def mean(self, base: Moments, axes: frozenset[int]) -> Moments:
        """Return the mean of a quantity over axes of the statistics."""
        source = self.source
        if source.groups and source.channel_axis + 1 in axes:
            values = [each.reshape(source.groups, -1) for each in base.terms.values() if not isinstance(each, float)]
            if any(np.any(each != each[:, :1]) for each in values):
                raise NotMoments("its statistics are of channels that were scaled, each by its own factor")
        return moments.mean(base, axes, source.spatial)

    def _by_channel(self, tensor: gs.Tensor, value: npt.NDArray[Any], view: Sequence[Axes]) -> npt.NDArray[Any]:
        """Return a constant as one number, or one a channel."""
        values = value.astype(np.float64)
        long = [axes for size, axes in zip(value.shape[::-1], view[::-1], strict=False) if size != 1][::-1]
        if value.size == 1:
            return values.reshape(())
        if long and value.ndim <= len(view) and () not in long and set().union(*long) <= set(self.source.channel_axes):
            return self._along_channels(values, long)
        if value.size and value.ndim <= len(view) and () not in long and np.all(values == values.flat[0]):
            return values.reshape(-1)[:1].reshape(())
        shape = "x".join(map(str, value.shape))
        raise NotMoments(f"the constant {tensor.name} of {shape} varies along other axes than the channels")

    def _along_channels(self, values: npt.NDArray[np.float64], long: Sequence[Axes]) -> npt.NDArray[np.float64]:
        """Return what varies along the axes `long` of the channels as one value a channel."""
        order = [axis for axes in long for axis in axes]
        if len(self.source.channel_axes) == 1:  # the number of channels may be unknown
            return values.reshape(-1)
        sizes = {axis: int(self.source.dims[axis] or 0) for axis in self.source.channel_axes}
        by_axis = values.reshape([sizes[axis] for axis in order]).transpose(np.argsort(order))
        spread = by_axis.reshape([sizes[axis] if axis in order else 1 for axis in sizes])
        return np.broadcast_to(spread, list(sizes.values())).reshape(-1)

    def _filling(self, tensor: gs.Tensor, view: Sequence[Axes]) -> float | None:
        """Return the one number that fills a tensor whose shape is known at run time only, None where there is none.

        Its dimensions are 1 or those of the view, so that the result is not larger than the view.
        """
        writer = tensor.inputs[0] if len(tensor.inputs) == 1 else None
        if writer is None or writer.op not in ("ConstantOfShape", "Expand") or not is_onnx(writer.domain):
            return None
        given = writer.inputs[0] if writer.op == "Expand" else writer.attrs.get("value")
        value = self.value_of(given) if isinstance(given, gs.Tensor) else np.zeros(1)
        dims = shape_of(tensor)
        if value is None or value.size != 1 or dims is None or len(dims) > len(view):
            return None
        fits = all(dim == 1 or axes != () for dim, axes in zip(dims[::-1], view[::-1], strict=False))
        return float(value.reshape(-1)[0]) if fits else None

    def _atom(self, tensor: gs.Tensor, view: Sequence[Axes]) -> Moments:
        dims = shape_of(tensor)
        if dims is None or len(dims) > len(view):
            raise NotMoments(f"it depends on {tensor.name}, whose shape is unknown or of another rank")
        kept = {0, self.source.channel_axis}  # of a group: what varies inside it may have been averaged
        own = []
        for dim, axes in zip(dims, view[len(view) - len(dims) :], strict=True):
            if dim != 1 and (not axes or not set(axes) <= kept):
                raise NotMoments(f"it depends on {tensor.name}, which may vary from position to position")
            own.append(() if dim == 1 else axes)
        self.reading.atoms[id(tensor)] = (tensor, own)
        return moments.atom(id(tensor))

    def beside(self, tensor: gs.Tensor, view: Sequence[Axes]) -> Moments:
        """Return a value a channel, that is of dimension 1."""
        quantity = self.reading.quantities.get(id(tensor))
        if quantity is not None:
            if len(quantity.view) != 1 or quantity.view[0] not in ((), SPREAD, view[1]):
                raise NotMoments("a statistic does not lie along the channels")
            return quantity.moments
        value = self.value_of(tensor)
        if value is None:
            return self._atom(tensor, [view[1]])
        return moments.number(self._by_channel(tensor, value, [view[1]]))

    def axes(self, node: gs.Node, rank: int) -> set[int] | None:
        given = self.given_axes(node)
        return None if given is None else {axis % rank for axis in given}

    def given_axes(self, node: gs.Node) -> list[int] | None:
        if "axes" in node.attrs:
            return [int(axis) for axis in node.attrs["axes"]]
        inputs = given_inputs(node)
        if len(inputs) < 2 or inputs[1] is None:
            return None
        value = self.value_of(inputs[1])
        return [int(axis) for axis in value.reshape(-1)] if value is not None and value.dtype.kind in "iu" else None


def _only_output(node: gs.Node) -> gs.Tensor:
    """Return the first output of a node; raise ValueError where others are read."""
    output: gs.Tensor
    output, *others = node.outputs
    if any(tensor.outputs for tensor in others):
        raise ValueError(f"{node.op} gives more than one tensor")
    return output
