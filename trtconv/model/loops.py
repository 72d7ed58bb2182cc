"""Loops that leave out what ONNX lets them: TensorRT's parser wants a condition, and a limit where the body counts."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from trtconv.model.walking import branches, is_onnx, walk_graphs, walk_nodes

_COUNT, _CONDITION = 0, 1  # places among a Loop's inputs
# The parser takes a count of 2**31 - 1 and more for none, and then it has no counter for the body to read.
_NO_LIMIT = (1 << 31) - 1


def completed(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with what its Loops lack: true as their condition, and a count that no loop reaches.

    That is `proto` itself where none lacks anything.
    """
    limits = _scalars(proto.graph)
    if not any(_lacks_condition(node) or _lacks_count(node, limits) for node in walk_nodes(proto.graph)):
        return proto
    given = onnx.ModelProto()
    given.CopyFrom(proto)
    condition, count = (_unused_name(name, given.graph) for name in ("loop_condition", "loop_count"))
    given.graph.initializer.append(onnx.helper.make_tensor(condition, onnx.TensorProto.BOOL, [], [True]))
    given.graph.initializer.append(onnx.helper.make_tensor(count, onnx.TensorProto.INT64, [], [_NO_LIMIT - 1]))
    for node in walk_nodes(given.graph):
        lacks_count, lacks_condition = _lacks_count(node, limits), _lacks_condition(node)
        if lacks_count or lacks_condition:
            own_count = node.input[_COUNT] if node.input else ""
            own_condition = "" if lacks_condition else node.input[_CONDITION]
            rest = node.input[_CONDITION + 1 :]
            node.input[:] = [count if lacks_count else own_count, own_condition or condition, *rest]
    return given


def _is_loop(node: onnx.NodeProto) -> bool:
    return node.op_type == "Loop" and is_onnx(node.domain)


def _lacks_condition(node: onnx.NodeProto) -> bool:
    return _is_loop(node) and not "".join(node.input[_CONDITION : _CONDITION + 1])


def _lacks_count(node: onnx.NodeProto, limits: Mapping[str, int]) -> bool:
    if not _is_loop(node):
        return False
    name = "".join(node.input[_COUNT : _COUNT + 1])
    is_unlimited = not name or limits.get(name, 0) >= _NO_LIMIT
    return is_unlimited and any(_reads_counter(body) for body in branches(node))


def _reads_counter(body: onnx.GraphProto) -> bool:
    counter = body.input[0].name if body.input else ""
    read = {name for node in walk_nodes(body) for name in node.input} | {value.name for value in body.output}
    return counter in read


def _scalars(graph: onnx.GraphProto) -> dict[str, int]:
    """Return the constants that may be the count of a Loop, by name."""
    tensors = {tensor.name: tensor for each in walk_graphs(graph) for tensor in each.initializer}
    for node in walk_nodes(graph):
        value = next((each.t for each in node.attribute if each.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            tensors.update(dict.fromkeys(node.output, value))
    return {
        name: int(onnx.numpy_helper.to_array(tensor).reshape(-1)[0])
        for name, tensor in tensors.items()
        if tensor.data_type == onnx.TensorProto.INT64
        and list(tensor.dims) in ([], [1])
        and tensor.data_location != onnx.TensorProto.EXTERNAL
    }


def _unused_name(wanted: str, graph: onnx.GraphProto) -> str:
    used = {name for node in walk_nodes(graph) for name in (*node.input, *node.output)}
    used |= {value.name for each in walk_graphs(graph) for value in (*each.input, *each.initializer)}
    while wanted in used:
        wanted += "_"
    return wanted
