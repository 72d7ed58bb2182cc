"""Read and write ONNX models: the one door between files and graph-surgeon graphs.

graph-surgeon's export loses metadata, doc strings and some attributes, and repeats outer tensors inside branches. So
`to_proto` takes from it only what a pass changed and everything else from the model as it was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.checker
import onnx.inliner
import onnx.shape_inference
import onnx_graphsurgeon as gs
from google.protobuf.message import DecodeError
from onnx_graphsurgeon.logger import G_LOGGER

from trtconv.errors import ConfigError, ModelError
from trtconv.external_data import external_tensors, require_external_files
from trtconv.plugin_ops import DOMAIN, MIN_IR_VERSION, PLUGIN_OPS, VERSION, function_for

G_LOGGER.severity = G_LOGGER.CRITICAL  # its warnings speak to people who call graph-surgeon themselves

_ONNX_DOMAINS = ("", "ai.onnx")
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
    proto = _inline_functions(proto, path, inline_plugins)
    return Model(path, proto, _import(_with_shapes(proto), path))


def to_proto(model: Model) -> onnx.ModelProto:
    """Return the edited model: only edited nodes differ, the custom ops' functions are attached.

    The result shares no state with `model`. External tensors still name their files.
    """
    exported = gs.export_onnx(model.graph, do_type_check=False)
    before, after = _consumed_names(model.proto.graph), _consumed_names(exported.graph)
    proto = onnx.ModelProto()
    for descriptor, value in model.proto.ListFields():
        if descriptor.name == "graph":
            continue
        if isinstance(value, (int, str)):
            setattr(proto, descriptor.name, value)
        else:
            getattr(proto, descriptor.name).MergeFrom(value)
    proto.ir_version = max(proto.ir_version, MIN_IR_VERSION)
    _restore(exported.graph, model.proto.graph, no_longer_read=before - after)
    proto.graph.CopyFrom(exported.graph)
    _attach_functions(proto)
    return proto


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
    """Return a model whose custom ops stand alone: parsers before 10.7 prefer a function to a plugin of that name."""
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    kept = [function for function in proto.functions if function.domain != DOMAIN]
    del bare.functions[:]
    bare.functions.extend(kept)
    return bare


def plugin_op_names(graph: onnx.GraphProto) -> set[str]:
    """Return which custom ops a graph holds, branches included."""
    return {node.op_type for node in walk_nodes(graph) if node.domain == DOMAIN}


def walk_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield every node of a graph and of the branches and bodies inside it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for subgraph in (attribute.g, *attribute.graphs):
                yield from walk_nodes(subgraph)


def _parse(path: Path) -> onnx.ModelProto:
    try:
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
    return proto


def _not_onnx(path: Path, data: bytes) -> ModelError:
    if data.startswith(_GIT_LFS_MARK):
        return ModelError("is a Git LFS pointer, not the model", where=str(path), hint="run: git lfs pull")
    what = f"is not an ONNX model, or it is damaged or truncated ({len(data)} bytes)"
    return ModelError(what, where=str(path), hint="fetch or export the model again")


def _inline_functions(proto: onnx.ModelProto, path: Path, inline_plugins: bool) -> onnx.ModelProto:
    own = [(function.domain, function.name) for function in proto.functions]
    wanted = [key for key in own if inline_plugins or key[0] != DOMAIN]
    if not wanted:
        return proto
    try:
        return onnx.inliner.inline_selected_functions(proto, wanted)
    except Exception as error:
        raise ModelError(f"its functions cannot be inlined: {error}", where=str(path)) from error


def _with_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with inferred types; inference that fails on an invalid model leaves what it declares."""
    try:
        return onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except Exception:
        return proto


def _import(proto: onnx.ModelProto, path: Path) -> gs.Graph:
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    for node in walk_nodes(bare.graph):
        _drop_unportable_attributes(node)
    del bare.functions[:]
    if not any(entry.domain in _ONNX_DOMAINS for entry in bare.opset_import):
        bare.opset_import.append(onnx.helper.make_opsetid("", opset_of(proto)))
    try:
        return gs.import_onnx(bare)
    except Exception as error:
        raise ModelError(f"cannot be read as a graph: {error}", where=str(path)) from error


def _drop_unportable_attributes(node: onnx.NodeProto) -> None:
    """Drop what graph-surgeon cannot carry (empty lists, types, raw bytes); `_restore` brings it back."""
    portable = [attribute for attribute in node.attribute if _is_portable(attribute)]
    if len(portable) != len(node.attribute):
        del node.attribute[:]
        node.attribute.extend(portable)


def _is_portable(attribute: onnx.AttributeProto) -> bool:
    kind = onnx.AttributeProto
    if attribute.type in (kind.INTS, kind.FLOATS, kind.STRINGS):
        return bool(attribute.ints or attribute.floats) or (
            bool(attribute.strings) and all(map(_is_text, attribute.strings))
        )
    if attribute.type == kind.STRING:
        return _is_text(attribute.s)
    return attribute.type in (kind.FLOAT, kind.INT, kind.TENSOR, kind.GRAPH)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _restore(exported: onnx.GraphProto, original: onnx.GraphProto, no_longer_read: set[str]) -> None:
    """Make `exported` equal to `original` in everything that no pass edited."""
    sources = {tuple(node.output): node for node in original.node}
    edited: set[str] = set()
    for node in exported.node:
        source = sources.get(tuple(node.output))
        if source is not None and _is_unedited(node, source):
            _restore_node(node, source, no_longer_read)
            continue
        edited.update(node.output)
        if source is not None:
            node.doc_string = source.doc_string
            node.metadata_props.MergeFrom(source.metadata_props)
    _restore_tensors(exported, original, edited, no_longer_read)
    exported.name, exported.doc_string = original.name, original.doc_string
    for name in ("sparse_initializer", "output", "quantization_annotation", "metadata_props"):
        exported.ClearField(name)
        getattr(exported, name).MergeFrom(getattr(original, name))


def _is_unedited(node: onnx.NodeProto, source: onnx.NodeProto) -> bool:
    same_op = (node.op_type, node.domain) == (source.op_type, source.domain)
    return same_op and list(node.input) == list(source.input)


def _restore_node(node: onnx.NodeProto, source: onnx.NodeProto, no_longer_read: set[str]) -> None:
    branches = {attribute.name: attribute.g for attribute in node.attribute if attribute.HasField("g")}
    whole = onnx.NodeProto()
    whole.CopyFrom(source)
    for attribute in whole.attribute:
        if attribute.name in branches:
            _restore(branches[attribute.name], attribute.g, no_longer_read)
            attribute.g.CopyFrom(branches[attribute.name])
    node.CopyFrom(whole)


def _restore_tensors(
    exported: onnx.GraphProto, original: onnx.GraphProto, edited: set[str], no_longer_read: set[str]
) -> None:
    """Keep the original's inputs, initializers and value_info, and add only the types of edited nodes' outputs."""
    kept = [tensor for tensor in original.initializer if tensor.name not in no_longer_read]
    new_types = [value for value in exported.value_info if value.name in edited]
    known = {value.name for value in (*original.value_info, *original.output)}
    initializer_names = {tensor.name for tensor in original.initializer}
    inputs = [value for value in original.input if value.name not in initializer_names]  # IR 3 lists weights too
    for name, values in (("initializer", kept), ("value_info", original.value_info), ("input", inputs)):
        exported.ClearField(name)
        getattr(exported, name).extend(values)
    exported.value_info.extend(value for value in new_types if value.name not in known)


def _consumed_names(graph: onnx.GraphProto) -> set[str]:
    """Return the names of all tensors that some node reads or some (sub)graph gives out."""
    names = {value.name for value in graph.output}
    for node in walk_nodes(graph):
        names.update(node.input)
        for attribute in node.attribute:
            names.update(value.name for subgraph in (attribute.g, *attribute.graphs) for value in subgraph.output)
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
    checkable = proto
    external = list(external_tensors(proto))
    if external:
        checkable = onnx.ModelProto()
        checkable.CopyFrom(proto)
        for tensor in external_tensors(checkable):
            tensor.ClearField("external_data")
            tensor.data_location = onnx.TensorProto.DEFAULT
            tensor.raw_data = b""
    try:
        onnx.checker.check_model(checkable)
    except (onnx.checker.ValidationError, ValueError) as error:
        return str(error).strip().splitlines()[0]
    return None


def describe_inputs(proto: onnx.ModelProto) -> dict[str, Sequence[int | str | None]]:
    """Return the dimensions of every graph input that is no initializer: ints, symbols, or None."""
    initializer_names = {tensor.name for tensor in proto.graph.initializer}
    described: dict[str, Sequence[int | str | None]] = {}
    for value in proto.graph.input:
        if value.name not in initializer_names and value.type.HasField("tensor_type"):
            dims = value.type.tensor_type.shape.dim
            described[value.name] = [
                int(dim.dim_value) if dim.HasField("dim_value") else (dim.dim_param or None) for dim in dims
            ]
    return described
