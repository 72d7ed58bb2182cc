"""Find sums of squares: norms that are written out, powers of spectra.

A norm stays fp32 from its mean to its division, a spectrogram from the transform to its logarithm.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

from trtconv.model.walking import is_onnx
from trtconv.precision.float_graph import FloatGraph
from trtconv.precision.op_kinds import HEAVY, MOVES

SQUARES = "a sum of squares loses digits and overflows"
SPECTRUM = "the power of a spectrum spans more than a 16-bit type holds"

# Through these a sum of squares goes on to its Sqrt or Log, where all variable inputs are such sums.
_SUMS = MOVES | {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "AveragePool", "GlobalAveragePool", "Abs", "Neg"}
_SUMS |= {"Add", "Sub", "Sum", "Mean", "Mul", "Div", "Clip", "Max", "Min", "MatMul", "Gemm", "Conv", "Where"}
_LINEAR = MOVES | {"Conv", "ConvTranspose", "MatMul", "Gemm", "Neg", "Add", "Sub", "Mul", "AveragePool", "ReduceMean"}
_ROOTS = frozenset({"Sqrt", "Log", "Reciprocal", "Pow"})
_MEANS = frozenset({"ReduceMean", "ReduceSum", "GlobalAveragePool"})
_SUMMING = _MEANS | {"Add", "Sum", "Sub"}


def square_sums(graph: FloatGraph) -> Iterator[tuple[int, str]]:
    """Yield squares that are summed up, what lies between them and their Sqrt or Log, and what is divided by that."""
    squares = {index for index in range(len(graph.nodes)) if _is_square(graph, index)}
    between = graph.leading_to(_sums_of(graph, squares, through_roots=False), _ROOTS)
    before_log = graph.leading_to(_sums_of(graph, squares, through_roots=True), {"Log"})
    yield from ((each, SQUARES) for each in sorted(between))
    for index in sorted(squares):
        readers = [each for each in _behind_moves(graph, index) if graph.nodes[each].op_type in _SUMMING]
        if index in between or readers:
            yield from ((each, SQUARES) for each in (index, *readers) if graph.nodes[each].op_type not in HEAVY)
            yield from ((each, SQUARES) for each in _deviation(graph, index))
        if index in before_log or _is_complex_power(graph, index, squares):
            linear = graph.computing(graph.variable_inputs(index), _LINEAR.__contains__)
            yield from ((each, SPECTRUM) for each in sorted(linear))
    for index, node in enumerate(graph.nodes):
        if node.op_type == "Div" and (root := _root(graph, node.input[1])) is not None and root in between:
            yield from ((each, SQUARES) for each in (index, *_path(graph, node.input[1], root)))


def _sums_of(graph: FloatGraph, squares: set[int], through_roots: bool) -> dict[int, int]:
    """Return the nodes that add up squares, and the number of matrix products on the way, at most one.

    They end at the first Sqrt or Log, which belongs to them; with `through_roots` they go on behind a Sqrt.
    """
    depth = dict.fromkeys(squares, 0)
    for index, node in enumerate(graph.nodes):  # in topological order
        before = graph.producers_of(index)
        if not before or node.op_type not in _SUMS | _ROOTS:
            continue
        if len(before) < len(graph.variable_inputs(index)) or not all(each in depth for each in before):
            continue
        if not through_roots and any(graph.nodes[each].op_type in _ROOTS - {"Pow"} for each in before):
            continue
        heavy = max(depth[each] for each in before) + (node.op_type in HEAVY)
        if heavy <= 1:  # a filter bank lies between power and logarithm, a network does not
            depth.setdefault(index, heavy)
    return depth


def _is_complex_power(graph: FloatGraph, square: int, squares: Set[int]) -> bool:
    """Say whether a square is one of re * re + im * im."""
    additions = [each for each in graph.consumers_of(square) if graph.nodes[each].op_type == "Add"]
    return any(len(before := set(graph.producers_of(each))) == 2 and before <= squares for each in additions)


def _is_square(graph: FloatGraph, index: int) -> bool:
    node = graph.nodes[index]
    if node.op_type == "Mul":
        return _origin(graph, node.input[0]) == _origin(graph, node.input[1]) and graph.is_variable(node.input[0])
    if node.op_type == "Pow":
        return (graph.scalar(node.input[1]) or 2.0) > 1.0
    return node.op_type in ("ReduceSumSquare", "ReduceL2") and is_onnx(node.domain)


def _origin(graph: FloatGraph, name: str) -> str:
    """Follow a tensor back through nodes that leave its values as they are, or nearly: fns networks add 1e-9."""
    while name in graph.producer:
        node = graph.nodes[graph.producer[name]]
        if node.op_type in ("Identity", "Reshape") or (
            node.op_type in ("Add", "Sub") and 0 < abs(graph.scalar(node.input[1]) or 0.0) <= 1e-3
        ):
            name = node.input[0]
        else:
            break
    return name


def _behind_moves(graph: FloatGraph, index: int) -> Iterator[int]:
    """Yield the nodes that read a result, those that only move it left out."""
    for each in graph.consumers_of(index):
        if graph.nodes[each].op_type in MOVES:
            yield from _behind_moves(graph, each)
        else:
            yield each


def _deviation(graph: FloatGraph, square: int) -> Iterator[int]:
    """Yield what makes the squared value: a mean, or its subtraction from x, and what lies between."""
    for name in graph.nodes[square].input:
        origin = _origin(graph, name)
        while name != origin:
            yield graph.producer[name]
            name = graph.nodes[graph.producer[name]].input[0]
        for index in _producers_behind_moves(graph, origin):
            terms = [each for inner in graph.nodes[index].input for each in _producers_behind_moves(graph, inner)]
            means = [each for each in (index, *terms) if graph.nodes[each].op_type in _MEANS]
            if means and graph.nodes[index].op_type in _MEANS | {"Sub", "Add"}:
                yield from (index, *means)


def _producers_behind_moves(graph: FloatGraph, name: str) -> Iterator[int]:
    while name in graph.producer:
        index = graph.producer[name]
        if graph.nodes[index].op_type not in MOVES:
            yield index
            return
        name = graph.nodes[index].input[0]


def _root(graph: FloatGraph, name: str) -> int | None:
    """Return the Sqrt or Pow that a denominator comes from, through moves and small constants."""
    while name in graph.producer:
        index = graph.producer[name]
        node = graph.nodes[index]
        if node.op_type in _ROOTS:
            return index
        if node.op_type not in MOVES | {"Add", "Max", "Clip"} or len(graph.variable_inputs(index)) != 1:
            return None
        name = graph.variable_inputs(index)[0]
    return None


def _path(graph: FloatGraph, name: str, root: int) -> Iterator[int]:
    while graph.producer[name] != root:
        yield graph.producer[name]
        name = graph.variable_inputs(graph.producer[name])[0]
