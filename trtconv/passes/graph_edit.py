"""The only place that changes a graph, and what passes ask about its tensors.

A pass gives `replace` the nodes that are to go and those that come instead; model/graph_bridge.py writes these edits.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx_graphsurgeon as gs
from onnx_graphsurgeon.exporters.onnx_exporter import dtype_to_onnx

from trtconv import element_types
from trtconv.errors import GraphEditError, ModelError
from trtconv.model.addresses import address_of
from trtconv.model.shape_inference import is_made_up
from trtconv.ops.custom_op import DOMAIN, AttributeValue, CustomOp, Dim, Operand, attributes_for
from trtconv.passes.base import Site, walk_graphs
from trtconv.passes.positions import Positions


@dataclass(frozen=True)
class NewNode:
    """A node to be. Its outputs are tensors of the nodes that it replaces, or new ones.

    A new one is a gs.Variable(name, dtype, shape); where its name is taken, the written model finds it another one.
    `heir_of` is the old node that it stands for although it writes no output of that.
    """

    op: str
    inputs: Sequence[gs.Tensor]
    outputs: Sequence[gs.Tensor]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""
    heir_of: gs.Node | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))  # a replaced node's own list is emptied
        object.__setattr__(self, "outputs", tuple(self.outputs))


def plugin_node(
    op: CustomOp,
    inputs: Sequence[gs.Tensor],
    outputs: Sequence[gs.Tensor],
    attributes: Mapping[str, AttributeValue],
    opset: int,
    heir_of: gs.Node | None = None,
) -> NewNode:
    """Return a node of the custom `op` for a model of ai.onnx `opset`."""
    return NewNode(op.name, inputs, outputs, attributes_for(op, attributes, opset), DOMAIN, heir_of)


def replace(
    graph: gs.Graph,
    nodes: Sequence[gs.Node],
    by: NewNode | Sequence[NewNode],
    instead: Sequence[tuple[gs.Tensor, gs.Tensor]] = (),
) -> None:
    """Put the nodes `by` in the place of `nodes`, which stand in `graph` itself, not in a branch of it.

    A new node that writes an output of an old one, or is its heir, takes over its name, its position and its doc
    string; any other stands right before the next of these, or after the last. Of each pair in `instead`, all readers
    of the first tensor, inside branches too, read the second from now on; a graph that gave out the first gives out the
    second, under the promised name.

    Raises GraphEditError, with nothing changed, where others still read an output that nothing writes any more.
    """
    news = [by] if isinstance(by, NewNode) else list(by)
    heirs = _heirs(nodes, news)
    _require_outputs(graph, nodes, news, instead)
    is_in_place = len(news) == len(nodes) and all(heir is not None for heir in heirs)
    positions = [] if is_in_place else sorted(_positions(graph, nodes), reverse=True)
    kept = {id(heir): _num_kept(new, heir) for new, heir in zip(news, heirs, strict=True) if heir is not None}
    for node in nodes:
        _detach(node, kept.get(id(node), 0))
    if instead:
        _read_instead(graph, instead)
    made = [_make(new, heir) for new, heir in zip(news, heirs, strict=True)]
    if positions:
        _put_in_place(graph, positions, made, heirs)


def _heirs(nodes: Sequence[gs.Node], news: Sequence[NewNode]) -> list[gs.Node | None]:
    """Return, for each new node, the old one that it stands for; each old one has one heir at most."""
    heirs: list[gs.Node | None] = []
    for new in news:
        writers = (node for output in new.outputs for node in nodes if _holds(node.outputs, output))
        heir = next((node for node in writers if not _holds(heirs, node)), None)
        heirs.append(heir if new.heir_of is None else new.heir_of)
    return heirs


def _require_outputs(
    graph: gs.Graph, nodes: Sequence[gs.Node], news: Sequence[NewNode], instead: Sequence[tuple[gs.Tensor, gs.Tensor]]
) -> None:
    written = {id(output) for new in news for output in new.outputs} | {id(old) for old, _ in instead}
    going = {id(node) for node in nodes}
    for node in nodes:
        for output in node.outputs:
            if not output.name or id(output) in written:
                continue
            reader = next((reader for reader in output.outputs if id(reader) not in going), None)
            if reader is not None or _holds(graph.outputs, output):
                by = "the graph gives it out" if reader is None else f"{address_of(reader)} reads it"
                raise GraphEditError(f"its output {output.name} would be lost, and {by}", where=address_of(node))


def _positions(graph: gs.Graph, nodes: Sequence[gs.Node]) -> list[int]:
    positions, found = Positions.of(graph), []
    for node in {id(node): node for node in nodes}.values():
        try:
            found.append(positions.find(node))
        except KeyError:
            raise GraphEditError("the node to be replaced is not in this graph", where=address_of(node)) from None
    return found


def _num_kept(new: NewNode, heir: gs.Node) -> int:
    """Return how many inputs, from the first on, a new node reads as the old one did.

    These stay: to find a node among thousands of readers of one tensor, for each of them, takes their square.
    """
    pairs = enumerate(zip(heir.inputs, new.inputs, strict=False))
    most = min(len(heir.inputs), len(new.inputs))
    return next((index for index, (old, tensor) in pairs if old is not tensor), most)


def _detach(node: gs.Node, num_kept: int) -> None:
    """Take a node from its tensors, but for the first inputs, as clear() of its lists does.

    That compares it with every reader of each tensor.
    """
    for tensors, field_name, first in ((node.inputs, "outputs", num_kept), (node.outputs, "inputs", 0)):
        for tensor in tensors[first:]:
            others = getattr(tensor, field_name)
            is_last = others[-1] is node  # as where a pass goes through the nodes from the end
            list.pop(others, -1 if is_last else operator.indexOf(map(id, others), id(node)))
        list.__delitem__(tensors, slice(first, None))


def _read_instead(graph: gs.Graph, instead: Sequence[tuple[gs.Tensor, gs.Tensor]]) -> None:
    for old, new in instead:
        for reader in list(old.outputs):
            for index, tensor in enumerate(reader.inputs):
                if tensor is old:
                    reader.inputs[index] = new
    by_id = {id(old): new for old, new in instead}
    for each in walk_graphs(graph):
        each.outputs = [by_id.get(id(tensor), tensor) for tensor in each.outputs]


def _make(new: NewNode, heir: gs.Node | None) -> gs.Node:
    node = gs.Node(new.op) if heir is None else heir
    node.op, node.domain, node.attrs = new.op, new.domain, dict(new.attributes)
    node.inputs.extend(new.inputs[len(node.inputs) :])
    node.outputs = list(new.outputs)
    return node


def _put_in_place(
    graph: gs.Graph, positions: Sequence[int], made: Sequence[gs.Node], heirs: Sequence[gs.Node | None]
) -> None:
    """Take the old nodes out of the list of a graph, from its end on, and put the new ones in."""
    before: dict[int, list[gs.Node]] = {}
    waiting: list[gs.Node] = []
    for node, heir in zip(made, heirs, strict=True):
        waiting.append(node)
        if heir is not None:
            before[id(heir)], waiting = waiting, []
    for position in positions:
        Positions.of(graph).put(position, [*before.get(id(graph.nodes[position]), ()), *waiting])
        waiting = []


def _holds(items: Sequence[Any], wanted: Any) -> bool:
    """Say whether a list holds this very object: those of graph-surgeon compare by what they hold."""
    return any(item is wanted for item in items)


def require_x(site: Site) -> gs.Tensor:
    """Return a node's first input; raise ModelError where that or the output is missing."""
    inputs, outputs = site.node.inputs, site.node.outputs
    if not inputs or not inputs[0].name or len(outputs) != 1 or not outputs[0].name:
        what = (
            f"{site.node.op} has {len(inputs)} inputs and {len(outputs)} outputs, the first input and one output needed"
        )
        raise ModelError(what, where=site.address)
    x: gs.Tensor = inputs[0]
    return x


def given_inputs(node: gs.Node) -> list[gs.Tensor | None]:
    """Return a node's inputs, with None for an optional one that was left out."""
    return [tensor if tensor.name else None for tensor in node.inputs]


def shape_of(tensor: gs.Tensor) -> list[Dim] | None:
    """Return a tensor's dimensions, each an int, a symbol or None, or None when not even the rank is known."""
    return None if tensor.shape is None else list(tensor.shape)


def dtype_of(tensor: gs.Tensor) -> int | None:
    """Return a tensor's ONNX element type, or None when it is unknown."""
    if tensor.dtype is None:
        return None
    return _elem_type(tensor.dtype)


@functools.cache
def _elem_type(dtype: Any) -> int | None:
    """Return the ONNX element type of numpy's type, for which graph-surgeon makes a table each time."""
    return int(dtype_to_onnx(dtype)) or None  # 0 is UNDEFINED


def operand_of(tensor: gs.Tensor) -> Operand:
    """Return what is known of a tensor, as the rules of the custom ops ask for it."""
    return Operand(dtype_of(tensor), shape_of(tensor))


def describe_dtype(dtype: int) -> str:
    """Return the name of an ONNX element type as people write it: float32, int32."""
    return element_types.name_of(dtype)


def set_type(tensor: gs.Tensor, dtype: int | None, shape: Sequence[Dim] | None) -> bool:
    """Give a tensor the type and the sizes that shape inference did not find, for the written value_info.

    Return whether its rank, or a size or symbol of it, is new.
    """
    if not isinstance(tensor, gs.Variable):
        return False
    if tensor.dtype is None and dtype is not None:
        tensor.dtype = dtype
    known = shape_of(tensor)
    if shape is None or (known is not None and len(known) != len(shape)):
        return False
    tensor.shape = (
        list(shape) if known is None else [_more_telling(old, new) for old, new in zip(known, shape, strict=True)]
    )
    return bool(tensor.shape != known)


def _more_telling(old: Dim, new: Dim) -> Dim:
    """Return a size before a symbol of the model, and that before one that shape inference made up."""
    if isinstance(old, int) or new is None:
        return old
    is_better = old is not None and is_made_up(old) and not is_made_up(new)
    return new if isinstance(new, int) or old is None or is_better else old
