"""The layers that TensorRT makes of a network, and the time of each.

A convolution, a pad, an upsampling and a plugin are a layer each. What lies between them - norms, reductions, pointwise
nodes, slices, transposes - becomes one region where a norm or a reduction is in it: its inner tensors are never
written. Without one, neighbouring pointwise nodes are a layer, and every node that moves data is one of its own: this
is what tearing a norm out of a region costs. Each reduction ends a kernel of its region, as those of a norm that is
written out do. Pointwise nodes after a convolution are part of it. Convolutions are channels-last, but for small ones
in fp32, and in 16 bits so is upsampling; regions and pads of TensorRT's own are linear; plugins and pointwise layers
take the layout of what they read. A tensor that is read in another layout is copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trtconv.costs import estimates, work
from trtconv.costs.estimates import Estimates
from trtconv.costs.tables import CostTable
from trtconv.costs.work import CHANNELS_LAST, LINEAR, Data, Layout, Work

_16_BITS = 2  # bytes of an element
REFORMAT = "reformat"


@dataclass(frozen=True)
class Layer:
    """A layer of the engine: the names of its nodes, its kind, and its predicted time."""

    nodes: Sequence[str]
    kind: str
    microseconds: float


class UnknownSizeError(Exception):
    """The size of a tensor is not known, so no time can be predicted."""


def predict(
    works: Sequence[Work],
    data: Mapping[str, Data],
    table: CostTable,
    given: Sequence[str] = (),
    times: Estimates | None = None,
) -> list[Layer]:
    """Return the layers of a network, whose works come in an order in which they can run.

    `given` are the tensors that come from outside, which are linear. `times` are those of the same data and table that
    are known already. Raises UnknownSizeError.
    """
    for each in works:
        for name in (*each.inputs, *each.outputs):
            if name not in data:
                raise UnknownSizeError(name)
    return _Prediction(times or Estimates(table, data), dict.fromkeys(given, LINEAR)).run(_pieces(works))


@dataclass(frozen=True)
class _Piece:
    """Works that run as one layer, `is_fused` as a region of TensorRT's."""

    works: Sequence[Work]
    is_fused: bool = False

    @property
    def first(self) -> Work:
        return self.works[0]

    def reads(self) -> list[str]:
        own = {name for each in self.works for name in each.outputs}
        return list(dict.fromkeys(name for each in self.works for name in each.inputs if name not in own))

    def writes(self, readers: Mapping[str, set[int]]) -> list[str]:
        """Return what others read, or nobody: the results of the network."""
        own = {id(each) for each in self.works}
        names = (name for each in self.works for name in each.outputs)
        return [name for name in names if not readers.get(name) or readers[name] - own]


class _Prediction:
    def __init__(self, times: Estimates, layouts: dict[str, Layout]) -> None:
        self._times = times
        self._layouts = layouts
        self._converted: set[tuple[str, Layout]] = set()
        self._after_convolution: set[str] = set()
        self._layers: list[Layer] = []

    def run(self, pieces: Sequence[_Piece]) -> list[Layer]:
        readers: dict[str, set[int]] = {}
        for piece in pieces:
            for each in piece.works:
                for name in each.inputs:
                    readers.setdefault(name, set()).add(id(each))
        for piece in pieces:
            self._add(piece, readers)
        return self._layers

    def _add(self, piece: _Piece, readers: Mapping[str, set[int]]) -> None:
        reads, writes, first = piece.reads(), piece.writes(readers), piece.first
        joined = self._convolution_before(piece, reads, readers)
        layout = self._layout_of(piece) if joined is None else self._layouts[joined]
        for name in reads:
            self._convert(name, layout)
        if joined is not None:
            others = self._times.sizes([name for name in reads if name != joined])
            self._note(piece, work.POINTWISE, self._times.adding(estimates.POINTWISE, others))
        elif piece.is_fused or first.kind != work.VIEW:
            kind = work.NORM if piece.is_fused else first.kind
            self._note(piece, kind, self._time(piece, reads, writes, layout))
        for name in (name for each in piece.works for name in each.outputs):
            self._layouts[name] = layout
            if joined is not None or first.kind == work.CONVOLUTION:
                self._after_convolution.add(name)

    def _note(self, piece: _Piece, kind: str, microseconds: float) -> None:
        self._layers.append(Layer([each.name for each in piece.works], kind, microseconds))

    def _time(self, piece: _Piece, reads: Sequence[str], writes: Sequence[str], layout: Layout) -> float:
        times, first = self._times, piece.first
        if piece.is_fused:
            return self._time_of_region(piece, reads, writes)
        if first.op is not None:
            return times.plugin(first, layout)
        if first.kind == work.CONVOLUTION and first.weights:
            return times.convolution(first)
        if first.kind == work.PAD:
            return times.native(work.PAD, first.inputs[0], first.outputs[0])
        if first.kind == work.RESIZE:
            rate = estimates.resize_rate(times.data[first.inputs[0]])
        else:
            rate = estimates.POINTWISE if first.kind == work.POINTWISE else estimates.COPY
        return times.moving(rate, times.sizes([*reads, *writes], layout))

    def _time_of_region(self, piece: _Piece, reads: Sequence[str], writes: Sequence[str]) -> float:
        """Return the time of norms and reductions, and of what a region reads and writes besides."""
        times = self._times
        norms = [each for each in piece.works if each.kind == work.NORM]
        total = sum(times.native(work.NORM, each.inputs[0], each.outputs[0]) for each in norms)
        counted = sum(times.sizes([each.inputs[0], each.outputs[0]]) for each in norms)
        reductions = [each for each in piece.works if each.kind == work.REDUCTION]
        for each in reductions:  # a written-out norm reduces twice, for the mean and for the variance
            total += times.native(work.NORM, each.inputs[0], each.inputs[0]) / 2 + times.table.reduction_us
            counted += times.sizes([each.inputs[0]])
        return total + times.adding(estimates.POINTWISE, max(times.sizes([*reads, *writes]) - counted, 0))

    def _layout_of(self, piece: _Piece) -> Layout:
        first = piece.first
        sized = self._times.data[first.inputs[0]] if first.inputs else None
        if sized is None or not sized.is_image:
            return LINEAR
        if first.op is None:
            if first.kind == work.CONVOLUTION:
                return LINEAR if first.weights and self._times.is_linear(first) else CHANNELS_LAST
            if first.kind == work.RESIZE:
                return CHANNELS_LAST if sized.element_bytes <= _16_BITS else LINEAR
            if piece.is_fused or first.kind in (work.PAD, work.OTHER) or self._has_other_axes(first):
                return LINEAR
        known = (self._layouts[name] for name in piece.reads() if name in self._layouts)
        return next(known, LINEAR)

    def _has_other_axes(self, each: Work) -> bool:
        """Say whether a view makes other axes of a tensor, as a reshape does, which needs it linear."""
        data = self._times.data
        return each.kind == work.VIEW and data[each.inputs[0]].dims != data[each.outputs[0]].dims

    def _convert(self, name: str, layout: Layout) -> None:
        before = self._layouts.get(name, layout)
        if before == layout or not self._times.data[name].is_image or (name, layout) in self._converted:
            return
        self._converted.add((name, layout))
        self._layers.append(Layer([name], REFORMAT, self._times.reformat(name, before, layout)))

    def _convolution_before(self, piece: _Piece, reads: Sequence[str], readers: Mapping[str, set[int]]) -> str | None:
        """Return what a convolution gives to a pointwise piece alone, which TensorRT then joins with it."""
        if piece.is_fused or piece.first.kind != work.POINTWISE:
            return None
        own = {id(each) for each in piece.works}
        return next((name for name in reads if name in self._after_convolution and readers[name] <= own), None)


def _pieces(works: Sequence[Work]) -> list[_Piece]:
    """Return the works that run together, in the order of the first of each."""
    depths = _depths(works)
    regions = _components([each for each in works if each.is_regional], depths)
    pieces: dict[int, _Piece] = {}
    for region in regions:
        if any(each.kind in (work.NORM, work.REDUCTION) for each in region):
            pieces[id(region[-1])] = _Piece(region, is_fused=True)
            continue
        pointwise = [each for each in region if each.kind == work.POINTWISE]
        for chain in _components(pointwise, depths):
            pieces[id(chain[-1])] = _Piece(chain)
        pieces |= {id(each): _Piece([each]) for each in region if each.kind != work.POINTWISE}
    pieces |= {id(each): _Piece([each]) for each in works if not each.is_regional}
    places = {id(each): place for place, each in enumerate(works)}
    return [pieces[key] for key in sorted(pieces, key=lambda key: (depths[key], places[key]))]


def _depths(works: Sequence[Work]) -> dict[int, int]:
    """Return how many layers that stand alone lie before each work: only works of one depth may be one region."""
    of_tensor: dict[str, int] = {}
    depths: dict[int, int] = {}
    for each in works:
        depth = max((of_tensor.get(name, 0) for name in each.inputs), default=0)
        depth += not each.is_regional
        depths[id(each)] = depth
        of_tensor.update(dict.fromkeys(each.outputs, depth))
    return depths


def _components(works: Sequence[Work], depths: Mapping[int, int]) -> list[list[Work]]:
    """Group works of one depth that are connected through their tensors."""
    roots: dict[int, int] = {id(each): id(each) for each in works}

    def root(key: int) -> int:
        while roots[key] != key:
            roots[key] = key = roots[roots[key]]
        return key

    writers: dict[str, Work] = {name: each for each in works for name in each.outputs}
    for each in works:
        for name in each.inputs:
            writer = writers.get(name)
            if writer is not None and depths[id(writer)] == depths[id(each)]:
                roots[root(id(each))] = root(id(writer))
    groups: dict[int, list[Work]] = {}
    for each in works:
        groups.setdefault(root(id(each)), []).append(each)
    return list(groups.values())
