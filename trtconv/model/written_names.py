"""The names under which the tensors and nodes of a graph-surgeon graph are written.

What was read keeps its name, or has the one that a pass gave it; what a graph takes and gives out
keeps the names that the model promises; a new name is changed where it is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import onnx_graphsurgeon as gs

from trtconv.errors import GraphEditError
from trtconv.model.as_read import AsRead, GraphAsRead
from trtconv.model.fresh_names import FreshNames
from trtconv.model.walking import walk_graphs


class UsedNames:
    """Every name of a tensor in the whole model, so that no new one hides another."""

    def __init__(self, as_read: AsRead) -> None:
        self._as_read = as_read

    @cached_property
    def _names(self) -> FreshNames:
        names = {read.tensor.name for read in self._as_read.tensors.values()}
        for graph in walk_graphs(self._as_read.proto):
            names.update(each.name for each in (*graph.input, *graph.output, *graph.initializer, *graph.value_info))
            for node in graph.node:
                names.update((*node.input, *node.output))
        return FreshNames(names)

    def new(self, wanted: str) -> str:
        """Return a name that nothing else has, `wanted` itself where it is free."""
        return self._names.new(wanted)


class Scope:
    """The names of one (sub)graph's own tensors, and through `outer` those that it sees from outside.

    `new_constants` are to become initializers of this graph.
    """

    def __init__(self, as_read: AsRead, used: UsedNames, outer: Scope | None) -> None:
        self._as_read = as_read
        self._used = used
        self._outer = outer
        self._names: dict[int, str] = {}
        self._owners: dict[str, int] = {}
        self._num_writers: dict[int, int] = {}
        self._promised: set[int] = set()
        self._changed: set[str] = set()
        self.new_constants: list[tuple[str, gs.Constant]] = []

    @property
    def is_outermost(self) -> bool:
        """Whether this is the main graph."""
        return self._outer is None

    def own_name(self, tensor: gs.Tensor) -> str | None:
        """Return the name of a tensor of this very graph, None for any other."""
        return self._names.get(id(tensor))

    def promise(self, tensor: gs.Tensor, name: str) -> bool:
        """Give a tensor that this graph takes or gives out the name that the model promises.

        Return False where it has another one already.
        """
        if id(tensor) in self._names or name in self._owners:
            return self._names.get(id(tensor)) == name
        self._promised.add(id(tensor))
        self._add(tensor, name)
        return True

    def reserve(self, name: str) -> None:
        """Keep a promised name for what has none of its own here; raise GraphEditError where it is taken."""
        if name in self._owners:
            raise GraphEditError(f"two tensors are called {name}", where=name)
        self._owners[name] = id(self)
        self._promised.add(id(self))

    def declare(self, tensor: gs.Tensor) -> None:
        """Name a tensor that this graph owns: an initializer, or what a node writes."""
        if id(tensor) in self._names:
            return
        read = self._as_read.tensors.get(id(tensor))
        name = self._used.new(tensor.name or "tensor") if read is None else tensor.name
        if read is not None and not name:
            raise GraphEditError("it has no name any more, and is still read", where=read.name)
        owner = self._owners.get(name)
        if owner is not None and owner in self._promised:  # the graph gives out another tensor under this name now
            name = self._used.new(name)
        elif owner is not None or self._is_hidden(name, is_changed=read is not None and name != read.name):
            raise GraphEditError(f"two tensors are called {name}", where=name)
        self._add(tensor, name)

    def declare_output(self, tensor: gs.Tensor) -> None:
        """Name what a node writes; raise GraphEditError where another node writes it too, and did not before."""
        if not tensor.name and id(tensor) not in self._names and not tensor.outputs:
            return  # an optional output that is left out
        self.declare(tensor)
        self._num_writers[id(tensor)] = self._num_writers.get(id(tensor), 0) + 1
        read = self._as_read.tensors.get(id(tensor))
        if isinstance(tensor, gs.Constant) and (read is None or read.values is None):
            raise GraphEditError("it is a constant now, and a node still writes it", where=tensor.name)
        if self._num_writers[id(tensor)] > max(1, read.num_writers if read is not None else 0):
            raise GraphEditError(f"more than one node writes {tensor.name}", where=tensor.name)

    def name_of(self, tensor: gs.Tensor, where: Callable[[], str]) -> str:
        """Return the name under which this graph reads a tensor; a new constant becomes an initializer of it.

        Raises GraphEditError, at `where`, for a tensor that nothing writes any more, or not in sight of this graph.
        """
        scope: Scope | None = self
        while scope is not None:
            if id(tensor) in scope._names:
                return scope._names[id(tensor)]
            scope = scope._outer
        if isinstance(tensor, gs.Constant):
            return self._add_constant(tensor)
        read = self._as_read.tensors.get(id(tensor))
        name = str(tensor.name)
        was_nobodys = read is not None and read.is_dangling and read.values is None
        is_as_it_was = was_nobodys if read is not None else self._sees(name) and not tensor.inputs
        if not name or is_as_it_was:
            return name
        raise GraphEditError(f"it reads {name}, which no node writes that it can see", where=where())

    def _add(self, tensor: gs.Tensor, name: str) -> None:
        _require_text(name)
        self._names[id(tensor)] = name
        self._owners[name] = id(tensor)
        read = self._as_read.tensors.get(id(tensor))
        if read is None or read.name != name:
            self._changed.add(name)

    def _add_constant(self, constant: gs.Constant) -> str:
        read = self._as_read.tensors.get(id(constant))
        was_computed = read is not None and read.values is None
        if was_computed and not self._sees(constant.name):
            self._add(constant, constant.name)
        else:
            self._add(constant, self._used.new(constant.name or "constant"))
        self.new_constants.append((self._names[id(constant)], constant))
        return self._names[id(constant)]

    def _sees(self, name: str) -> bool:
        return name in self._owners or (self._outer is not None and self._outer._sees(name))

    def _is_hidden(self, name: str, is_changed: bool) -> bool:
        """Say whether a tensor would hide an outer one of its name that was not hidden when the model was read."""
        outer = self._outer
        while outer is not None:
            if name in (outer._owners if is_changed else outer._changed):
                return True
            outer = outer._outer
        return False


def require_promised(graph: gs.Graph, read: GraphAsRead, as_read: AsRead) -> None:
    """Raise GraphEditError where a pass renamed what a graph takes or gives out, or changed its opset.

    Giving out another tensor does not count: it gets the promised name.
    """
    if graph.opset != read.opset:
        raise GraphEditError(f"the opset of a graph cannot become {graph.opset}", where=graph.name)
    kept = [new for new, old in zip(graph.outputs, read.outputs, strict=True) if new is old]
    listed = {value.name for value in read.source.input}
    own = {id(each.tensor): each for each in as_read.tensors_of[id(graph)]}
    kept += [each.tensor for each in own.values() if each.name in listed]
    for tensor in kept:
        if id(tensor) in own and tensor.name != own[id(tensor)].name:
            what = f"its name is promised by the graph that takes it or gives it out, and cannot become {tensor.name}"
            raise GraphEditError(what, where=own[id(tensor)].name)
    for tensor in graph.inputs:
        if isinstance(tensor, gs.Constant):
            raise GraphEditError("an input cannot become a constant", where=tensor.name)


def _require_text(name: object) -> None:
    try:
        if isinstance(name, str) and name.encode():
            return
    except UnicodeEncodeError:
        pass
    raise GraphEditError("the name of a tensor must be UTF-8 text", where=ascii(name))


class NodeNames:
    """The names of a graph's nodes: a new one, or one that a pass gave, is changed where another node has it."""

    def __init__(self, graph: gs.Graph, as_read: AsRead) -> None:
        self._as_read = as_read
        self._graph = graph
        self._names = FreshNames(node.name for node in graph.nodes if self._is_kept(node))

    def name_of(self, node: gs.Node) -> str:
        """Return the name under which a node is written."""
        wanted = node.name or ""
        if not wanted or self._is_kept(node):
            return wanted
        return self._names.new(wanted)

    def _is_kept(self, node: gs.Node) -> bool:
        read = self._as_read.nodes.get(id(node))
        return read is not None and read.graph is self._graph and bool(read.source.name == node.name)
