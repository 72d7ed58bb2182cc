"""Read, check and write ONNX models: the one door between files and graph-surgeon graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx
import onnx_graphsurgeon as gs
from google.protobuf.message import DecodeError, EncodeError

from trtconv import reading
from trtconv.errors import ModelError
from trtconv.model import foreign_files
from trtconv.model.as_read import AsRead, import_graph
from trtconv.model.attribute_check import require_attributes
from trtconv.model.division_check import require_divisible
from trtconv.model.external_data import require_external_files
from trtconv.model.functions import attach_functions, inline_functions
from trtconv.model.graph_bridge import write_edits
from trtconv.model.plugin_nodes import require_plugin_nodes, require_plugin_operands
from trtconv.model.redefinitions import drop_repeated_initializers
from trtconv.model.shape_inference import drop_stale_shapes, infer
from trtconv.model.size_growth import require_possible_sizes
from trtconv.model.walking import describe_inputs, is_onnx, opset_of, walk_graphs, walk_nodes
from trtconv.model.well_formed import require_well_formed
from trtconv.ops.custom_op import MIN_IR_VERSION
from trtconv.progress import announce
from trtconv.shapes import Dims, Profile, fixed_sizes

_FIRST_IR_WITH_OPSETS = 3
_MAX_BYTES = (1 << 31) - 1  # protobuf's limit


@dataclass
class Model:
    """A model as it was read, and its graph for the passes to edit.

    `proto` stays as it was, its own functions inlined; tensors in external files are not loaded. `graph` also holds the
    types and shapes that ONNX's shape inference found, and `as_read` what it was before any pass. `inferred` is the
    model with the types and shapes that hold for inputs of any size, without large tensors. `warnings` are what was
    wrong with the model and could be put right. `functions` holds the number of nodes of its own functions, by
    `domain::name`.
    """

    path: Path
    proto: onnx.ModelProto
    graph: gs.Graph
    as_read: AsRead
    inferred: onnx.ModelProto
    warnings: tuple[str, ...] = ()
    functions: Mapping[str, int] = field(default_factory=dict)

    @property
    def opset(self) -> int:
        """The ai.onnx opset."""
        return opset_of(self.proto)


def load(
    path: Path, *, inline_plugins: bool = False, profiles: Sequence[Profile] = (), trust_links: bool = False
) -> Model:
    """Read a model without its external tensors, inline its functions and infer shapes.

    With `inline_plugins`, custom ops of an already rewritten model become ONNX ops again. Sizes of inputs
    that all `profiles` agree on are fixed in `graph`, and in nothing else. With `trust_links` a data file may be a link
    out of the model's folder. Raises ConfigError when there is no such file, ModelError when it is not a valid ONNX
    model or an external data file is missing.
    """
    announce(f"reading {path.name}", is_of_model=True)
    proto = _parse(path)
    require_well_formed(proto, path)
    warnings = require_external_files(proto, path, trust_links)
    functions = {f"{function.domain}::{function.name}": len(function.node) for function in proto.functions}
    require_plugin_nodes(proto.graph, path)
    drop_repeated_initializers(proto, path)
    require_divisible(proto.graph, path)
    proto = inline_functions(proto, path, inline_plugins)
    require_attributes(proto.graph, opset_of(proto), path)
    sizes = fixed_sizes(describe_inputs(proto), profiles)
    inferred = at_any_size = infer(proto, path.parent)
    if any(size is not None for dims in sizes.values() for size in dims):
        inferred = infer(proto, path.parent, sizes)
    require_possible_sizes(inferred.model.graph, path)
    if at_any_size.stale:
        drop_stale_shapes(proto, at_any_size.model)
    require_plugin_operands(at_any_size.model.graph, path)
    warnings += () if at_any_size.warning is None else (at_any_size.warning,)
    return Model(path, proto, *_import(inferred.model, proto, path), at_any_size.model, warnings, functions)


def unedited(model: Model) -> Model:
    """Return the model, for inputs of any size, with its graph as it was before any pass."""
    graph, as_read = _import(model.inferred, model.proto, model.path)
    return replace(model, graph=graph, as_read=as_read)


def graph_at(model: Model, sizes: Mapping[str, Dims]) -> gs.Graph:
    """Return a graph of the model as it was read, for inputs that have the dimensions `sizes`."""
    return graphs_at(model, sizes)()


def graphs_at(model: Model, sizes: Mapping[str, Dims]) -> Callable[[], gs.Graph]:
    """Return what makes such graphs, each anew, of shapes that are inferred once."""
    inferred = infer(model.proto, model.path.parent, sizes).model if sizes else model.inferred
    return lambda: _import(inferred, model.proto, model.path)[0]


def to_proto(model: Model) -> onnx.ModelProto:
    """Return the edited model: only edited nodes differ, the custom ops' functions are attached.

    The result shares no state with `model`. External tensors still name their files. Raises GraphEditError where a pass
    left a graph that no model can hold.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    read_before, domains_before = _consumed_names(proto.graph), _domains(proto.graph)
    write_edits(proto.graph, model.graph, model.as_read)
    _drop_initializers(proto.graph, read_before - _consumed_names(proto.graph), keep_inputs=proto.ir_version > 3)
    proto.ir_version = max(proto.ir_version, MIN_IR_VERSION)
    if not proto.opset_import:
        proto.opset_import.append(onnx.helper.make_opsetid("", opset_of(proto)))  # IR version 2 had no need of it
    attach_functions(proto)
    imported = {entry.domain for entry in proto.opset_import}
    new_domains = _domains(proto.graph) - domains_before - imported
    proto.opset_import.extend(onnx.helper.make_opsetid(domain, 1) for domain in sorted(new_domains))
    return proto


def to_bytes(proto: onnx.ModelProto, path: Path) -> bytes:
    """Return the content of a model's file, `path` in errors; raise ModelError when protobuf cannot hold it."""
    try:
        data: bytes = proto.SerializeToString()
    except (EncodeError, ValueError):
        data = b""
    if 0 < len(data) <= _MAX_BYTES:
        return data
    what = "with its edits the model is larger than 2 GiB, which no ONNX file can be"
    raise ModelError(what, where=str(path), hint="export the model again, with external data")


def _parse(path: Path) -> onnx.ModelProto:
    try:
        data = reading.read_bytes(path, reading.MODEL)
    except ModelError:  # it is too large
        head = reading.read_head(path, foreign_files.HEAD_BYTES)
        if foreign_files.describe(path, head) is not None:
            raise _not_onnx(path, head) from None
        raise
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError:
        raise _not_onnx(path, data) from None
    if not proto.graph.node and not proto.graph.output:
        raise _not_onnx(path, data)
    if not proto.graph.output:
        raise ModelError("the graph has no outputs: the file is damaged or truncated", where=str(path))
    if proto.ir_version >= _FIRST_IR_WITH_OPSETS and not proto.opset_import:
        raise ModelError("the model names no opset: the file is damaged or truncated", where=str(path))
    return proto


def _not_onnx(path: Path, data: bytes) -> ModelError:
    foreign = foreign_files.describe(path, data[: foreign_files.HEAD_BYTES])
    if foreign is not None:
        return ModelError(foreign.what, where=str(path), hint=foreign.hint.replace("FILE", path.name))
    what = f"is not an ONNX model, or it is damaged or truncated ({len(data)} bytes)"
    return ModelError(what, where=str(path), hint="fetch or export the model again")


def _import(inferred: onnx.ModelProto, proto: onnx.ModelProto, path: Path) -> tuple[gs.Graph, AsRead]:
    try:
        return import_graph(inferred, proto.graph)
    except Exception as error:
        raise ModelError(f"cannot be read as a graph: {error}", where=str(path)) from error


def _drop_initializers(graph: onnx.GraphProto, names: set[str], keep_inputs: bool) -> None:
    """Drop the initializers called `names`, branches included.

    An input of the same name goes with them. Up to IR version 3 every initializer is listed as an input, which from
    version 4 on means that a caller may replace it: without `keep_inputs` these inputs go too.
    """
    for each in walk_graphs(graph):
        initializer_names = {tensor.name for tensor in each.initializer}
        dropped_inputs = initializer_names & names if keep_inputs else initializer_names
        for entries, dropped in ((each.initializer, names), (each.input, dropped_inputs)):
            for index in reversed(range(len(entries))):
                if entries[index].name in dropped:
                    del entries[index]


def _consumed_names(graph: onnx.GraphProto) -> set[str]:
    """Return the names of all tensors that some node reads or some (sub)graph gives out."""
    names: set[str] = set()
    for each in walk_graphs(graph):
        names.update(value.name for value in each.output)
        for node in each.node:
            names.update(node.input)
    return names


def _domains(graph: onnx.GraphProto) -> set[str]:
    return {node.domain for node in walk_nodes(graph) if not is_onnx(node.domain)}
