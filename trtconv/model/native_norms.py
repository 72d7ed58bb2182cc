"""Find the norms that no pass takes up, so that no report says that a model has none.

A norm that is written out is found by its root: a square root of a mean of squares, as any spelling of it has. That is
enough to say that it is there; passes/written_norms.py finds what it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import onnx

from trtconv.model.addresses import address_of
from trtconv.model.walking import is_onnx

WRITTEN_OUT = "written-out norm"
_ROOTS = frozenset({"Sqrt", "Pow"})
_MVN = "MeanVarianceNormalization"
_TRAINED = "BatchNormalization in training mode"
# What reports call the norms that are not InstanceNormalization nodes.
NORM_TITLES = frozenset({WRITTEN_OUT, _MVN, _TRAINED, "GroupNormalization", "LayerNormalization", "RMSNormalization"})
# The nodes of which a pass says why they are no part of an instance norm.
JUDGED = _ROOTS | {_MVN}
_SQUARES = frozenset({"ReduceSumSquare", "ReduceL2", "GlobalLpPool"})
_MEANS = frozenset({"ReduceMean", "GlobalAveragePool", "AveragePool", "ReduceSum"}) | _SQUARES
# What stands between a mean of squares and its root, and between the mean and what is squared.
_BETWEEN = frozenset(
    {"Add", "Sub", "Mul", "Div", "Pow", "Clip", "Max", "Abs", "Neg", "Cast", "Reshape", "Squeeze", "Unsqueeze"}
    | {"Expand", "Identity", "Where", "Dropout", "Tile", "CastLike", "Reciprocal"}
)
_MAX_STEPS = 12
_SPELLED = "TensorRT runs it as it is written; --ops fused takes those that are instance or group norms"
_TRAINING = "TensorRT refuses statistics of the batch; export the model in evaluation mode, or with a norm of its own"


@dataclass(frozen=True)
class NativeNorm:
    """A norm that stays native: its node (of one that is written out, the root), its op, and why."""

    node: str
    op: str
    reason: str

    @property
    def may_be_fused(self) -> bool:
        """Whether --ops fused takes it, if it is an instance norm."""
        return self.op in (WRITTEN_OUT, _MVN)


def native_norms(proto: onnx.ModelProto, roots: Mapping[str, str] | None = None) -> list[NativeNorm]:
    """Return the norms of a model, branches included, that are not InstanceNormalization nodes.

    `roots` are what a pass found out about the roots of written-out norms, by address: why they are not instance norms,
    "" for those that it decided on.
    """
    told = (replace(norm, reason=(roots or {}).get(norm.node, norm.reason)) for norm in _norms_in(proto.graph, "", {}))
    return [norm for norm in told if norm.reason]


def _norms_in(graph: onnx.GraphProto, prefix: str, outer: Mapping[str, onnx.NodeProto]) -> Iterator[NativeNorm]:
    constants = {
        tensor.name: onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)
        for tensor in graph.initializer
        if len(tensor.dims) < 2 and sum(tensor.dims) < 2
    }
    writers = {**outer, **constants, **{name: node for node in graph.node for name in node.output if name}}
    for node in graph.node:
        address = address_of(node, prefix)
        if is_onnx(node.domain) and (found := _kind_of(node, writers)) is not None:
            yield NativeNorm(address, *found)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _norms_in(attribute.g, f"{address}/{attribute.name}/", writers)


def _kind_of(node: onnx.NodeProto, writers: Mapping[str, onnx.NodeProto]) -> tuple[str, str] | None:
    op = str(node.op_type)
    if op == "GroupNormalization":
        return op, "no plugin takes this op yet; in the form that exporters write below opset 21, it is rewritten"
    if op in ("LayerNormalization", "RMSNormalization"):
        return op, "TensorRT has a layer of its own for it"
    if op == "BatchNormalization":
        return (_TRAINED, _TRAINING) if _is_training(node) else None
    if op == _MVN:
        return op, "--ops fused takes it where its axes are those after the channels"
    is_root = op in _ROOTS and (op != "Pow" or _is_root_exponent(node, writers))
    return (WRITTEN_OUT, _SPELLED) if is_root and _has_mean_of_squares(node, writers) else None


def _is_training(node: onnx.NodeProto) -> bool:
    """Say whether a BatchNormalization computes its statistics: an attribute from opset 14 on, five outputs before."""
    mode = next((attribute.i for attribute in node.attribute if attribute.name == "training_mode"), 0)
    return bool(mode) or sum(1 for name in node.output if name) > 1


def _is_root_exponent(node: onnx.NodeProto, writers: Mapping[str, onnx.NodeProto]) -> bool:
    """Say whether a Pow is a root, or one divided by it: its exponent is a constant of 0.5 or -0.5."""
    exponent = writers.get(node.input[1]) if len(node.input) > 1 else None
    value = None if exponent is None else next((each.t for each in exponent.attribute if each.name == "value"), None)
    if value is None or value.data_type != onnx.TensorProto.FLOAT or value.data_location == onnx.TensorProto.EXTERNAL:
        return False
    numbers = onnx.numpy_helper.to_array(value).reshape(-1)
    return numbers.size == 1 and abs(float(numbers[0])) == 0.5


def _has_mean_of_squares(root: onnx.NodeProto, writers: Mapping[str, onnx.NodeProto]) -> bool:
    """Say whether a root is taken of a mean, and that of squares: walk up through what may stand between."""
    seen: set[int] = set()
    level = [(root, False)]
    for _ in range(_MAX_STEPS):
        above = []
        for node, is_past_mean in level:
            for name in node.input:
                parent = writers.get(name)
                if parent is None or id(parent) in seen or not is_onnx(parent.domain):
                    continue
                seen.add(id(parent))
                op = parent.op_type
                if op in _SQUARES or (is_past_mean and _is_square(parent, writers)):
                    return True
                if op in _MEANS or op in _BETWEEN:
                    above.append((parent, is_past_mean or op in _MEANS))
        level = above
    return False


def _is_square(node: onnx.NodeProto, writers: Mapping[str, onnx.NodeProto]) -> bool:
    """Say whether a node squares: Pow, or Mul of a tensor with itself, to which some add the epsilon here already."""
    if node.op_type != "Mul" or len(node.input) != 2:
        return node.op_type == "Pow"
    inputs = [{name, *(writers[name].input if name in writers else ())} for name in node.input]
    return any(name in inputs[1 - index] for index, name in enumerate(node.input))
