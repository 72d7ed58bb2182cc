"""What each layer of an engine does, so that engines of one model can be compared kind by kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from trtconv.engine.inspector_json import Layer
from trtconv.model.walking import walk_nodes
from trtconv.ops import names_of_kind

CONVOLUTION, NORM, PAD, RESIZE = "convolution", "norm", "pad", "resize"
ACTIVATION, REFORMAT, OTHER = "activation, add", "reformat, cast", "other"
# A layer that does several of these counts as the first of them.
KINDS: Sequence[str] = (CONVOLUTION, NORM, PAD, RESIZE, ACTIVATION, REFORMAT, OTHER)

_REFORMAT_TYPES = frozenset({"reformat", "noop", "cast"})
_GENERATED = "kgen"  # a pointwise or reducing kernel that TensorRT wrote for a region; never a convolution
_OPS: Mapping[str, frozenset[str]] = {
    CONVOLUTION: frozenset({"Conv", "ConvTranspose"}),
    NORM: names_of_kind("norm") | {"GroupNormalization", "LayerNormalization", "ReduceMean"},
    PAD: names_of_kind("pad"),
    RESIZE: frozenset({"Resize", "Upsample"}),
    ACTIVATION: frozenset(
        {"Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Softplus"}
        | {
            "Gelu",
            "Mish",
            "Clip",
            "Add",
            "Sub",
            "Mul",
            "Div",
            "Sqrt",
            "Pow",
            "Exp",
            "Erf",
            "Max",
            "Min",
            "Neg",
            "Where",
        }
    ),
    REFORMAT: frozenset({"Cast", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"}),
}
# The first letters of the words that make up the name of a kernel that TensorRT generated: __myl_MeanSubMulRelu_myl0_3.
_NAME_PARTS: Mapping[str, frozenset[str]] = {
    NORM: frozenset({"mean", "norm"}),
    PAD: frozenset({"pad", "slic"}),
    RESIZE: frozenset({"resi"}),
    ACTIVATION: frozenset({"relu", "prel", "leak", "tanh", "sigm", "add", "sub", "mul", "div", "max", "min", "sele"}),
    REFORMAT: frozenset({"cast", "tran", "resh", "move", "copy", "shuf"}),
}


@dataclass(frozen=True)
class KindTime:
    """The layers of one kind in an engine: how many were run, and their time in microseconds."""

    count: int
    microseconds: float


def ops_by_node(model: onnx.ModelProto) -> dict[str, str]:
    """Return the operator of each node, by the name that TensorRT's parser gives its layers."""
    return {node.name or f"node_of_{node.output[0]}": node.op_type for node in walk_nodes(model.graph) if node.output}


def kind_of(layer: Layer, ops: Mapping[str, str]) -> str:
    """Return one of KINDS for a layer, where `ops` holds the operators of the nodes that the engine was built from."""
    type_ = (layer.type or "").lower()
    if "conv" in type_:
        return CONVOLUTION
    if type_ in _REFORMAT_TYPES or layer.name.startswith("Reformatting "):
        return REFORMAT
    is_generated = type_ == _GENERATED or layer.name.startswith("__my")
    found = {ops[name] for name in layer.nodes or layer.name.split(" + ") if name in ops}
    for kind, names in _OPS.items():
        if found & names and not (is_generated and kind == CONVOLUTION):
            return kind
    return _kind_by_name(layer.name) if is_generated else OTHER


def times_by_kind(times: Mapping[str, float], layers: Iterable[Layer], ops: Mapping[str, str]) -> dict[str, KindTime]:
    """Add up the microseconds of an engine's layers, by name in `times`, for each of KINDS that it has."""
    known = {layer.name: layer for layer in layers}
    sums: dict[str, list[float]] = {}
    for name, microseconds in times.items():
        sums.setdefault(kind_of(known.get(name, Layer(name)), ops), []).append(microseconds)
    return {kind: KindTime(len(sums[kind]), sum(sums[kind])) for kind in KINDS if kind in sums}


def _kind_by_name(name: str) -> str:
    words = {word[:4].lower() for word in re.findall(r"[A-Z][a-z]+", name)}
    return next((kind for kind, parts in _NAME_PARTS.items() if words & parts), OTHER)
