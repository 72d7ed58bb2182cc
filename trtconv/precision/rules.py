"""Which nodes stay fp32, by what they compute and by the values that a calibration saw.

What a node computes counts for both types: rounding an exponent, a phase or a coordinate, or subtracting squares, costs
more than the rounding itself. What values it sees counts for fp16 alone: bf16 has the range of fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from onnx import TensorProto

from trtconv.element_types import BY_ONNX
from trtconv.model.walking import branches, is_onnx
from trtconv.ops.custom_op import DOMAIN
from trtconv.precision.calibration import Range
from trtconv.precision.float_graph import FloatGraph
from trtconv.precision.op_kinds import HEAVY, MATRIX_PRODUCTS, MOVES, NATIVE_NORMS, NORMS
from trtconv.precision.scopes import num_scan_inputs
from trtconv.precision.squares import SPECTRUM, SQUARES, square_sums

FP16_MAX = 65504.0
MAX_VALUE = 3e4  # half of fp16's range: inputs other than those of the calibration may give twice as much
MIN_ARGUMENT = 1e-7  # fp16 holds nothing between 0 and 6e-8
MIN_NORMAL = 6.1e-5  # below it fp16 loses digits

_EXPONENT = "rounding its argument is a relative error of the result"
_PHASE = "rounding its argument is a phase error"
_LOG = "what it tells apart lies below the steps of a 16-bit type"
_COUNT = "it counts: whole numbers are exact only up to 2048 in fp16 and 256 in bf16"
_OFFSETS = "it prepares the input: rounding before an offset is taken away would be scaled up"
_SIZES = "it computes sizes"
_COORDINATES = "its coordinates need more digits than a 16-bit type has"
_SUM = "it accumulates over the iterations of a loop, each of which would round it"
_ATTRIBUTE = "its type is set otherwise than by its inputs, or TensorRT has none in 16 bits"
QUANTISED = "part of the quantised network"
FLOAT64 = "it computes in float64, which TensorRT has as float32"

_ALWAYS: Mapping[str, str] = {
    **dict.fromkeys(("STFT", "DFT", "MelWeightMatrix"), SPECTRUM),
    **dict.fromkeys(("HannWindow", "HammingWindow", "BlackmanWindow"), SPECTRUM),
    **dict.fromkeys(("ReduceSumSquare", "ReduceL2", "LpNormalization", "LpPool", "GlobalLpPool", "LRN"), SQUARES),
    "MeanVarianceNormalization": SQUARES,
    **dict.fromkeys(("Exp", "Pow", "Sinh", "Cosh", "ReduceProd", "Det"), _EXPONENT),
    **dict.fromkeys(("Log", "LogSoftmax", "ReduceLogSum", "ReduceLogSumExp", "Acosh", "Atanh"), _LOG),
    **dict.fromkeys(("Sin", "Cos", "Tan"), _PHASE),
    **dict.fromkeys(("Range", "CumSum", "Mod"), _COUNT),
    **dict.fromkeys(("GridSample", "AffineGrid", "RoiAlign", "NonMaxSuppression", "DeformConv"), _COORDINATES),
    **dict.fromkeys(("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"), _ATTRIBUTE),
    **dict.fromkeys(
        ("SequenceConstruct", "SequenceInsert", "SequenceAt", "SequenceEmpty", "SequenceErase"), _ATTRIBUTE
    ),
    **dict.fromkeys(("SequenceMap", "SplitToSequence", "ConcatFromSequence", "Optional"), _ATTRIBUTE),
    "BitCast": "it reinterprets bits: the width of its type is fixed",
    "Unique": "it compares for equality, and rounding makes different values equal",
    **dict.fromkeys(("Bernoulli", "Multinomial", "EyeLike", "CastLike", "Celu", "OptionalGetElement"), _ATTRIBUTE),
}
# Refused by the parser or the builder of TensorRT-RTX 1.7.1, and the two that resize by TensorRT 10.6 ("no supported
# formats", H100); all of them exist in fp16.
_NO_BF16 = frozenset({"HardSwish", "Mish", "Shrink", "ConvTranspose", "GRU", "Resize", "Upsample"})
# With sequence lengths the parser of TensorRT-RTX 1.7.1 accepts a recurrent layer only in fp32: "ISelectLayer must have
# `thenInput` and `elseInput` with same type".
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
_SEQUENCE_LENGTHS, _PEEPHOLES = 4, 7
_ADDITIONS = MOVES | {"Add", "Sub", "Sum", "Identity"}
_INTEGERS = frozenset(
    {
        TensorProto.INT64,
        TensorProto.INT32,
        TensorProto.INT16,
        TensorProto.UINT16,
        TensorProto.UINT32,
        TensorProto.UINT64,
    }
)

# Constants have no type of their own; quantised.py speaks of the others.
_WITHOUT_A_REASON = frozenset({"Constant", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
_SMALL_CONSTANT_OPS = frozenset({"Add", "Sub", "Max", "Min", "Clip", "Div", "Sum"})


@dataclass(frozen=True)
class Reason:
    """Why one node stays fp32, and the values that say so."""

    text: str
    figures: Mapping[str, float | str] = field(default_factory=dict)


Reasons = dict[int, Reason]


def reasons_by_op(graph: FloatGraph, elem_type: int) -> Reasons:
    """Return the nodes that stay fp32 for what they compute, whatever the values, by index."""
    rules: tuple[Callable[[FloatGraph], Iterator[tuple[int, str]]], ...] = (
        _single_ops,
        _preprocessing,
        _scales,
        _sizes_and_positions,
        _recurrent,
        _running_sums,
        square_sums,
    )
    reasons: Reasons = {}
    for index in range(len(graph.nodes)):
        if (text := _unsupported(graph, index, elem_type)) is not None:
            reasons[index] = Reason(text)
    for rule in rules:
        for index, text in rule(graph):
            reasons.setdefault(index, Reason(text))
    return reasons


def reasons_by_value(graph: FloatGraph, ranges: Mapping[str, Range]) -> Reasons:
    """Return the nodes that stay fp32 because fp16 cannot hold the values that they see, or these are unknown."""
    reasons: Reasons = {}

    def keep(indices: Iterable[int], text: str, **figures: float | str) -> None:
        for index in indices:
            reasons.setdefault(index, Reason(text, figures))

    for name, seen in ranges.items():
        made_by = graph.makers_of(name)
        if seen.unknown:
            keep([*made_by, *graph.consumers.get(name, ())], f"{name} is unknown: {seen.unknown}", tensor=name)
        elif 0 < seen.max_abs < MIN_NORMAL:
            text = f"{name} reaches only {seen.max_abs:.2g}, fp16 loses digits below {MIN_NORMAL:.2g}"
            keep([*made_by, *graph.consumers.get(name, ())], text, tensor=name, max_abs=seen.max_abs)
        elif seen.max_abs > MAX_VALUE:
            text = f"{name} reaches {seen.max_abs:.2g}, fp16 ends at {FP16_MAX:.0f}"
            keep([*made_by, *graph.consumers.get(name, ())], text, tensor=name, max_abs=seen.max_abs)
    for index, name in sensitive_arguments(graph):
        if name in ranges and not ranges[name].unknown and ranges[name].min_abs < MIN_ARGUMENT:
            made_by = graph.makers_of(name)
            smallest = ranges[name].min_abs
            text = f"{name}, an argument of {graph.nodes[index].op_type}, falls to {smallest:.2g}"
            keep([index, *made_by], text, tensor=name, min_abs=smallest)
    for index, node in enumerate(graph.nodes):
        if is_onnx(node.domain) and node.op_type in NATIVE_NORMS and node.input[0] in ranges:
            if ranges[node.input[0]].unknown:
                continue
            largest = ranges[node.input[0]].max_abs
            if largest**2 > MAX_VALUE:
                keep([index], f"squares of {largest:.2g} leave fp16, if TensorRT forms them in fp16", max_abs=largest)
    for index, text in _constants(graph):
        keep([index], text)
    return reasons


def sensitive_arguments(graph: FloatGraph) -> Iterator[tuple[int, str]]:
    """Yield the nodes, with the input in question, that turn a small argument into a large result."""
    for index, node in enumerate(graph.nodes):
        slot = {"Sqrt": 0, "Log": 0, "Reciprocal": 0, "Pow": 0, "Div": 1}.get(node.op_type)
        if slot is None or not is_onnx(node.domain) or not graph.is_variable(node.input[slot]):
            continue
        if node.op_type != "Pow" or (graph.scalar(node.input[1]) or 0.0) < 1.0:  # the larger ones flatten what is small
            yield index, node.input[slot]


def _unsupported(graph: FloatGraph, index: int, elem_type: int) -> str | None:
    node = graph.nodes[index]
    type_name = BY_ONNX[elem_type].short
    if index not in graph.leaving and any(branches(node)):
        return "its branches are not looked into"
    if not is_onnx(node.domain) and node.domain != DOMAIN:
        return f"a custom op of {node.domain}: the types that it takes are unknown"
    if elem_type == TensorProto.BFLOAT16 and is_onnx(node.domain) and node.op_type in _NO_BF16:
        return "TensorRT has none in bf16"
    if graph.slots[index] and not graph.takes(index, elem_type):
        return f"ONNX has none in {type_name}"
    if not graph.slots[index] and not graph.is_indifferent(index) and node.op_type not in _WITHOUT_A_REASON:
        return FLOAT64 if graph.has_float64(index) else "its floats are fp32 by definition"
    return None


def _single_ops(graph: FloatGraph) -> Iterator[tuple[int, str]]:
    for index, node in enumerate(graph.nodes):
        if is_onnx(node.domain) and node.op_type in _ALWAYS:
            yield index, _ALWAYS[node.op_type]


def _recurrent(graph: FloatGraph) -> Iterator[tuple[int, str]]:
    """Recurrent layers that TensorRT's parser accepts only in fp32."""
    for index, node in enumerate(graph.nodes):
        if node.op_type in _RECURRENT and is_onnx(node.domain):
            given = dict(enumerate(node.input))
            if given.get(_SEQUENCE_LENGTHS):
                yield index, "TensorRT accepts sequence lengths only with fp32"
            elif graph.is_variable(given.get(_PEEPHOLES, "")):
                yield index, "its peepholes are only known at run time"


def _running_sums(graph: FloatGraph) -> Iterator[tuple[int, str]]:
    """A loop-carried state that a Loop or Scan only adds to: each iteration would round it."""
    for scope in graph.flat.scopes:
        if scope.owner is None or graph.nodes[scope.owner].op_type == "If":
            continue
        node = graph.nodes[scope.owner]
        is_loop = node.op_type == "Loop"
        num_states = len(node.input) - 2 if is_loop else len(node.input) - num_scan_inputs(node)
        states = [value.name for value in scope.graph.input][2 if is_loop else 0 :][:num_states]
        updates = [value.name for value in scope.graph.output][is_loop : num_states + is_loop]
        for state, update in zip(states, updates, strict=False):
            path = graph.computing([update], _ADDITIONS.__contains__)
            reached = {state}
            for each in sorted(path):
                if reached & set(graph.nodes[each].input):
                    reached.update(graph.nodes[each].output)
            if update in reached and any(graph.nodes[each].op_type not in MOVES for each in path):
                yield from ((each, _SUM) for each in (*sorted(path & _readers(graph, reached)), scope.owner))


def _readers(graph: FloatGraph, names: Iterable[str]) -> set[int]:
    return {each for name in names for each in graph.consumers.get(name, ())}


def _sizes_and_positions(graph: FloatGraph) -> Iterator[tuple[int, str]]:
    """Floats that come from whole numbers alone: sizes, positions, time steps."""
    whole: set[str] = set()
    for index, node in enumerate(graph.nodes):
        variables = graph.variable_inputs(index)
        is_cast = node.op_type == "Cast" and graph.types.get(node.input[0]) in _INTEGERS
        is_derived = bool(variables) and all(name in whole for name in variables) and node.op_type not in HEAVY
        if is_cast or is_derived:
            whole.update(graph.float_outputs(index))
            if is_cast or graph.slots[index] or graph.is_indifferent(index):
                yield index, _COUNT


def _preprocessing(graph: FloatGraph) -> Iterator[tuple[int, str]]:
    """Arithmetic and norms between the inputs and the first matrix products: they take offsets away.

    What a network learned from is small beside the offset that its input is rounded with.
    """
    if not any(node.op_type in MATRIX_PRODUCTS for node in graph.nodes):
        return
    before: set[int] = set()
    for index, node in enumerate(graph.nodes):
        names = graph.variable_inputs(index)
        is_simple = node.op_type not in HEAVY | _WITHOUT_A_REASON or node.op_type in NORMS
        if names and is_simple and all(name in graph.inputs or graph.producer.get(name) in before for name in names):
            before.add(index)
    arithmetic = {graph.nodes[index].op_type for index in before} - MOVES
    yield from ((each, _OFFSETS) for each in sorted(graph.leading_to(before, arithmetic)))


def _scales(graph: FloatGraph) -> Iterator[tuple[int, str]]:
    """What computes the scales and the region of a Resize, which TensorRT wants in fp32."""
    for node in graph.nodes:
        if node.op_type in ("Resize", "Upsample"):
            names = [name for name in node.input[1:] if name in graph.producer and graph.is_variable(name)]
            yield from ((each, _SIZES) for each in graph.computing(names, lambda op_type: op_type not in HEAVY))


def _constants(graph: FloatGraph) -> Iterator[tuple[int, str]]:
    """Yield the nodes with a constant that fp16 turns into infinity, or an epsilon or weights that it turns into 0."""
    largest: dict[str, float] = {}
    for index, node in enumerate(graph.nodes):
        for slot in graph.slots[index].inputs:
            name = node.input[slot]
            if name not in graph.constants:
                continue
            if name not in largest:
                values = graph.value(name)
                largest[name] = float(
                    np.abs(values, where=np.isfinite(values), out=np.zeros_like(values)).max(initial=0)
                )
            scalar = graph.scalar(name)
            if largest[name] > FP16_MAX:
                yield index, f"its constant {name} reaches {largest[name]:.2g}, fp16 ends at {FP16_MAX:.0f}"
            elif scalar and abs(scalar) < MIN_NORMAL and node.op_type in _SMALL_CONSTANT_OPS:
                yield index, f"its constant {scalar:.2g} loses digits in fp16, or all"
            elif 0 < largest[name] < MIN_NORMAL:
                yield index, f"its constant {name} reaches only {largest[name]:.2g}, which loses digits in fp16"
        for attribute in node.attribute:
            if node.op_type == "Clip" and attribute.name in ("min", "max") and 0 < abs(attribute.f) < MIN_NORMAL:
                yield index, f"its bound {attribute.f:.2g} loses digits in fp16, or all"
