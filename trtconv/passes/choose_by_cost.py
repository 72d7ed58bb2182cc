"""Choose by predicted time, node by node, between native, plugin and fused.

The passes run on copies of the graph, once for each of `trials`; what they make of it is compared with the graph as it
was read. The passes of the conversion then leave native what was chosen so, as they do for a decision file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import onnx_graphsurgeon as gs

from trtconv.costs.choice import NATIVE, Chosen, Group, Network, Option, choose
from trtconv.costs.tables import CostTable
from trtconv.costs.work import Work
from trtconv.decisions import Decision
from trtconv.passes.base import Decisions, PassContext
from trtconv.passes.complete_shapes import complete_shapes
from trtconv.passes.network_work import NetworkWork, read_network

Pass = Callable[[gs.Graph, PassContext], int]


@dataclass(frozen=True)
class CostChoices:
    """What was chosen: why nodes stay native, by address, and the figures of every node that was chosen about.

    `groups` are the choices behind it, with the addresses of the nodes that become plugins in each option.
    """

    native: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    groups: Sequence[ChosenGroup] = ()

    def with_figures(self, decisions: Sequence[Decision]) -> Sequence[Decision]:
        """Return the decisions of a conversion with the predicted times of each node."""
        return tuple(replace(each, figures={**each.figures, **self.figures.get(each.node, {})}) for each in decisions)


@dataclass(frozen=True)
class ChosenGroup:
    """A group of nodes: what was chosen, the predicted microseconds of each choice, and what each keeps native.

    `kept` holds, by choice, the addresses that stay native in it.
    """

    choice: str
    microseconds: Mapping[str, float]
    kept: Mapping[str, frozenset[str]]
    addresses: frozenset[str]


@dataclass(frozen=True)
class _Trial:
    """What the passes of a choice made: works with the nodes that they stand for, and which nodes became plugins.

    `considered` are the addresses of all nodes that they decided on.
    """

    choice: str
    made: Sequence[tuple[Work, frozenset[str]]]
    plugins: frozenset[str]
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
    made = [_try(copy(), context, choice, passes, original, is_short) for choice, passes in trials.items()]
    context.choices.require_used(made[-1].considered)
    data = dict(original.data)
    for trial in made:
        data |= {name: size for name, size in trial.network.data.items() if name not in data}
    groups = list(_groups(made))
    chosen = choose(Network(original.works, data, original.given), groups, table)
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
    plugins = frozenset(decision.node for decision in own.decisions if decision.is_plugin)
    considered = [decision.node for decision in own.decisions if not decision.is_computed]
    return _Trial(choice, list(_made(original, network)), plugins, considered, network)


def _made(original: NetworkWork, network: NetworkWork) -> Iterator[tuple[Work, frozenset[str]]]:
    """Yield the custom ops of a rewritten network, each with the nodes that it stands for."""
    writers = {name: each for each in original.works for name in each.outputs}
    remaining = {
        each.name
        for each in original.works
        if network.operators.get(each.outputs[0]) == original.operators[each.outputs[0]]
    }
    claimed: set[str] = set()
    for each in network.works:
        if each.op is None or each.outputs[0] not in writers or writers[each.outputs[0]].op is not None:
            continue
        covers = _behind(each, writers, remaining | claimed)
        claimed |= covers
        yield each, covers


def _behind(made: Work, writers: Mapping[str, Work], others: set[str]) -> frozenset[str]:
    """Return the nodes between what a custom op reads and what it writes that are no longer there."""
    found: set[str] = set()
    waiting = [made.outputs[0]]
    while waiting:
        writer = writers.get(waiting.pop())
        if writer is None or writer.name in found or writer.name in others:
            continue
        found.add(writer.name)
        waiting += [name for name in writer.inputs if name not in made.inputs]
    return frozenset(found)


def _groups(trials: Sequence[_Trial]) -> Iterator[Group]:
    """Yield the groups: nodes that are one custom op in some trial are decided together."""
    covers = [cover for trial in trials for _, cover in trial.made if cover]
    merged: list[set[str]] = []
    for cover in covers:
        joined = [each for each in merged if each & cover]
        merged = [each for each in merged if not each & cover]
        merged.append(set(cover).union(*joined))
    for members in merged:
        options = [Option(NATIVE)]
        for trial in trials:
            for option in _options(trial, members):
                if all(not _are_alike(option, other) for other in options):
                    options.append(option)
        yield Group([options[0], *sorted(options[1:], key=lambda each: len(each.covers))])


def _options(trial: _Trial, members: set[str]) -> Iterator[Option]:
    """Yield what a trial makes of a group: all its custom ops together and, where there are several, each alone."""
    own = [(made, cover) for made, cover in trial.made if cover & members]
    parts = [(trial.choice, own), *((f"{trial.choice} {made[0].name}", [made]) for made in own if len(own) > 1)]
    for choice, part in parts:
        covers = frozenset().union(*(cover for _, cover in part))
        if part:
            yield Option(choice, [made for made, _ in part], covers, covers & trial.plugins)


def _are_alike(one: Option, other: Option) -> bool:
    pairs = zip(one.made, other.made, strict=False)
    return len(one.made) == len(other.made) and all(
        (first.op, first.inputs, first.outputs, first.attributes)
        == (second.op, second.inputs, second.outputs, second.attributes)
        for first, second in pairs
    )


def _told(chosen: Sequence[Chosen], table: CostTable) -> CostChoices:
    """Return choices by the addresses of nodes, with reasons and figures."""
    native: dict[str, str] = {}
    figures: dict[str, Mapping[str, Any]] = {}
    groups = []
    for each in chosen:
        addresses = frozenset().union(*(option.plugins for option in each.group.options))
        kept = {option.choice: addresses - option.plugins for option in each.group.options}
        groups.append(ChosenGroup(each.option.choice, each.microseconds, kept, addresses))
        native |= dict.fromkeys(kept[each.option.choice], _reason(each, table))
        if each.microseconds:
            rounded = {choice: round(time, 2) for choice, time in each.microseconds.items()}
            figures |= {address: {"predicted_us": rounded, "times_of": table.title} for address in addresses}
    return CostChoices(native, figures, groups)


def _reason(chosen: Chosen, table: CostTable) -> str:
    if chosen.unknown is not None:
        return f"no time can be predicted: the size of {chosen.unknown} is not known"
    return f"TensorRT's own layer is predicted to be faster, by the times of {table.title}"
