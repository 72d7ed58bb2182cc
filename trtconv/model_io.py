"""Read, check and write ONNX models: the one door between files and graph-surgeon graphs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.checker
import onnx.inliner
import onnx_graphsurgeon as gs
from google.protobuf.message import DecodeError, EncodeError

from trtconv.errors import ConfigError, ModelError
from trtconv.external_data import all_tensors, require_external_files
from trtconv.graph_bridge import branches, import_graph, write_edits
from trtconv.light_copy import lacks_data, light_copy
from trtconv.plugin_ops import DOMAIN, MIN_IR_VERSION, PLUGIN_OPS, VERSION, function_for, problem_of
from trtconv.profiles import Dims
from trtconv.shape_inference import with_shapes

_ONNX_DOMAINS = ("", "ai.onnx")
_FIRST_IR_WITH_OPSETS = 3
_MAX_BYTES = (1 << 31) - 1  # protobuf's limit
_GIT_LFS_MARK = b"version https://git-lfs"


@dataclass
class Model:
    """A model as it was read, and its graph for the passes to edit.

    `proto` stays as it was, its own functions inlined; tensors in external files are not loaded. `graph` also holds the
    types and shapes that ONNX's shape inference found.
    """

    path: Path
    proto: onnx.ModelProto
    graph: gs.Graph

    @property
    def opset(self) -> int:
        """The ai.onnx opset."""
        return opset_of(self.proto)


def load(path: Path, *, inline_plugins: bool = False) -> Model:
    """Read a model without its external tensors, inline its functions and infer shapes.

    With `inline_plugins`, custom ops of an already rewritten model become ONNX ops again. Raises ConfigError when there
    is no such file, ModelError when it is no valid ONNX model or an external data file is missing.
    """
    proto = _parse(path)
    require_external_files(proto, path)
    _require_plugin_nodes(proto.graph, path)
    proto = _inline_functions(proto, path, inline_plugins)
    if not _has_text_names(proto.graph):
        raise ModelError("a name is not UTF-8 text: the file is damaged", where=str(path))
    return Model(path, proto, _import(with_shapes(proto, path.parent), path))


def to_proto(model: Model) -> onnx.ModelProto:
    """Return the edited model: only edited nodes differ, the custom ops' functions are attached.

    The result shares no state with `model`. External tensors still name their files.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    read_before = _consumed_names(proto.graph)
    write_edits(proto.graph, model.graph)
    _drop_initializers(proto.graph, read_before - _consumed_names(proto.graph), keep_inputs=proto.ir_version > 3)
    proto.ir_version = max(proto.ir_version, MIN_IR_VERSION)
    if not proto.opset_import:
        proto.opset_import.append(onnx.helper.make_opsetid("", opset_of(proto)))  # IR version 2 had no need of it
    _attach_functions(proto)
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


def check(proto: onnx.ModelProto, original: onnx.ModelProto) -> str | None:
    """Check an edited model with onnx.checker; return a warning when `original` itself does not pass.

    Raises ModelError when the edit made a valid model invalid.
    """
    error = _checker_error(proto)
    if error is None:
        return None
    if _checker_error(original) is not None:
        return f"the model does not pass onnx.checker, before as after: {error}"
    raise ModelError(f"the rewritten model does not pass onnx.checker: {error}", hint="please report this model")


def opset_of(proto: onnx.ModelProto) -> int:
    """Return the ai.onnx opset of a model, 1 where it names none (IR versions 1 and 2)."""
    return next((int(entry.version) for entry in proto.opset_import if entry.domain in _ONNX_DOMAINS), 1)


def without_functions(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose custom ops stand alone: parsers before 10.7 prefer a function to a plugin of that name.

    That is `proto` itself where it has no functions of theirs.
    """
    if not any(function.domain == DOMAIN for function in proto.functions):
        return proto
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    kept = [function for function in proto.functions if function.domain != DOMAIN]
    del bare.functions[:]
    bare.functions.extend(kept)
    return bare


def plugin_op_names(graph: onnx.GraphProto) -> set[str]:
    """Return which custom ops a graph holds, branches included."""
    return {node.op_type for node in walk_nodes(graph) if node.domain == DOMAIN}


def _require_plugin_nodes(graph: onnx.GraphProto, path: Path) -> None:
    for node in walk_nodes(graph):
        if node.domain == DOMAIN and (problem := problem_of(node)):
            raise ModelError(f"node {node.name or node.output[0]}: {problem}", where=str(path))


def walk_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield every node of a graph and of the branches and bodies inside it."""
    yield from _walk(graph.node)


def _walk(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for branch in branches(node):
            yield from _walk(branch.node)


def _parse(path: Path) -> onnx.ModelProto:
    try:
        if path.stat().st_size > _MAX_BYTES:
            what = "is larger than 2 GiB, which no ONNX file can be"
            raise ModelError(what, where=str(path), hint="export the model again, with external data")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError("no such file", where=str(path), hint="check the path of the model") from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from None
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


def _has_text_names(graph: onnx.GraphProto) -> bool:
    """Say whether every name is text: protobuf hands out one that is not UTF-8 as bytes."""
    values = (*graph.input, *graph.output, *graph.value_info)
    names: list[object] = [entry.name for entry in (*values, *graph.initializer)]
    names += (dim.dim_param for value in values for dim in value.type.tensor_type.shape.dim)
    for node in graph.node:
        names += (node.name, node.op_type, node.domain, node.overload, *node.input, *node.output)
        names += (attribute.name for attribute in node.attribute)
        if not all(_has_text_names(branch) for branch in branches(node)):
            return False
    return all(isinstance(name, str) for name in names)


def _not_onnx(path: Path, data: bytes) -> ModelError:
    if data.startswith(_GIT_LFS_MARK):
        return ModelError("is a Git LFS pointer, not the model", where=str(path), hint="run: git lfs pull")
    what = f"is not an ONNX model, or it is damaged or truncated ({len(data)} bytes)"
    return ModelError(what, where=str(path), hint="fetch or export the model again")


def _inline_functions(proto: onnx.ModelProto, path: Path, inline_plugins: bool) -> onnx.ModelProto:
    """Inline the model's functions, those of the custom ops only where asked for.

    onnx's inliner refuses a choice of functions that are written in another opset than the model: so it gets all that
    are to go, and the others come back afterwards.
    """
    kept = [function for function in proto.functions if function.domain == DOMAIN and not inline_plugins]
    if len(kept) == len(proto.functions):
        return proto
    inlinable = without_functions(proto) if kept else proto
    try:
        inlinable = _with_explicit_attributes(inlinable)
        inlined = onnx.inliner.inline_local_functions(inlinable, convert_version=True)
    except Exception as error:
        raise ModelError(f"its functions cannot be inlined: {error}", where=str(path)) from error
    inlined.functions.extend(kept)
    return inlined


def _with_explicit_attributes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Write the default attributes of functions to the nodes that call them: onnx's inliner forgets the defaults."""
    explicit = onnx.ModelProto()
    explicit.CopyFrom(proto)
    defaults = {(each.domain, each.name, each.overload): each.attribute_proto for each in proto.functions}
    bodies = (walk_nodes(explicit.graph), *(_walk(function.node) for function in explicit.functions))
    for node in itertools.chain(*bodies):
        given = {attribute.name for attribute in node.attribute}
        for attribute in defaults.get((node.domain, node.op_type, node.overload), ()):
            if attribute.name not in given:
                node.attribute.add().CopyFrom(attribute)
    return explicit


def _import(proto: onnx.ModelProto, path: Path) -> gs.Graph:
    try:
        return import_graph(proto)
    except Exception as error:
        raise ModelError(f"cannot be read as a graph: {error}", where=str(path)) from error


def _drop_initializers(graph: onnx.GraphProto, names: set[str], keep_inputs: bool) -> None:
    """Drop the initializers called `names`, branches included.

    An input of the same name goes with them. Up to IR version 3 every initializer is listed as an input, which from
    version 4 on means that a caller may replace it: without `keep_inputs` these inputs go too.
    """
    initializer_names = {tensor.name for tensor in graph.initializer}
    dropped_inputs = initializer_names & names if keep_inputs else initializer_names
    for entries, dropped in ((graph.initializer, names), (graph.input, dropped_inputs)):
        for index in reversed(range(len(entries))):
            if entries[index].name in dropped:
                del entries[index]
    for node in graph.node:
        for branch in branches(node):
            _drop_initializers(branch, names, keep_inputs)


def _consumed_names(graph: onnx.GraphProto) -> set[str]:
    """Return the names of all tensors that some node reads or some (sub)graph gives out."""
    names = {value.name for value in graph.output}
    for node in walk_nodes(graph):
        names.update(node.input)
        names.update(value.name for branch in branches(node) for value in branch.output)
    return names


def _attach_functions(proto: onnx.ModelProto) -> None:
    used = plugin_op_names(proto.graph)
    if not used:
        return
    if not any(entry.domain == DOMAIN for entry in proto.opset_import):
        proto.opset_import.append(onnx.helper.make_opsetid(DOMAIN, VERSION))
    present = {function.name for function in proto.functions if function.domain == DOMAIN}
    proto.functions.extend(function_for(PLUGIN_OPS[name], opset_of(proto)) for name in sorted(used - present))


def _checker_error(proto: onnx.ModelProto) -> str | None:
    """Return the first line of what onnx.checker objects to; external tensors were checked when the model was read."""
    checkable = light_copy(proto)
    for tensor in all_tensors(checkable):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or lacks_data(tensor):
            tensor.ClearField("external_data")
            tensor.data_location = onnx.TensorProto.DEFAULT
            tensor.dims[:] = [0]
    try:
        onnx.checker.check_model(checkable)
    except (onnx.checker.ValidationError, ValueError) as error:
        return str(error).strip().splitlines()[0]
    return None


def describe_inputs(proto: onnx.ModelProto) -> dict[str, Dims | None]:
    """Return the dimensions of every tensor that is a graph input and no initializer, None for an unknown rank."""
    initializer_names = {tensor.name for tensor in proto.graph.initializer}
    described: dict[str, Dims | None] = {}
    for value in proto.graph.input:
        if value.name not in initializer_names and value.type.HasField("tensor_type"):
            tensor_type = value.type.tensor_type
            has_rank = tensor_type.HasField("shape")
            described[value.name] = [_dim_of(dim) for dim in tensor_type.shape.dim] if has_rank else None
    return described


def _dim_of(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    """Return a size, a symbol, or None; older exporters write -1 for a dynamic dimension."""
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    return dim.dim_param or None
