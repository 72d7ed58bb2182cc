"""What every pass shares: where a node stands, the context of one conversion, and a "no" that has a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx_graphsurgeon as gs

from trtconv.decisions import Decision
from trtconv.errors import ConfigError
from trtconv.model.addresses import format_address, is_meant, list_addresses
from trtconv.ops import describe_replaced
from trtconv.ops.custom_op import DOMAIN, CustomOp


@dataclass(frozen=True)
class NoMatch:
    """Why a node stays as it is."""

    reason: str


@dataclass(frozen=True)
class Site:
    """One node, the (sub)graph that holds it, the address that people use for it, and what the report calls its op."""

    graph: gs.Graph
    node: gs.Node
    address: str
    title: str


@dataclass
class PassContext:
    """The state of one conversion: what the passes may know, and the decisions they have made so far.

    `folder` is the model's, for tensors in external data files; `keep_native` holds glob patterns on node addresses.
    Where `native_reason` is set, every node stays native, for that reason; `chosen_native` gives reasons by address.
    """

    opset: int
    folder: Path
    keep_native: Sequence[str] = ()
    native_reason: str | None = None
    chosen_native: Mapping[str, str] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    _used_patterns: set[str] = field(default_factory=set)

    def candidates(self, graph: gs.Graph, title: str, accept: Callable[[gs.Node], bool]) -> list[Site]:
        """Return every ONNX node that `accept` takes, branches included, but those that the user keeps native.

        `title` is what the report calls such a node.
        """
        found = []
        for site in walk(graph, title=title):
            if not is_onnx(site.node) or not accept(site.node):
                continue
            patterns = [pattern for pattern in self.keep_native if is_meant(site.address, pattern)]
            self._used_patterns.update(patterns)
            if self.native_reason is not None:
                self.keep(site, NoMatch(self.native_reason))
            elif site.address in self.chosen_native:
                self.keep(site, NoMatch(self.chosen_native[site.address]))
            elif patterns:
                self.keep(site, NoMatch(f"asked for by --keep-native {patterns[0]}"))
            else:
                found.append(site)
        return found

    def keep(self, site: Site, no_match: NoMatch) -> None:
        """Record that a node stays native."""
        self.decisions.append(Decision(site.address, site.title, None, no_match.reason))

    def rewritten(self, site: Site, op: CustomOp, reason: str) -> None:
        """Record that a node is now the custom `op`."""
        self.decisions.append(Decision(site.address, site.title, f"{DOMAIN}::{op.name}", reason))

    def require_used_patterns(self) -> None:
        """Raise ConfigError when a keep_native pattern named no node that a pass looked at."""
        for pattern in self.keep_native:
            if pattern not in self._used_patterns:
                seen = list_addresses(decision.node for decision in self.decisions)
                raise ConfigError(
                    f"pattern {pattern!r} matches no {describe_replaced('and no')}",
                    where="--keep-native",
                    hint=f"the nodes are: {seen or 'none in this model'}",
                )


def is_onnx(node: gs.Node) -> bool:
    """Say whether a node's op is one of ONNX itself, not of a custom domain."""
    return node.domain in (None, "", "ai.onnx")


def address_of(node: gs.Node, prefix: str = "") -> str:
    """Return a node's address, behind the path of the branches it stands in."""
    return format_address(node.name, node.op, (tensor.name for tensor in node.outputs), prefix)


def walk(graph: gs.Graph, prefix: str = "", *, title: str) -> Iterator[Site]:
    """Yield every node of `graph` and of the branches and bodies inside it, in their order."""
    for node in graph.nodes:
        address = address_of(node, prefix)
        yield Site(graph, node, address, title)
        for name, value in node.attrs.items():
            if isinstance(value, gs.Graph):
                yield from walk(value, f"{address}/{name}/", title=title)
