"""Choose by predicted time, node by node, between native, plugin, fused and rewritten.

The passes run on copies of the graph, once for each of `trials`; what they make of it is compared with the graph as it
was read. The passes of the conversion then make of each node what was chosen, as they do for a decision file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx_graphsurgeon as gs

from trtconv.costs.choice import Chosen, Group, Network, Option, choose
from trtconv.costs.tables import CostTable
from trtconv.costs.work import Work
from trtconv.decisions import NATIVE, Choice
from trtconv.passes.base import Decisions, PassContext, Wish
from trtconv.passes.complete_shapes import complete_shapes
from trtconv.passes.cost_choices import ChosenGroup, CostChoices
from trtconv.passes.network_work import NetworkWork, read_network

Pass = Callable[[gs.Graph, PassContext], int]


@dataclass(frozen=True)
class _Unit:
    """Works that stand for the nodes `covers` together, each after what it reads; the last writes their result."""

    works: Sequence[Work]
    covers: frozenset[str]


@dataclass(frozen=True)
class _Trial:
    """What the passes of a choice made: works in the place of nodes, and what became of these, by address.

    `considered` are the addresses of all nodes that they decided on.
    """

    choice: str
    units: Sequence[_Unit]
    changed: Mapping[str, Choice]
    considered: Sequence[str]
    network: NetworkWork


def choose_by_cost(
    copy: Callable[[], gs.Graph],
    context: PassContext,
    trials: Mapping[str, Sequence[Pass]],
    table: CostTable,
    is_short: bool,
) -> CostChoices:
    """Return what is predicted to be fastest for each node.

    `copy` returns the graph as it was read, at the sizes that count; `trials` are the passes of each choice, those that
    make least first. With `is_short` the engine holds its floats in 16 bits. Nodes of which the user decided take no
    part. Raises ConfigError when a keep_native pattern matches none.
    """
    graph = copy()
    complete_shapes(graph, _fresh(context))
    original = read_network(graph, is_short)
    *less, (choice, passes) = trials.items()
    most = _try(graph, context, choice, passes, original, is_short)
    context.choices.require_used(most.considered)
    if not most.changed:
        return CostChoices()
    made = [*(_try(copy(), context, *trial, original, is_short) for trial in less), most]
    data = dict(original.data)
    for trial in made:
        data |= {name: size for name, size in trial.network.data.items() if name not in data}
    groups = list(_groups(made))
    chosen = choose(Network(original.works, data, frozenset(original.given)), groups, table)
    return _told(chosen, table)


def _fresh(context: PassContext) -> PassContext:
    return replace(context, decisions=Decisions(), constants={}, recognised={}, made={}, roots={})


def _try(
    graph: gs.Graph,
    context: PassContext,
    choice: str,
    passes: Sequence[Pass],
    original: NetworkWork,
    is_short: bool,
) -> _Trial:
    own = _fresh(context)
    complete_shapes(graph, own)
    for run in passes:
        run(graph, own)
    network = read_network(graph, is_short)
    changed = {decision.node: made for decision in own.decisions if (made := decision.made) not in (None, NATIVE)}
    considered = [decision.node for decision in own.decisions if not decision.is_computed]
    return _Trial(choice, list(_units(original, network)), changed, considered, network)


def _units(original: NetworkWork, network: NetworkWork) -> Iterator[_Unit]:
    """Yield the custom ops of a rewritten network, each with the convolutions and custom ops that only it reads.

    The tensors between them are the passes' own: each begins and ends with tensors of the network as it was read.
    """
    writers = {name: each for each in original.works for name in each.outputs}
    own = {name: each for each in network.works for name in each.outputs if name not in writers}
    others = {  # that no unit covers: those that are still there, and what a unit before it covers
        each.name
        for each in original.works
        if network.operators.get(each.outputs[0]) == original.operators[each.outputs[0]]
    }
    for each in network.works:
        if each.op is None or each.outputs[0] not in writers or writers[each.outputs[0]].op is not None:
            continue
        works = _with_own(each, own)
        read = {name for work in works for name in work.inputs}
        covers = _behind(each.outputs[0], read, writers, others)
        others |= covers
        yield _Unit(works, covers)


def _with_own(made: Work, own: Mapping[str, Work]) -> list[Work]:
    """Return what writes the tensors of the passes' own that a work reads, each after what it reads, and the work."""
    before = (own[name] for name in made.inputs if name in own)
    return [*(work for each in before for work in _with_own(each, own)), made]


def _behind(name: str, read: Collection[str], writers: Mapping[str, Work], others: Collection[str]) -> frozenset[str]:
    """Return the nodes between the tensors that works read and the one that they write that are no longer there."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        writer = writers.get(waiting.pop())
        if writer is None or writer.name in found or writer.name in others:
            continue
        found.add(writer.name)
        waiting += [each for each in writer.inputs if each not in read]
    return frozenset(found)


def _groups(trials: Sequence[_Trial]) -> Iterator[Group]:
    """Yield the groups: nodes that are one unit in some trial are decided together."""
    groups: dict[str, set[str]] = {}  # by each of their nodes
    for trial in trials:
        for unit in trial.units:
            _join(groups, unit.covers)
    numbers = [_units_by_node(trial) for trial in trials]
    for members in {id(each): each for each in groups.values()}.values():
        options = [Option(NATIVE)]
        for trial, by_node in zip(trials, numbers, strict=True):
            own = sorted({number for name in members for number in by_node.get(name, ())})
            for option in _options(trial, [trial.units[number] for number in own]):
                if all(not _are_alike(option, other) for other in options):
                    options.append(option)
        yield Group([options[0], *sorted(options[1:], key=lambda each: len(each.covers))])


def _join(groups: dict[str, set[str]], names: Collection[str]) -> None:
    """Make one group of these nodes and of all groups that hold one of them; the largest takes in the others."""
    found = {id(each): each for each in (groups.get(name) for name in names) if each is not None}
    joined = max(found.values(), key=len, default=set())
    for each in (names, *(other for other in found.values() if other is not joined)):
        joined |= set(each)
        groups.update(dict.fromkeys(each, joined))


def _units_by_node(trial: _Trial) -> dict[str, list[int]]:
    """Return the numbers of the units that stand for each node."""
    numbers: dict[str, list[int]] = {}
    for number, unit in enumerate(trial.units):
        for name in unit.covers:
            numbers.setdefault(name, []).append(number)
    return numbers


def _options(trial: _Trial, own: Sequence[_Unit]) -> Iterator[Option]:
    """Yield what a trial makes of a group: all its units together and, where there are several, each alone."""
    alone = [(f"{trial.choice} {unit.works[-1].name}", [unit]) for unit in own if len(own) > 1]
    for choice, units in [(trial.choice, own), *alone]:
        covers = frozenset().union(*(unit.covers for unit in units))
        if units:
            nodes = {address: trial.changed[address] for address in sorted(covers) if address in trial.changed}
            yield Option(choice, [work for unit in units for work in unit.works], covers, nodes)


def _are_alike(one: Option, other: Option) -> bool:
    pairs = zip(one.made, other.made, strict=False)
    return len(one.made) == len(other.made) and all(
        (first.op, first.inputs, first.outputs, first.attributes)
        == (second.op, second.inputs, second.outputs, second.attributes)
        for first, second in pairs
    )


def _told(chosen: Sequence[Chosen], table: CostTable) -> CostChoices:
    """Return choices by the addresses of nodes, with reasons and figures."""
    wishes: dict[str, Wish] = {}
    figures: dict[str, Mapping[str, Any]] = {}
    groups = []
    for each in chosen:
        addresses = frozenset().union(*(option.nodes for option in each.group.options))
        options = {
            option.choice: {address: option.nodes.get(address, NATIVE) for address in addresses}
            for option in each.group.options
        }
        group = ChosenGroup(each.option.choice, each.microseconds, options)
        groups.append(group)
        wishes |= group.wishes(group.choice, _reason(each, table))
        if each.microseconds:
            rounded = {choice: round(time, 2) for choice, time in each.microseconds.items()}
            figures |= {address: {"predicted_us": rounded, "times_of": table.title} for address in addresses}
    return CostChoices(wishes, figures, groups)


def _reason(chosen: Chosen, table: CostTable) -> str:
    if chosen.unknown is not None:
        return f"no time can be predicted: the size of {chosen.unknown} is not known"
    return f"TensorRT's own layer is predicted to be faster, by the times of {table.title}"
