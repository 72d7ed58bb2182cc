"""Check models with onnx.checker and by ONNX's type rules, in spite of their size and of tensors that lie outside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx.checker
import onnx.shape_inference

from trtconv.errors import ModelError
from trtconv.model.external_data import all_tensors, with_small_tensors
from trtconv.model.light_copy import lacks_data, light_copy
from trtconv.model.walking import walk_graphs, walk_nodes
from trtconv.native_output import kept_off_the_streams
from trtconv.progress import bounded

# Beyond this the types are not checked a second time: shape inference of a model takes a second for 10,000 nodes.
_MAX_TYPED_NODES = 5000
_MAX_TOLD = 3
_NODE = re.compile(r"\(op_type:\s*(?P<op>[^,)]*)(?:,\s*node name:\s*(?P<name>.*?))?\):\s*")
_NO_NEWS = re.compile(r"\[(?:Shape|Type)InferenceError\]\s*|Inference error\(s\):\s*|==> Context:\s*", re.IGNORECASE)

# What follows from another fault, or from an op that inference does not know; and int32 axes, which ONNX allows.
_NO_FAULT = re.compile(
    r"expected to have type but instead is null|ParseData type mismatch|Cannot parse data from external"
)


def check(proto: onnx.ModelProto, original: onnx.ModelProto) -> str | None:
    """Check an edited model with onnx.checker; return a warning when `original` itself does not pass.

    Raises ModelError when the edit made a valid model invalid.
    """
    error = _checker_error(proto)
    if error is None:
        return None
    own_error = _checker_error(original)
    if own_error is not None:
        return f"the model does not pass onnx.checker, neither before the rewrite nor after it: {own_error}"
    raise ModelError(f"the rewritten model does not pass onnx.checker: {error}", hint="please report this model")


def type_warning(proto: onnx.ModelProto, folder: Path) -> str | None:
    """Return a warning for a model that breaks ONNX's rules on types and shapes, as some exporters write them.

    `folder` is the model's, for external data.
    """
    has_sparse = any(graph.sparse_initializer for graph in walk_graphs(proto.graph))  # inference does not know them
    if has_sparse or sum(1 for _ in walk_nodes(proto.graph)) > _MAX_TYPED_NODES:
        return None
    checkable = with_small_tensors(light_copy(proto), folder)
    for graph in walk_graphs(checkable.graph):
        del graph.value_info[:]  # what follows from the inputs counts; a stale shape is no fault of the nodes
    try:
        with bounded("checking types", checkable.ByteSize()), kept_off_the_streams():
            onnx.shape_inference.infer_shapes(checkable, check_type=True, strict_mode=True)
    except onnx.shape_inference.InferenceError as error:
        broken = _in_words(str(error))
        return f"the model breaks ONNX's rules on types and shapes, and may be refused: {broken}" if broken else None
    except Exception:  # not of its kind: what is wrong is told elsewhere
        return None
    return None


def _checker_error(proto: onnx.ModelProto) -> str | None:
    """Return what onnx.checker objects to, in one line; external tensors were checked when the model was read."""
    checkable = light_copy(proto)
    for tensor in all_tensors(checkable):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or lacks_data(tensor):
            tensor.ClearField("external_data")
            tensor.data_location = onnx.TensorProto.DEFAULT
            tensor.dims[:] = [0]
    try:
        with kept_off_the_streams():
            onnx.checker.check_model(checkable)
    except (onnx.checker.ValidationError, ValueError) as error:
        words = " ".join(str(error).split()).removesuffix(".")
        missing = ", ".join(_without(words, proto.graph))
        return f"{words} ({missing})" if missing else words
    return None


def _without(words: str, graph: onnx.GraphProto) -> Iterator[str]:
    """Name the inputs and outputs that lack the field that onnx.checker misses; it says only which field that is."""
    if not re.match(r"Field '\w+' of '\w+' is required but missing", words):
        return
    for kind, values in (("input", graph.input), ("output", graph.output)):
        for value in values:
            tensor_type = value.type.tensor_type
            has_type = value.type.WhichOneof("value") is not None
            if not has_type or (value.type.HasField("tensor_type") and not tensor_type.HasField("shape")):
                yield f"{kind} {value.name}"


def _in_words(text: str) -> str:
    """Return what shape inference objects to, each node named once, without its inner words."""
    told = []
    for line in text.splitlines():
        words = _NO_NEWS.sub("", line).strip().rstrip(".")
        if words and not _NO_FAULT.search(words):
            told.append(_NODE.sub(_name_node, words))
    more = f"; and {len(told) - _MAX_TOLD} more" if len(told) > _MAX_TOLD else ""
    return "; ".join(dict.fromkeys(told[:_MAX_TOLD])) + more


def _name_node(match: re.Match[str]) -> str:
    return f"node {match['name']} ({match['op']}): " if match["name"] else f"{match['op']}: "
