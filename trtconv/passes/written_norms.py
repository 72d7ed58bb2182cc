"""Find the norms that are written out: from each reduction to a source, and from there to all that it computes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_graphsurgeon as gs

from trtconv.model.walking import is_onnx
from trtconv.passes import norm_operators, norm_reductions, norm_steps, view_steps
from trtconv.passes.graph_edit import dtype_of, shape_of
from trtconv.passes.moments import ONE, Coefficient, Moments, Term
from trtconv.passes.norm_reader import Quantity, Reader, Reading, ValueOf
from trtconv.passes.norm_source import Source
from trtconv.passes.views import Axes
from trtconv.passes.written_groups import find_groups

_STEPS = {**norm_steps.STEPS, **norm_reductions.STEPS, **norm_operators.STEPS, **view_steps.STEPS}
# What takes statistics of a tensor; a BatchNormalization is given them.
REDUCTIONS = (norm_reductions.STEPS.keys() | norm_operators.STEPS.keys()) - {"BatchNormalization"}
# What a source may lie before, beside squares and means: the same values in another shape, order or type.
_VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"}) | {
    *("Cast", "Identity", "CastLike", "Dropout")
}
_MAX_VIEWS = 8
_MAX_STEPS, _MAX_WIDTH = 6, 16  # from a root to what says why it belongs to no norm
_ROUNDING = 1e-5

Factor = Mapping[tuple[tuple[int, float], ...], Coefficient]  # atoms -> coefficient


@dataclass(frozen=True)
class Norm:
    """A norm of a source: output = scale * (X - m) / sqrt(v + epsilon) + bias, and what it is computed by.

    `scale` and `bias` are sums of products of tensors, which `reading` names, by coefficients.
    """

    reading: Reading
    output: gs.Tensor
    scale: Factor
    bias: Factor
    epsilon: float

    @property
    def nodes(self) -> list[gs.Node]:
        """The nodes that compute it from the source, the one that writes the output first."""
        members = {id(node): node for node in self.reading.steps}
        found: dict[int, gs.Node] = {}
        stack = [self.output.inputs[0]]
        while stack:
            node = stack.pop()
            if id(node) in members and id(node) not in found:
                found[id(node)] = node
                stack += [writer for tensor in node.inputs for writer in tensor.inputs]
        return list(found.values())

    @property
    def is_constant(self) -> bool:
        """Whether scale and bias are constants."""
        return self.scale.keys() <= {()} and self.bias.keys() <= {()}


@dataclass
class Survey:
    """What was found in one graph: the norms, and why other nodes belong to none, by the ids of nodes."""

    norms: list[Norm] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)


def survey(graph: gs.Graph, value_of: ValueOf) -> Survey:
    """Find the norms of one graph, its branches aside."""
    positions = {id(node): index for index, node in enumerate(graph.nodes)}
    outputs = {id(tensor) for tensor in graph.outputs}
    found, read, taken, tried = Survey(), set[int](), set[int](), set[int]()
    for node in graph.nodes:
        if node.op not in REDUCTIONS or not is_onnx(node.domain) or id(node) in read or not node.inputs:
            continue
        for tensor in _sources(node):
            if id(tensor) in tried:
                continue
            tried.add(id(tensor))
            readings: list[Reading] = []
            for source in _layouts(tensor, node):
                readings.append(Reader(source, positions, value_of, _STEPS).run())
                if _is_full(node, readings[-1]):
                    break
            norms = [norm for reading in readings for norm in _norms_of(reading, outputs)]
            norms = [norm for norm in norms if id(norm.output) not in taken]
            found.norms += norms
            taken |= {id(norm.output) for norm in norms}
            read |= {id(each) for norm in norms for each in norm.nodes}
            fitting = [reading for reading in readings if _is_full(node, reading)]
            for reading in fitting:
                read |= {id(each) for each in reading.steps if _is_statistic(reading.quantities[id(each.outputs[0])])}
                for each, reason in reading.failures.items():
                    found.failures.setdefault(each, reason)
            other_axes = None if fitting else _other_axes(node, readings)
            if other_axes is not None:
                found.failures.setdefault(id(node), other_axes)
            if norms or other_axes is not None:
                break
    return found


def reason_at(root: gs.Node, failures: Mapping[int, str]) -> str:
    """Return why the root of a variance is not part of an instance norm.

    What a reduction before it is over says most; else it is what failed first before it, or after it.
    """
    before, after = _around(root, is_before=True), _around(root, is_before=False)
    reductions = [node for node in before if node.op in REDUCTIONS]
    told = (failures[id(node)] for node in (*reductions, *before, *after) if id(node) in failures)
    return next(told, "nothing that is normalised by it is the tensor that it is of")


def _around(root: gs.Node, is_before: bool) -> list[gs.Node]:
    """Return a node and those that lie a few steps before or after it, the nearest first."""
    found, level = [root], [root]
    for _ in range(_MAX_STEPS):
        tensors = [tensor for node in level for tensor in (node.inputs if is_before else node.outputs)]
        level = [node for tensor in tensors for node in (tensor.inputs if is_before else tensor.outputs)][:_MAX_WIDTH]
        found += level
    return found


def _is_statistic(quantity: Quantity) -> bool:
    """Say whether a quantity is of the mean and the variance alone: it is no data that another norm may be of."""
    terms = quantity.moments.terms
    return bool(terms) and all((term.m or term.v) and not (term.x or term.r) for term in terms)


def _is_full(reduction: gs.Node, reading: Reading) -> bool:
    """Say whether a reduction is one of the source over all that lies after the channels."""
    result = reading.quantities.get(id(reduction.outputs[0]))
    return result is not None and not any(term.averaged for term in result.moments.terms)


def _other_axes(reduction: gs.Node, readings: Sequence[Reading]) -> str | None:
    """Say over which axes of the source a reduction is that fits no layout; None where it is none of the source.

    What is nearer to it is a view that hides that: [N, H*W, C], of a norm over the channels.
    """
    plain = [reading for reading in readings if not reading.source.groups]
    for reading in plain:
        if id(reduction) in reading.failures:
            return reading.failures[id(reduction)]
    for reading in plain:
        result = reading.quantities.get(id(reduction.outputs[0]))
        if result is not None:
            return norm_reductions.other_axes(frozenset().union(*(term.averaged for term in result.moments.terms)))
    return None


def _layouts(tensor: gs.Tensor, reduction: gs.Node) -> Iterator[Source]:
    """Yield a tensor as a source with the channels second, and with the channels last, then with groups of these."""
    rank = len(shape_of(tensor) or [])
    yield from (Source.of(tensor, axis) for axis in (1, rank - 1))
    yield from (Source.of(tensor, *found) for found in find_groups(tensor, reduction))


def _sources(reduction: gs.Node) -> Iterator[gs.Tensor]:
    """Yield the tensors that a reduction may be a statistic of: the farthest first."""
    chain = [reduction.inputs[0]]
    while len(chain) <= _MAX_VIEWS and len(chain[-1].inputs) == 1 and chain[-1].inputs[0].inputs:
        writer = chain[-1].inputs[0]
        if not is_onnx(writer.domain) or not (writer.op in _VIEWS | REDUCTIONS or _is_square(writer)):
            break
        chain.append(writer.inputs[0])
    for tensor in reversed(chain):
        dims = shape_of(tensor)
        if isinstance(tensor, gs.Variable) and dims is not None and len(dims) >= 3:
            yield tensor


def _is_square(node: gs.Node) -> bool:
    return node.op == "Pow" or (node.op == "Mul" and node.inputs[0] is node.inputs[1])


def _norms_of(reading: Reading, outputs: set[int]) -> list[Norm]:
    """Return the norms that a reading holds: of those that only scale one another, one."""
    tensors = [node.outputs[0] for node in reading.steps]
    matched = {id(tensor): norm for tensor in tensors if (norm := _match(reading, tensor)) is not None}
    norms = []
    for tensor in tensors:
        if id(tensor) not in matched or any(id(each) in matched for each in tensor.inputs[0].inputs):
            continue
        chain = [tensor]
        while (following := _only_result(chain[-1], outputs)) is not None and id(following) in matched:
            chain.append(following)
        able = [matched[id(each)] for each in chain if _is_like(each, reading) and not _gives_more(each, outputs)]
        constant = [norm for norm in able if norm.is_constant]
        norms += (constant or able)[-1:]
    return norms


def _only_result(tensor: gs.Tensor, outputs: set[int]) -> gs.Tensor | None:
    """Return what the one reader of a tensor gives, None where there are more."""
    if id(tensor) in outputs or len(tensor.outputs) != 1 or len(tensor.outputs[0].outputs) != 1:
        return None
    result: gs.Tensor = tensor.outputs[0].outputs[0]
    return result


def _gives_more(tensor: gs.Tensor, outputs: set[int]) -> bool:
    """Say whether the graph gives out something else of the node that writes a tensor."""
    return any(id(other) in outputs for other in tensor.inputs[0].outputs if other is not tensor)


def _is_like(tensor: gs.Tensor, reading: Reading) -> bool:
    """Say whether a tensor has the type, the rank and the order of axes of the source."""
    source = reading.source
    view: Sequence[Axes] = reading.quantities[id(tensor)].view
    return list(view) == source.view and dtype_of(tensor) == dtype_of(source.tensor)


def _match(reading: Reading, tensor: gs.Tensor) -> Norm | None:
    if reading.quantities[id(tensor)].is_absolute:
        return None
    moments = reading.quantities[id(tensor)].moments
    scale, mean, bias = _split(moments)
    if not scale or scale.keys() != mean.keys() or bias is None or moments.epsilon is None:
        return None
    if any(not np.allclose(scale[atoms], -1 * mean[atoms], rtol=_ROUNDING, atol=0) for atoms in scale):
        return None
    return Norm(reading, tensor, scale, bias, moments.epsilon)


def _split(moments: Moments) -> tuple[Factor, Factor, Factor | None]:
    """Return the factors of X and of m over the deviation, and what is added; None where there is more than that."""
    scale, mean, bias = {}, {}, {}
    for term, coefficient in moments.terms.items():
        rest = term._replace(atoms=())
        if rest == Term(x=1, r=-0.5):
            scale[term.atoms] = coefficient
        elif rest == Term(m=1, r=-0.5):
            mean[term.atoms] = coefficient
        elif rest == ONE:
            bias[term.atoms] = coefficient
        else:
            return {}, {}, None
    return scale, mean, bias
