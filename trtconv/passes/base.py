"""What every pass shares: where a node stands, the context of one conversion, and a "no" that has a reason."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt
import onnx_graphsurgeon as gs

from trtconv.decisions import CHOICES, PLUGIN, Choice, Decision
from trtconv.errors import ConfigError
from trtconv.model.addresses import address_of, is_meant, list_addresses
from trtconv.model.walking import is_onnx
from trtconv.ops import describe_replaced
from trtconv.ops.custom_op import CustomOp


@dataclass(frozen=True)
class NoMatch:
    """Why a node stays as it is; `figures` are the numbers that the reason names."""

    reason: str
    figures: Mapping[str, Any] = field(default_factory=dict)


class Site(NamedTuple):
    """One node, the (sub)graph that holds it, and the address that people use for it."""

    graph: gs.Graph
    node: gs.Node
    address: str


@dataclass(frozen=True)
class Recognised:
    """What a node stands for that a pass put in the place of others: where these were, as what, and the figures."""

    address: str
    title: str
    reason: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wish:
    """What the passes may make of a node at most, and why no more."""

    choice: Choice
    reason: str

    def allows(self, making: Choice) -> bool:
        """Say whether the passes may make that of the node."""
        return CHOICES.index(making) <= CHOICES.index(self.choice)


@dataclass(frozen=True)
class Choices:
    """What the passes may make of nodes.

    `keep_native` holds glob patterns on node addresses that stay native. Where `native_reason` is set, every node stays
    native, for that reason; `chosen` holds, by address, what was chosen for single nodes.
    """

    keep_native: Sequence[str] = ()
    native_reason: str | None = None
    chosen: Mapping[str, Wish] = field(default_factory=dict)

    def reason_against(self, address: str, making: Choice = PLUGIN) -> str | None:
        """Return why the passes are not to make that of a node, None where they decide."""
        if self.native_reason is not None:
            return self.native_reason
        wish = self.chosen.get(address)
        if wish is not None and not wish.allows(making):
            return wish.reason
        pattern = next((pattern for pattern in self.keep_native if is_meant(address, pattern)), None)
        return None if pattern is None else f"asked for by --keep-native {pattern}"

    def require_used(self, addresses: Sequence[str]) -> None:
        """Raise ConfigError when a keep_native pattern means none of the nodes that the passes looked at."""
        for pattern in self.keep_native:
            if not any(is_meant(address, pattern) for address in addresses):
                raise ConfigError(
                    f"pattern {pattern!r} matches no {describe_replaced('and no')}",
                    where="--keep-native",
                    hint=f"the nodes are: {list_addresses(addresses) or 'none in this model'}",
                )


class Decisions:
    """The book of one conversion: every decision in the order in which it was made, and which node it is about."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[gs.Node, Decision]] = {}  # by running numbers
        self._numbers: dict[int, list[int]] = {}  # by the ids of nodes, which have no hash
        self._next = itertools.count()

    def __iter__(self) -> Iterator[Decision]:
        return (decision for _, decision in self._made.values())

    def record(self, node: gs.Node, decision: Decision) -> None:
        """Add the decision about a node."""
        number = next(self._next)
        self._made[number] = (node, decision)
        self._numbers.setdefault(id(node), []).append(number)

    def has(self, node: gs.Node) -> bool:
        """Say whether there is a decision about a node."""
        return id(node) in self._numbers

    def revise(self, node: gs.Node, decision: Decision) -> bool:
        """Put a decision in the place of those about a node; say whether the node becomes a custom op only by it."""
        numbers = self._numbers.get(id(node), [])
        was_plugin = any(self._made[number][1].is_plugin for number in numbers)
        for number in numbers[1:]:
            del self._made[number]
        del numbers[1:]
        if numbers:
            self._made[numbers[0]] = (node, decision)
        else:
            self.record(node, decision)
        return not was_plugin

    def last(self, node: gs.Node) -> Decision | None:
        """Return the last decision about a node, None where there is none."""
        numbers = self._numbers.get(id(node))
        return self._made[numbers[-1]][1] if numbers else None

    def address_of(self, node: gs.Node) -> str | None:
        """Return the address by which a node was decided on, None where it was not."""
        decision = self.last(node)
        return None if decision is None else decision.node

    def by_node(self) -> dict[int, Decision]:
        """Return the last decision about each node, by the node's id."""
        return {key: self._made[numbers[-1]][1] for key, numbers in self._numbers.items()}


@dataclass
class PassContext:
    """What the passes of one conversion know, and the decisions that they have made so far.

    `folder` is the model's, for tensors in external data files. `constants` are the values that were computed so far,
    with their tensors, by the ids of these. `doubts` gives reasons, by address, for nodes that no pass may touch.
    `recognised` tells, by the ids of nodes, what stands where others were. `roots` holds the roots of written-out norms
    by address: why each is not an instance norm, "" where it is part of one. `made` holds, by their ids, nodes that no
    user knows: they stand beside a recognised one.
    """

    opset: int
    folder: Path
    choices: Choices = field(default_factory=Choices)
    decisions: Decisions = field(default_factory=Decisions)
    constants: dict[int, tuple[gs.Tensor, npt.NDArray[Any]]] = field(default_factory=dict)
    doubts: Mapping[str, str] = field(default_factory=dict)
    recognised: dict[int, Recognised] = field(default_factory=dict)
    made: dict[int, gs.Node] = field(default_factory=dict)
    roots: dict[str, str] = field(default_factory=dict)

    def nodes(self, graph: gs.Graph, accept: Callable[[gs.Node], bool]) -> list[Site]:
        """Return every ONNX node that `accept` takes, branches included."""
        sites = walk(graph, lambda node: is_onnx(node.domain) and accept(node))
        return [self.as_recognised(site) for site in sites]

    def sites(self, graph: gs.Graph) -> Sites:
        """Return every node by its id, branches included."""
        return Sites(graph, self)

    def as_recognised(self, site: Site) -> Site:
        """Return a site by the address that users know: of the group of nodes, or of the node, that its node was."""
        found = self.recognised.get(id(site.node))
        address = self.decisions.address_of(site.node) if found is None else found.address
        return site if address is None else Site(site.graph, site.node, address)

    def wish_against(self, site: Site, making: Choice = PLUGIN) -> NoMatch | None:
        """Return why a pass may not make that of a node, before it looks at it: something else is wanted, or doubts."""
        reason = self.choices.reason_against(site.address, making) or self.doubts.get(site.address)
        return None if reason is None else NoMatch(reason)

    def keep(self, site: Site, op: CustomOp, no_match: NoMatch) -> None:
        """Record that a node stays native instead of becoming `op`."""
        self._record(site, op, None, no_match.reason, no_match.figures)

    def rewritten(self, site: Site, op: CustomOp, reason: str, figures: Mapping[str, Any] | None = None) -> None:
        """Record that a node is now the custom `op`; `figures` are the numbers that the reason names."""
        self._record(site, op, op.title, reason, figures or {})

    def note(
        self, site: Site, became: str | None, reason: str, figures: Mapping[str, Any] | None = None, title: str = ""
    ) -> None:
        """Record what became of a node that no custom op stands for, or why it stays; `title` is what it is."""
        self.decisions.record(site.node, Decision(site.address, title or site.node.op, became, reason, figures or {}))

    def _record(self, site: Site, op: CustomOp, became: str | None, reason: str, figures: Mapping[str, Any]) -> None:
        found = self.recognised.get(id(site.node))
        if found is None:
            decision = Decision(site.address, op.replaces, became, reason, figures)
        else:
            told = f"{found.reason}; {reason}"
            decision = Decision(site.address, found.title, became, told, {**found.figures, **figures})
        self.decisions.record(site.node, decision)


class Sites(Mapping[int, Site]):
    """The nodes of a graph as it is now, by their ids, by the addresses that users know.

    Most nodes concern no pass: their addresses are only made where a site is asked for.
    """

    def __init__(self, graph: gs.Graph, context: PassContext) -> None:
        self._context = context
        self._places = {id(place.node): place for place in _places(graph)}
        self._made: dict[int, Site] = {}

    def __getitem__(self, key: int) -> Site:
        if key not in self._made:
            self._made[key] = self._context.as_recognised(self._places[key].site())
        return self._made[key]

    def __iter__(self) -> Iterator[int]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def where(self, accept: Callable[[gs.Node], bool]) -> Iterator[Site]:
        """Yield the sites of the nodes that `accept` takes when their turn comes, in the order of the graph."""
        return (self[key] for key, place in self._places.items() if accept(place.node))


def walk(graph: gs.Graph, accept: Callable[[gs.Node], bool] | None = None, prefix: str = "") -> Iterator[Site]:
    """Yield every node of `graph` and of the branches and bodies inside it that `accept` takes, in their order."""
    return (place.site() for place in _places(graph, prefix) if accept is None or accept(place.node))


class _Place(NamedTuple):
    """Where a node is, before its address is made of the `prefix` of its graph."""

    graph: gs.Graph
    node: gs.Node
    prefix: str

    def site(self) -> Site:
        return Site(self.graph, self.node, address_of(self.node, self.prefix))


def _places(graph: gs.Graph, prefix: str = "") -> Iterator[_Place]:
    """Yield where every node of `graph` is, and of the branches and bodies inside it, in their order."""
    for node in graph.nodes:
        yield _Place(graph, node, prefix)
        for name, branch in branches_of(node):
            yield from _places(branch, f"{address_of(node, prefix)}/{name}/")


def walk_graphs(graph: gs.Graph) -> Iterator[gs.Graph]:
    """Yield a graph, then the branches and bodies inside it, an outer graph before its inner ones."""
    yield graph
    for node in graph.nodes:
        for _, branch in branches_of(node):
            yield from walk_graphs(branch)


def branches_of(node: gs.Node) -> list[tuple[str, gs.Graph]]:
    """Return the branches and bodies of a node by their names."""
    return [(name, value) for name, value in node.attrs.items() if isinstance(value, gs.Graph)] if node.attrs else []
