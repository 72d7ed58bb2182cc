"""Tell whose fault it is that a parsed network cannot be built: the model's, the options', or TensorRT's own."""

from __future__ import annotations

import re
from pathlib import Path

import onnx

from trtconv import element_types
from trtconv.config import BuildConfig
from trtconv.engine.tensorrt_words import kind_of, split_name, words_of
from trtconv.errors import BackendError, ConfigError, ModelError, TrtconvError
from trtconv.model.walking import walk_addresses, walk_graphs

_USAGE = ("API Usage Error", "Shape Error")
_MODEL = re.compile(r"because the model contains")
_PROFILE = re.compile(r"\bprofile\b|\bkMIN\b|\bkOPT\b|\bkMAX\b")
_RESOURCES = re.compile(r"workspace|out of memory|memory pool|allocat|nvinfer_\w+|timing cache", re.IGNORECASE)
_QUANTIZED = re.compile(r"Quantized constant \((?P<name>.*?)\) is only allowed before DQ")


def build_error(
    title: str, text: str, proto: onnx.ModelProto, model_path: Path, config: BuildConfig, version: str
) -> TrtconvError:
    """Return the error for a build that failed with TensorRT's words `text`; `title` is the backend's name."""
    words = _with_node(words_of(text), proto)
    if "nvinfer_lean" in text:
        hint = f"version-compatible engines need the lean runtime; run: pip install tensorrt-lean=={version}"
        return BackendError(f"{title} could not build the engine: {words}", hint=hint)
    if quantized := _QUANTIZED.search(text):
        return _quantized_constant(title, quantized["name"], proto, model_path)
    is_usage = kind_of(text) in _USAGE or _MODEL.search(text) is not None
    if is_usage and _PROFILE.search(text):
        return ConfigError(
            f"{title} refuses the shapes: {words}", where="--shape", hint="give shapes that fit the model"
        )
    if is_usage and not _RESOURCES.search(text):
        hint = "correct the model before the export; trtconv inspect shows its nodes"
        return ModelError(f"{title} refuses the network: {words}", where=str(model_path), hint=hint)
    larger = "a larger --workspace may help; " if config.workspace_bytes is not None else ""
    hint = f"{larger}run again with --verbose to see TensorRT's messages"
    return BackendError(f"{title} could not build the engine: {words}", hint=hint)


def _with_node(words: str, proto: onnx.ModelProto) -> str:
    """Name the node as people do: TensorRT calls a layer like its node, or node_of_ and what an unnamed one gives."""
    nodes = {
        node.name or f"node_of_{next(iter(node.output), '')}": f"{address} ({node.op_type})" if node.name else address
        for address, node in walk_addresses(proto.graph)
    }
    name, words = split_name(words, nodes)
    return words if name is None else f"{words} [node {nodes[name]}]"


def _quantized_constant(title: str, name: str, proto: onnx.ModelProto, model_path: Path) -> ModelError:
    tensors = {tensor.name: tensor.data_type for graph in walk_graphs(proto.graph) for tensor in graph.initializer}
    for graph in walk_graphs(proto.graph):
        for node in graph.node:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.HasField("t"):
                    tensors.update(dict.fromkeys([*node.output, node.name], attribute.t.data_type))
    dtype = element_types.name_of(tensors[name]) if name in tensors else "a quantized type"
    what = f"constant {name} is of type {dtype}, which {title} takes only right before a DequantizeLinear"
    return ModelError(what, where=str(model_path), hint="store it as int32 or float32 before the export, or cast it")
