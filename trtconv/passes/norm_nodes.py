"""The nodes that a written-out norm becomes, and why some become none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from trtconv import element_types
from trtconv.ops.custom_op import Dim, Operand
from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.passes.base import NoMatch
from trtconv.passes.constant_values import MAX_CHANNELS, too_many_channels
from trtconv.passes.graph_edit import NewNode, dtype_of, plugin_node, shape_of
from trtconv.passes.moments import Coefficient
from trtconv.passes.norm_affine import problem_of_factors, scale_and_shift
from trtconv.passes.norm_source import Source
from trtconv.passes.written_norms import Factor, Norm

_LAYER_NORM = "it is a layer norm: what follows works along the axis that it normalises"


@dataclass(frozen=True)
class Written:
    """The nodes of a norm, and the tensor that the norm itself gives, which others may then scale."""

    nodes: Sequence[NewNode]
    normalised: gs.Tensor


def problem_of(norm: Norm) -> NoMatch | None:
    """Return why a written-out norm stays as it is, None where it need not."""
    source = norm.reading.source
    dtype = dtype_of(source.tensor)
    if dtype is None:
        return NoMatch("its type is unknown: shape inference did not reach it")
    operands = [Operand(dtype, _channels_second(source)), *[Operand(dtype, None)] * 2]
    if problem := INSTANCE_NORM.problem(operands, {"epsilon": norm.epsilon, "groups": source.groups}):
        return NoMatch(problem)
    channels = _num_channels(norm)
    if channels is None:
        return NoMatch("its number of channels is known at run time only")
    if channels > MAX_CHANNELS:
        return too_many_channels(channels)
    lengths = {np.size(each) for factor in (norm.scale, norm.bias) for each in factor.values()}
    if wrong := sorted(lengths - {1, channels}):
        return NoMatch(f"its scale or bias has {wrong[0]} values for {channels} channels")
    if not all(np.all(np.isfinite(_values(norm, factor, 0.0))) for factor in (norm.scale, norm.bias)):
        return NoMatch(f"its scale or bias does not fit {element_types.name_of(dtype)}")
    if problem := problem_of_factors(norm):
        return NoMatch(problem)
    if source.groups and not norm.is_constant:
        return NoMatch("its scale or bias is known at run time only, and its statistics are of groups of channels")
    if len(source.spatial) == 1 and any(_is_along(norm, reader) for reader in norm.output.outputs):
        return NoMatch(_LAYER_NORM)
    return None


def _is_along(norm: Norm, reader: gs.Node) -> bool:
    """Say whether a reader multiplies or adds along the one axis of the statistics, alike for all channels."""
    source = norm.reading.source
    (axis,) = source.spatial
    rank = len(source.dims)
    if reader.op in ("MatMul", "Gemm"):
        return axis == rank - 1 and reader.inputs[0] is norm.output
    if reader.op not in ("Mul", "Add", "Sub", "Div"):
        return False
    others = [shape_of(tensor) for tensor in reader.inputs if tensor is not norm.output]
    dims = [1] * rank if not others or others[0] is None else [1] * (rank - len(others[0])) + list(others[0])
    return len(dims) == rank and dims[axis] != 1 and dims[source.channel_axis] == 1


def nodes_for(norm: Norm, opset: int) -> Written:
    """Return the nodes that give the norm's output; problem_of has found nothing against it."""
    source, output = norm.reading.source, norm.output
    name, dims = output.name, _channels_second(source)
    made: list[NewNode] = []
    x = source.tensor
    rank = len(dims)
    to_second = [0, source.channel_axis, *(axis for axis in range(1, rank) if axis != source.channel_axis)]
    is_moved = source.channel_axis != 1
    if is_moved:
        x = _transposed(made, x, gs.Variable(f"{name}_channels_second", output.dtype, dims), to_second)
    is_last = norm.is_constant and not is_moved
    normalised = output if is_last else gs.Variable(f"{name}_normalised", output.dtype, dims)
    parameters = [
        gs.Constant(f"{name}_{role}", _values(norm, factor, default))
        for role, factor, default in (("scale", norm.scale, 1.0), ("bias", norm.bias, 0.0))
    ]
    made.append(_norm_node([x, *parameters], normalised, norm.epsilon, source.groups, opset))
    if is_moved:
        back = [to_second.index(axis) for axis in range(rank)]
        moved = output if norm.is_constant else gs.Variable(f"{name}_moved", output.dtype, source.tensor_dims)
        made.append(NewNode("Transpose", [normalised], [moved], {"perm": back}))
        return Written([*made, *scale_and_shift(norm, moved)], normalised)
    return Written([*made, *scale_and_shift(norm, normalised)], normalised)


def _norm_node(inputs: Sequence[gs.Tensor], output: gs.Tensor, epsilon: float, groups: int, opset: int) -> NewNode:
    """Return an InstanceNormalization, which a later pass takes; of groups ONNX has none in every opset."""
    if groups:
        return plugin_node(INSTANCE_NORM, inputs, [output], {"epsilon": epsilon, "groups": groups}, opset)
    return NewNode(INSTANCE_NORM.form.op_type, inputs, [output], {"epsilon": epsilon})


def _transposed(made: list[NewNode], x: gs.Tensor, moved: gs.Tensor, order: list[int]) -> gs.Tensor:
    """Return a tensor in another order of axes; where it was made of one in that order, that one."""
    writer = x.inputs[0] if x.inputs else None
    if writer is not None and writer.op == "Transpose" and writer.attrs.get("perm") is not None:
        perm = list(writer.attrs["perm"])
        if [perm[axis] for axis in order] == list(range(len(perm))):
            before: gs.Tensor = writer.inputs[0]
            return before
    made.append(NewNode("Transpose", [x], [moved], {"perm": order}))
    return moved


def _channels_second(source: Source) -> list[Dim]:
    dims = source.tensor_dims
    rest = [dim for axis, dim in enumerate(dims) if axis not in (0, source.channel_axis)]
    return [dims[0], dims[source.channel_axis], *rest]


def _num_channels(norm: Norm) -> int | None:
    source: Source = norm.reading.source
    dim = source.tensor_dims[source.channel_axis]
    if isinstance(dim, int):
        return dim
    lengths = {
        np.size(each) for factor in (norm.scale, norm.bias) for each in factor.values() if not isinstance(each, float)
    }
    return lengths.pop() if len(lengths) == 1 else None


def _values(norm: Norm, factor: Factor, default: float) -> Coefficient:
    """Return what a norm of constant scale and bias holds, one value a channel, in the type of X."""
    dtype = element_types.BY_ONNX[dtype_of(norm.reading.source.tensor) or 0].dtype
    constant = factor.get((), 0.0) if norm.is_constant else default
    with np.errstate(over="ignore"):
        values: Coefficient = np.broadcast_to(constant, (_num_channels(norm) or 1,)).astype(dtype)
    return values
