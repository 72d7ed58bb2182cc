"""Make a model compute in fp16 or bf16 by the types in its graph, except where that would break it.

TensorRT 11 has no precision flags: a strongly typed network computes in the types that its graph names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, get_args

import onnx
from onnx import TensorProto

from trtconv.config import Precision
from trtconv.element_types import BFLOAT16, BY_ONNX, FLOAT16, FLOAT32
from trtconv.errors import ConfigError, ModelError
from trtconv.inputs.made_inputs import make_feeds
from trtconv.io_types import ALL_TENSORS, IoType
from trtconv.model import checking
from trtconv.model.addresses import is_meant, list_addresses
from trtconv.model.functions import attach_functions
from trtconv.model.walking import opset_of, walk_addresses
from trtconv.model.well_formed import require_inputs
from trtconv.ops.custom_op import DOMAIN
from trtconv.precision import calibration
from trtconv.precision.calibration import Arrays
from trtconv.precision.float_graph import FloatGraph
from trtconv.precision.islands import close_islands
from trtconv.precision.joined_casts import join_casts
from trtconv.precision.op_kinds import MATRIX_PRODUCTS
from trtconv.precision.quantised import quantised_nodes, quantised_reasons
from trtconv.precision.rules import (
    FLOAT64,
    QUANTISED,
    Reason,
    Reasons,
    reasons_by_op,
    reasons_by_value,
)
from trtconv.precision.type_conversion import Typing
from trtconv.precision.value_ranges import observe
from trtconv.progress import NoProgress, Progress

_ELEM_TYPES: Mapping[str, int] = {each.short: each.onnx for each in (FLOAT32, FLOAT16, BFLOAT16)}


@dataclass(frozen=True)
class PrecisionOptions:
    """What a conversion is asked for.

    `keep_fp32` holds glob patterns on node addresses. `io_types` maps names of inputs and outputs to the type that they
    are to have, "*" meaning all others; what is not named keeps its type. Raises ConfigError for unknown types.
    """

    precision: Precision
    keep_fp32: Sequence[str] = ()
    io_types: Mapping[str, IoType] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise ConfigError(f"precision {self.precision!r} is unknown, expected {' or '.join(get_args(Precision))}")
        for name, io_type in self.io_types.items():
            if io_type not in get_args(IoType):
                known = ", ".join(get_args(IoType))
                raise ConfigError(f"type {io_type!r} of {name} is unknown, expected {known}", where="--io-types")


@dataclass(frozen=True)
class KeptNode:
    """A node that stays fp32, and why; `figures` are the values of the calibration that say so, if it was values."""

    address: str
    op: str
    reason: str
    figures: Mapping[str, float | str] = field(default_factory=dict)


class Conversion(NamedTuple):
    """A model in another precision, the nodes of it that stay fp32, and what a user should know of the calibration."""

    proto: onnx.ModelProto
    kept: list[KeptNode]
    warnings: Sequence[str] = ()


def convert_precision(
    proto: onnx.ModelProto,
    model_path: Path,
    options: PrecisionOptions,
    feeds: Sequence[Arrays] = (),
    *,
    are_made: bool = False,
    joins_casts: bool = False,
    progress: Progress | None = None,
) -> Conversion:
    """Return the model with its float32 tensors in 16 bits, except what must stay.

    `proto`, which is not changed, is the rewritten model or one without custom ops; its external tensors lie beside
    `model_path`. `feeds` are the calibration's input sets, which fp16 alone needs; without them make_feeds
    makes some, for which the model's inputs must have fixed shapes. `are_made` says that they come from there: then
    zeros prove nothing, and inputs in [0, 1] are tried where the others give NaN. With `joins_casts`, custom ops change
    types themselves where they can. `progress` is told of each run of the calibration. A model that is in the wanted
    precision already stays as it is. Raises ConfigError for options that do not fit the model, ModelError when nothing
    of it can be converted or the calibration cannot run.
    """
    require_inputs(proto.graph, opset_of(proto), model_path)
    graph = FloatGraph(proto, model_path.parent)
    low_type = _ELEM_TYPES[options.precision]
    io_types = _io_types(graph, options.io_types)
    asked = _asked_for(graph, options.keep_fp32)
    reasons: Reasons = {}
    warnings: Sequence[str] = ()
    low_nodes: set[int] = set()
    if not _is_converted(graph, low_type, model_path):
        is_given = bool(feeds) and not are_made
        reasons, warnings = _decide(graph, low_type, asked, feeds, is_given, progress or NoProgress())
        low_nodes = {index for index, slots in enumerate(graph.slots) if slots and index not in reasons}
        if not low_nodes:
            raise _nothing_to_convert(graph, reasons, options.precision, model_path, warnings)
    converted = onnx.ModelProto()
    converted.CopyFrom(graph.proto)
    Typing(converted, graph, low_nodes, low_type, io_types).apply()
    if joins_casts:
        join_casts(converted)
    if any(function.domain == DOMAIN for function in converted.functions):
        attach_functions(converted)  # some mean another type now
    checking.check(converted, proto)
    return Conversion(converted, [_kept_node(graph, index, reasons[index]) for index in sorted(reasons)], warnings)


def _decide(
    graph: FloatGraph, low_type: int, asked: Reasons, feeds: Sequence[Arrays], is_given: bool, progress: Progress
) -> tuple[Reasons, Sequence[str]]:
    """Return why nodes stay fp32: the user's wish before what they compute, before the values, before fewer Casts."""
    reasons = reasons_by_op(graph, low_type)
    warnings: Sequence[str] = ()
    if low_type == TensorProto.FLOAT16:
        input_sets = (
            calibration.name_given(feeds) if is_given else calibration.name_made(feeds or make_feeds(graph.proto))
        )
        observed = observe(graph, input_sets, are_made=not is_given, progress=progress)
        reasons = reasons_by_value(graph, observed.ranges) | reasons
        warnings = observed.warnings
    reasons |= asked
    quantised = quantised_nodes(graph)
    reasons = quantised_reasons(graph, quantised, reasons, low_type) | reasons
    reasons |= close_islands(graph, reasons.keys(), quantised)
    return {index: reason for index, reason in reasons.items() if _handles_floats(graph, index)}, warnings


def _handles_floats(graph: FloatGraph, index: int) -> bool:
    """Say whether a node could have been converted, or holds branches or floats of its own."""
    if graph.is_indifferent(index) and not graph.slots[index]:
        return False
    names = (*graph.nodes[index].input, *graph.nodes[index].output, *graph.captured.get(index, ()))
    if graph.nodes[index].op_type == "Constant":
        return False
    return graph.has_float64(index) or any(graph.is_float(name) for name in names)


def _asked_for(graph: FloatGraph, patterns: Sequence[str]) -> Reasons:
    """Return the nodes that the user keeps; those inside branches stay fp32 anyway."""
    reasons: Reasons = {}
    inner = [address for address, _ in walk_addresses(graph.proto.graph)]
    for pattern in patterns:
        matched = [index for index, address in enumerate(graph.addresses) if is_meant(address, pattern)]
        for index in matched:
            reasons.setdefault(index, Reason(f"asked for by --keep-fp32 {pattern}"))
        if not matched and not any(is_meant(address, pattern) for address in inner):
            hint = f"the nodes are: {list_addresses(graph.addresses)}"
            raise ConfigError(f"pattern {pattern!r} matches no node", where="--keep-fp32", hint=hint)
    return reasons


def _io_types(graph: FloatGraph, asked: Mapping[str, IoType]) -> dict[str, int]:
    """Return the element type of each float input and output that is to change."""
    io_names = dict.fromkeys((*graph.inputs, *graph.outputs))
    floats = [name for name in io_names if _is_float_in_engines(graph, name) and name not in graph.constants]
    for name in asked:
        if name != ALL_TENSORS and name not in floats:
            what = f"{name} is " + ("not a float tensor" if name in io_names else "not an input or output of the model")
            raise ConfigError(what, where="--io-types", hint=f"its float inputs and outputs are: {', '.join(floats)}")
    chosen = {name: asked.get(name, asked.get(ALL_TENSORS, "keep")) for name in floats}
    return {
        name: _ELEM_TYPES[io_type]
        for name, io_type in chosen.items()
        if io_type != "keep" and _ELEM_TYPES[io_type] != graph.types[name]
    }


def _is_float_in_engines(graph: FloatGraph, name: str) -> bool:
    """Say whether a tensor is fp32, fp16 or bf16 in an engine."""
    found = BY_ONNX.get(graph.types.get(name, TensorProto.UNDEFINED))
    return found is not None and found.in_engine.onnx in _ELEM_TYPES.values()


def _is_converted(graph: FloatGraph, low_type: int, model_path: Path) -> bool:
    """Say whether the network computes in the wanted type already; what its author left fp32 then stays so."""
    types = set(graph.types.values())
    products = [index for index, node in enumerate(graph.nodes) if node.op_type in MATRIX_PRODUCTS]
    work = products or range(len(graph.nodes))
    if not types & {TensorProto.FLOAT16, TensorProto.BFLOAT16} or any(graph.slots[index] for index in work):
        return False
    if low_type not in types:
        raise ModelError(
            "its weights are in another 16-bit type already",
            where=str(model_path),
            hint="convert the fp32 model instead, or build this one without --precision",
        )
    return True


def _nothing_to_convert(
    graph: FloatGraph, reasons: Reasons, precision: str, model_path: Path, warnings: Sequence[str]
) -> ModelError:
    texts = dict.fromkeys(reason.text for reason in reasons.values())
    why, hint = "; ".join(texts) or "it has no float32 tensors", "build it without --precision"
    if FLOAT64 in texts:
        hint = "export it in float32, or build it without --precision"
    if any(text.startswith(QUANTISED) for text in texts) and not any(
        graph.slots[each] for each in _besides_quantised(graph)
    ):
        why, hint = "all of it is quantised", "build it without --precision: it runs in the types of its Q and DQ nodes"
    if warnings:
        hint = f"{hint}, unless real inputs say otherwise: {'; '.join(warnings)}"
    return ModelError(f"nothing of it can be {precision}: {why}", where=str(model_path), hint=hint)


def _besides_quantised(graph: FloatGraph) -> set[int]:
    return set(range(len(graph.nodes))) - quantised_nodes(graph)


def _kept_node(graph: FloatGraph, index: int, reason: Reason) -> KeptNode:
    return KeptNode(graph.addresses[index], graph.nodes[index].op_type, reason.text, reason.figures)
