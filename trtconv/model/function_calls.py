"""Which functions a model calls, and how many nodes it has once every call is replaced by a body."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import onnx

from trtconv.errors import ModelError
from trtconv.model.walking import walk_all

FunctionId = tuple[str, str, str]  # domain, name, overload

# Ten functions that call each other ten times make 10^10 nodes out of a kilobyte. No network's make as many as this.
MAX_ADDED_NODES = 250_000
_MANY = 10**15


def id_of(function: onnx.FunctionProto) -> FunctionId:
    """Return what a node names a function by."""
    return function.domain, function.name, function.overload


def id_of_call(node: onnx.NodeProto) -> FunctionId:
    """Return the function that a node calls, if the model has it."""
    return node.domain, node.op_type, node.overload


def require_inlinable(proto: onnx.ModelProto, path: Path) -> None:
    """Raise ModelError where functions call themselves, or inlining all calls adds too many nodes.

    The nodes are counted, not made: in time linear in those that the file holds.
    """
    own = {id_of(function): function for function in proto.functions}
    calls = {key: Counter(map(id_of_call, walk_all(each.node))) for key, each in own.items()}
    sizes: dict[FunctionId, int] = {}
    try:
        for key in TopologicalSorter({key: called.keys() & own.keys() for key, called in calls.items()}).static_order():
            sizes[key] = _num_nodes(calls[key], sizes)
    except CycleError as error:
        names = ", ".join(sorted({f"{domain}::{name}" for domain, name, _ in error.args[1]}))
        what = f"local functions that call themselves: {names}, which ONNX forbids"
        raise ModelError(what, where=str(path), hint="export the model again") from None
    called = Counter(map(id_of_call, walk_all(proto.graph.node)))
    num_nodes = _num_nodes(called, sizes)
    added = num_nodes - called.total()
    if added > MAX_ADDED_NODES:
        shown = f"{added} nodes" if num_nodes < _MANY else f"more than {_MANY // 10} nodes"
        what = f"inlining its local functions adds {shown}, at most {MAX_ADDED_NODES} are taken"
        raise ModelError(what, where=str(path), hint="export the model without functions that call each other so often")


def _num_nodes(called: Mapping[FunctionId, int], sizes: Mapping[FunctionId, int]) -> int:
    """Return how many nodes a body has; beyond what counts, numbers stay short."""
    return min(sum(times * sizes.get(key, 1) for key, times in called.items()), _MANY)
