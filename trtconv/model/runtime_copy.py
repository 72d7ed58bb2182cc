"""Make the copy of a model that ONNX Runtime gets: it refuses valid models for their form.

Node names become unique, small external tensors are loaded, and versions that the installed ONNX Runtime does not know
are lowered where that changes nothing. Tensors, inputs and outputs keep their names, and results stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import onnx.defs
from onnx import TensorProto, helper

from trtconv.errors import ModelError
from trtconv.model.external_data import with_small_tensors
from trtconv.model.walking import is_onnx, walk_all, walk_graphs
from trtconv.ops.reflect_pad import REFLECT_PAD

# The domains whose ops onnx has schemas for, so that a change between two versions is known.
_KNOWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
_PAD, _AXES_INPUT = REFLECT_PAD.form.op_type, 3


class RuntimeLimits(NamedTuple):
    """What the installed ONNX Runtime takes.

    `newest_ir` and `newest_opset` return the version to use in place of one that a model asks for: that one itself, or
    the newest one known.
    """

    name: str
    newest_ir: Callable[[int], int]
    newest_opset: Callable[[str, int], int]


def runtime_copy(proto: onnx.ModelProto, folder: Path, limits: RuntimeLimits) -> onnx.ModelProto:
    """Return a copy of the model that ONNX Runtime does not refuse for its form, or `proto` itself if it is fine.

    `folder` is the model's, for external data. Raises ModelError when an op that the model uses changed in an opset
    that ONNX Runtime does not know.
    """
    loaded = with_small_tensors(proto, folder)
    ir_version = limits.newest_ir(proto.ir_version)
    opsets = _lowered_opsets(proto, limits)
    renamed = list(_renamed_nodes(proto))
    narrow_axes = list(_narrow_axes(proto))
    if not (renamed or opsets or narrow_axes or ir_version != proto.ir_version):
        return loaded
    if loaded is proto:
        loaded = onnx.ModelProto()
        loaded.CopyFrom(proto)
    loaded.ir_version = ir_version
    for entry in _imports(loaded):
        entry.version = opsets.get((entry.domain, entry.version), entry.version)
    nodes = list(_all_nodes(loaded))
    for index, name in renamed:
        nodes[index].name = name
    _widen_axes(loaded, narrow_axes)
    return loaded


def notes_on_copy(proto: onnx.ModelProto, limits: RuntimeLimits) -> list[str]:
    """Return what a report has to say about versions that were lowered for ONNX Runtime."""
    return [
        f"{limits.name} does not know opset {version} of {domain or 'ai.onnx'}: it ran the model as opset {newest}"
        for (domain, version), newest in _lowered_opsets(proto, limits).items()
    ]


def _all_nodes(proto: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    yield from walk_all(proto.graph.node)
    for function in proto.functions:
        yield from walk_all(function.node)


def _imports(proto: onnx.ModelProto) -> Iterator[onnx.OperatorSetIdProto]:
    yield from proto.opset_import
    for function in proto.functions:
        yield from function.opset_import


def _renamed_nodes(proto: onnx.ModelProto) -> Iterator[tuple[int, str]]:
    """Yield the position in `_all_nodes`, and a new name, of each node whose name an earlier one has."""
    taken = {node.name for node in _all_nodes(proto)}
    seen: set[str] = set()
    numbers: dict[str, int] = {}
    for index, node in enumerate(_all_nodes(proto)):
        if not node.name or node.name not in seen:
            seen.add(node.name)
            continue
        number = numbers.get(node.name, 1) + 1
        while f"{node.name}_{number}" in taken:
            number += 1
        numbers[node.name] = number
        taken.add(f"{node.name}_{number}")
        yield index, f"{node.name}_{number}"


def _lowered_opsets(proto: onnx.ModelProto, limits: RuntimeLimits) -> dict[tuple[str, int], int]:
    """Return the opset to write in place of each one, by domain and version, that ONNX Runtime does not know."""
    lowered: dict[tuple[str, int], int] = {}
    bodies: list[tuple[Iterable[Any], Iterable[onnx.NodeProto]]] = [(proto.opset_import, proto.graph.node)]
    bodies += [(function.opset_import, function.node) for function in proto.functions]
    for imports, nodes in bodies:
        for entry in imports:
            if entry.domain not in _KNOWN_DOMAINS:
                continue
            newest = limits.newest_opset("" if is_onnx(entry.domain) else entry.domain, entry.version)
            if newest != entry.version:
                _require_unchanged(nodes, entry, newest, limits)
                lowered[entry.domain, entry.version] = newest
    return lowered


def _require_unchanged(nodes: Iterable[onnx.NodeProto], entry: Any, newest: int, limits: RuntimeLimits) -> None:
    """Raise ModelError when an op of `nodes` changed after opset `newest`, as far as the installed onnx knows."""
    domain = "" if is_onnx(entry.domain) else entry.domain
    known = {(each.name, each.domain) for each in onnx.defs.get_all_schemas_with_history()}
    for node in walk_all(nodes):
        if ("" if is_onnx(node.domain) else node.domain) != domain:
            continue
        if (node.op_type, domain) in known:
            since = onnx.defs.get_schema(node.op_type, entry.version, domain).since_version
            if since <= newest:
                continue
            change = f"{node.op_type} changed in opset {since}"
        else:
            change = f"{node.op_type} is newer than that"
        title = f"opset {entry.version}{f' of {domain}' if domain else ''}"
        what = f"the model is in {title}, {limits.name} knows opset {newest}, and {change}"
        raise ModelError(what, hint=f"upgrade onnxruntime, or export the model with opset {newest}")


def _narrow_axes(proto: onnx.ModelProto) -> Iterator[tuple[int, int]]:
    """Yield graph and node, by position, of each Pad whose constant axes are int32, which ONNX allows.

    ONNX Runtime's shape inference reads int64 alone.
    """
    narrow: set[str] | None = None
    for number, graph in enumerate(walk_graphs(proto.graph)):
        for index, node in enumerate(graph.node):
            if node.op_type == _PAD and is_onnx(node.domain) and len(node.input) > _AXES_INPUT:
                narrow = _int32_constants(proto) if narrow is None else narrow
                if node.input[_AXES_INPUT] in narrow:
                    yield number, index


def _int32_constants(proto: onnx.ModelProto) -> set[str]:
    names: set[str] = set()
    for graph in walk_graphs(proto.graph):
        names.update(tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.INT32)
        for node in graph.node:
            if any(attribute.t.data_type == TensorProto.INT32 for attribute in node.attribute):
                names.update(node.output)
    return names


def _widen_axes(proto: onnx.ModelProto, places: Sequence[tuple[int, int]]) -> None:
    """Put a Cast to int64 before the axes of each Pad."""
    graphs = list(walk_graphs(proto.graph))
    for count, (number, index) in reversed(list(enumerate(places))):
        node = graphs[number].node[index]
        wide = f"{node.input[_AXES_INPUT]}_trtconv_int64_{count}"
        cast = helper.make_node("Cast", [node.input[_AXES_INPUT]], [wide], to=TensorProto.INT64)
        node.input[_AXES_INPUT] = wide
        graphs[number].node.insert(index, cast)
