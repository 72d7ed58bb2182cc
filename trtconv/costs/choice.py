"""Choose for each group of nodes between TensorRT's layers and what the passes make of them, by predicted time.

A network falls into areas: what lies between two convolutions is chosen together, for a layer's layout and its region
depend on its neighbours. In an area every group starts as native, as the least and as the most that the passes make of
it, and changes as long as the predicted time falls. A change whose gain is no more than noise is taken back, and so is
a convolution in another form, whose weights are larger, where it gains no more than that over what keeps it as it is.
An area with very many groups or works is decided in parts: the time of a search grows with the product of both.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from trtconv.costs import work
from trtconv.costs.estimates import Estimates
from trtconv.costs.prediction import Layer, UnknownSizeError, predict
from trtconv.costs.tables import CostTable
from trtconv.costs.work import Data, Work
from trtconv.decisions import NATIVE, PLUGIN, Choice

_MAX_ROUNDS = 8
# Of what is searched at once. Areas of the networks at hand have at most 2 groups and 430 works.
_MAX_GROUPS, _MAX_WORKS = 4, 1000
_HARD = frozenset({work.CONVOLUTION, work.OTHER})  # what no choice changes


@dataclass(frozen=True)
class Option:
    """One way to run a group: the works that stand for the nodes `covers`, each after what it reads; native has none.

    `choice` is its name in the group, `nodes` says by address what the passes make of those that they change.
    """

    choice: str
    made: Sequence[Work] = ()
    covers: frozenset[str] = frozenset()
    nodes: Mapping[str, Choice] = field(default_factory=dict)

    @property
    def is_rewritten(self) -> bool:
        """Whether it has a convolution in another form."""
        return any(each.kind == work.CONVOLUTION for each in self.made)


@dataclass(frozen=True)
class Group:
    """Nodes that are decided together: `options` begin with native, then come as the passes make more of them."""

    options: Sequence[Option]

    @property
    def covers(self) -> frozenset[str]:
        """The nodes that some option stands for."""
        return frozenset().union(*(option.covers for option in self.options))


@dataclass(frozen=True)
class Chosen:
    """The option of a group, and the predicted microseconds of each choice: of the layers in which they differ.

    `unknown` names the tensor whose size is not known, where nothing could be predicted: a plugin is usually faster.
    """

    group: Group
    option: Option
    microseconds: Mapping[str, float] = field(default_factory=dict)
    unknown: str | None = None


@dataclass(frozen=True)
class Network:
    """The works of a network as it was read, in their order, with the sizes of all data, also of what passes make."""

    works: Sequence[Work]
    data: Mapping[str, Data]
    given: Collection[str]


def choose(network: Network, groups: Sequence[Group], table: CostTable) -> list[Chosen]:
    """Return the choice of each group, area by area."""
    times = Estimates(table, network.data)
    parts = (part for area in _areas(network, groups) for part in _parts(*area))
    return [chosen for part in parts for chosen in _Area(network, *part, times).choose()]


def with_options(works: Sequence[Work], options: Iterable[Option]) -> list[Work]:
    """Return the works of a network when groups have these options, in an order in which they can run."""
    taken = [option for option in options if option.made]
    covered = frozenset().union(*(option.covers for option in taken))
    known = {name for each in works for name in each.outputs}
    made: dict[str, list[Work]] = {}  # by the tensor of the network that the last of them writes
    for option in taken:
        waiting: list[Work] = []
        for each in option.made:
            waiting.append(each)
            if each.outputs[0] in known:
                made[each.outputs[0]], waiting = waiting, []
    result = []
    for each in works:
        replacement = next((made[name] for name in each.outputs if name in made), None)
        if replacement is not None:
            result += replacement
        elif each.name not in covered:
            result.append(each)
    return result


class _Area:
    def __init__(self, network: Network, works: Sequence[Work], groups: Sequence[Group], times: Estimates) -> None:
        self._network, self._works, self._groups, self._times = network, works, groups, times
        self._table = times.table
        self._given = [name for each in works for name in each.inputs if name in network.given]
        self._known: dict[tuple[int, ...], tuple[float, list[Layer]]] = {}

    def choose(self) -> Iterator[Chosen]:
        try:
            best = self._without_noise(self._without_larger_weights(min(self._starts(), key=self._time)))
        except UnknownSizeError as error:
            for group in self._groups:
                usual = next((option for option in group.options if option.choice == PLUGIN), group.options[0])
                yield Chosen(group, usual, unknown=str(error))
            return
        for index, group in enumerate(self._groups):
            yield Chosen(group, group.options[best[index]], self._differences(best, index))

    def _starts(self) -> list[tuple[int, ...]]:
        """Return where each descent ends, from the most and from the least that the passes make, and from native.

        Of equal ones the first is taken, which leaves the least to TensorRT: what it joins is not quite free.
        """
        native = tuple(0 for _ in self._groups)
        least = tuple(min(1, len(group.options) - 1) for group in self._groups)
        most = tuple(len(group.options) - 1 for group in self._groups)
        return [*(self._descend(start) for start in (most, least, native)), native]

    def _descend(self, start: tuple[int, ...]) -> tuple[int, ...]:
        best = start
        for _ in range(_MAX_ROUNDS):
            before = best
            for index in range(len(self._groups)):
                best = min((best, *self._others(best, index)), key=self._time)
            if best == before:
                break
        return best

    def _others(self, assignment: tuple[int, ...], index: int) -> list[tuple[int, ...]]:
        options = range(len(self._groups[index].options))
        return [(*assignment[:index], number, *assignment[index + 1 :]) for number in options]

    def _without_larger_weights(self, best: tuple[int, ...]) -> tuple[int, ...]:
        """Take back each convolution in another form that gains no more than noise over what keeps it."""
        for index, group in enumerate(self._groups):
            if group.options[best[index]].is_rewritten:
                others = self._others(best, index)
                plain = [each for each in others if not group.options[each[index]].is_rewritten]
                kept = min(plain, key=self._time)
                noise = self._table.noise.of(self._differences(best, index)[group.options[kept[index]].choice])
                best = kept if self._time(kept) - self._time(best) <= noise else best
        return best

    def _without_noise(self, best: tuple[int, ...]) -> tuple[int, ...]:
        """Take back each change whose gain over native is noise, the smallest first, then all if they are together."""
        while True:
            gains = []
            for index in (index for index, number in enumerate(best) if number):
                native = self._others(best, index)[0]
                gain = self._time(native) - self._time(best)
                if gain <= self._table.noise.of(self._differences(best, index)[NATIVE]):
                    gains.append((gain, native))
            if not gains:
                break
            best = min(gains)[1]
        native = tuple(0 for _ in best)
        gain = self._time(native) - self._time(best)
        return best if gain > self._table.noise.us else native

    def _differences(self, assignment: tuple[int, ...], index: int) -> dict[str, float]:
        """Return the time of the layers that differ between the options of a group, by choice."""
        counts = [Counter(map(_key, self._layers(each))) for each in self._others(assignment, index)]
        common = counts[0]
        for each in counts[1:]:
            common = common & each
        options = zip(self._groups[index].options, counts, strict=True)
        return {
            option.choice: sum(key[2] * number for key, number in (each - common).items()) for option, each in options
        }

    def _time(self, assignment: tuple[int, ...]) -> float:
        return self._evaluated(assignment)[0]

    def _layers(self, assignment: tuple[int, ...]) -> list[Layer]:
        return self._evaluated(assignment)[1]

    def _evaluated(self, assignment: tuple[int, ...]) -> tuple[float, list[Layer]]:
        if assignment not in self._known:
            options = (group.options[number] for group, number in zip(self._groups, assignment, strict=True))
            works = with_options(self._works, options)
            layers = predict(works, self._network.data, self._table, self._given, self._times)
            self._known[assignment] = sum(layer.microseconds for layer in layers), layers
        return self._known[assignment]


def _key(layer: Layer) -> tuple[tuple[str, ...], str, float]:
    return tuple(layer.nodes), layer.kind, layer.microseconds


def _areas(network: Network, groups: Sequence[Group]) -> Iterator[tuple[list[Work], list[Group]]]:
    """Yield the works between convolutions that hold a group, with the convolutions around them, and their groups."""
    depths: dict[str, int] = {}
    roots: dict[str, str] = {}

    def root(name: str) -> str:
        while roots[name] != name:
            roots[name] = name = roots[roots[name]]
        return name

    writers: dict[str, Work] = {}
    for each in network.works:
        is_hard = each.kind in _HARD
        depth = max((depths.get(name, 0) for name in each.inputs), default=0) + is_hard
        depths.update(dict.fromkeys(each.outputs, depth))
        roots[each.name] = each.name
        for name in () if is_hard else each.inputs:
            writer = writers.get(name)
            if writer is not None and writer.kind not in _HARD and depths[name] == depth:
                roots[root(each.name)] = root(writer.name)
        writers.update(dict.fromkeys(each.outputs, each))
    for group in groups:
        first, *others = group.covers
        for other in others:
            roots[root(other)] = root(first)
    by_root: dict[str, list[Group]] = {}
    for group in groups:
        by_root.setdefault(root(next(iter(group.covers))), []).append(group)
    members: dict[str, list[Work]] = {}
    for each in network.works:
        near = [each.name, *(writers[name].name for name in each.inputs if name in writers)]
        for key in dict.fromkeys(map(root, near)):
            if key in by_root and (key == root(each.name) or each.kind in _HARD):
                members.setdefault(key, []).append(each)
    places = {each.name: place for place, each in enumerate(network.works)}
    for key, own in members.items():
        yield _with_writers(own, places, writers), by_root[key]


def _with_writers(own: Sequence[Work], places: Mapping[str, int], writers: Mapping[str, Work]) -> list[Work]:
    """Return works with the convolutions that write what they read, in the order of the network."""
    read = (name for each in own if each.kind not in _HARD for name in each.inputs)
    before = [writers[name] for name in read if name in writers and writers[name].kind in _HARD]
    return sorted({each.name: each for each in (*own, *before)}.values(), key=lambda each: places[each.name])


def _parts(works: Sequence[Work], groups: Sequence[Group]) -> Iterator[tuple[Sequence[Work], Sequence[Group]]]:
    """Yield the groups of an area that are searched at once, neighbours together, with the works around them."""
    if len(groups) <= _MAX_GROUPS and len(works) <= _MAX_WORKS:
        yield works, groups
        return
    places = {each.name: place for place, each in enumerate(works)}
    waiting = deque(sorted(((min(map(places.__getitem__, each.covers)), each) for each in groups), key=itemgetter(0)))
    end = 0
    while waiting:
        start = waiting[0][0]
        own: list[Group] = []
        while waiting and len(own) < _MAX_GROUPS and waiting[0][0] < start + _MAX_WORKS // 2:
            own.append(waiting.popleft()[1])
        begin = max(end, start - _MAX_WORKS // 4)
        end = min(waiting[0][0] if waiting else len(works), start + 3 * _MAX_WORKS // 4)
        near = {*range(begin, end), *(places[name] for group in own for name in group.covers)}
        yield [works[place] for place in sorted(near)], own
