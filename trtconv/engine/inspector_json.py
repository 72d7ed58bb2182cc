"""Read the JSON of TensorRT's engine inspector, in the form of 10.x and in that of 11.x and later.

10.x lists I/O names under `Bindings` and writes a tensor's format and type as one sentence, `Format/Datatype`; 11.x has
objects under `I/O Tensors`, and two fields. In both, a layer is its bare name where the engine was built with layer
names only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trtconv.element_types import BY_ENGINE_WORD
from trtconv.errors import BackendError

_NOT_TOLD = "N/A"  # "N/A due to dynamic shapes": the inspector was given no execution context
_CHANNELS_LAST = re.compile(
    r"channel(?: major|-last) \w+ format(?! where (?:channel ==|column))(?:.*?\b(?:channel|C) % (\d+) ==)?",
    re.IGNORECASE,
)
_VECTOR_WIDTHS = {"two": 2, "four": 4, "eight": 8, "sixteen": 16, "thirty-two": 32}
_VECTORISED = re.compile(r"([\w-]+) wide channel vectorized", re.IGNORECASE)
_ONNX_NODE = re.compile(r"\[ONNX Layer: (.*?)\](?=[\x1e\x1f]|\[ONNX Layer: |$)")  # separated, or one after the other


@dataclass(frozen=True)
class LayerTensor:
    """A tensor that a layer reads or writes. What the inspector does not tell is None."""

    name: str
    shape: Sequence[int] | None = None
    format: str | None = None
    dtype: str | None = None


@dataclass(frozen=True)
class Layer:
    """One layer of an engine. `type` and `tactic` are None where the engine holds layer names only.

    `nodes` are the names of the ONNX nodes that it comes from, as far as TensorRT keeps them.
    """

    name: str
    type: str | None = None
    inputs: Sequence[LayerTensor] = ()
    outputs: Sequence[LayerTensor] = ()
    tactic: str | None = None
    nodes: Sequence[str] = ()

    @property
    def precision(self) -> str | None:
        """The types of the floating-point tensors that it writes, or of all, or None where nothing is told."""
        types = list(dict.fromkeys(tensor.dtype for tensor in self.outputs or self.inputs if tensor.dtype))
        floats = [dtype for dtype in types if "float" in dtype]
        return "+".join(floats or types) or None

    @property
    def formats(self) -> str | None:
        """The formats in which it reads and writes: one, or `in -> out` where they differ."""
        read, written = _joined(self.inputs), _joined(self.outputs)
        return f"{read} -> {written}" if read and written and read != written else (written or read or None)


@dataclass(frozen=True)
class EngineInformation:
    """What the inspector says of a whole engine."""

    layers: Sequence[Layer]
    io_names: Sequence[str]


def parse_engine_information(text: str) -> EngineInformation:
    """Read the inspector's JSON; raise BackendError for text that has none of the known forms."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BackendError(f"TensorRT's inspector wrote no JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("Layers", []), list):
        raise BackendError("TensorRT's inspector wrote JSON of an unknown form")
    io_tensors = document.get("I/O Tensors") or document.get("Bindings") or []
    names = [entry["Name"] if isinstance(entry, dict) else str(entry) for entry in io_tensors]
    return EngineInformation([_layer(entry) for entry in document.get("Layers", [])], names)


def split_format(text: str) -> tuple[str | None, str | None]:
    """Split 10.x's sentence on a tensor into format and type: "Row major linear FP16 format" -> LINEAR, float16."""
    if text.startswith(_NOT_TOLD):
        return None, None
    dtype = next((found for word in re.findall(r"\w+", text) if (found := BY_ENGINE_WORD.get(word.lower()))), None)
    return short_format(text), None if dtype is None else dtype.engine_name


def short_format(text: str) -> str | None:
    """Return the name of a format as in trtexec (LINEAR, DHWC8, CHW32), the sentence itself for an unknown one."""
    if named := re.search(r"\(k(\w+)\)", text):
        return named[1]
    if "linear" in text.lower():
        return "LINEAR"
    depth = "D" if "3 spatial dimensions" in text else ""
    if channels_last := _CHANNELS_LAST.search(text):
        return f"{depth}HWC{channels_last[1] or ''}"
    if vectorised := _VECTORISED.search(text):
        return f"C{depth}HW{_VECTOR_WIDTHS.get(vectorised[1].lower(), vectorised[1])}"
    return None if text.lower() in BY_ENGINE_WORD or text.startswith(_NOT_TOLD) else text


def _layer(entry: Any) -> Layer:
    if not isinstance(entry, dict):
        return Layer(str(entry))
    tactic = entry.get("TacticName") or entry.get("TacticValue")
    return Layer(
        name=str(entry.get("Name", "")),
        type=_text(entry.get("LayerType")),
        inputs=_tensors(entry.get("Inputs")),
        outputs=_tensors(entry.get("Outputs")),
        tactic=_text(tactic),
        nodes=_ONNX_NODE.findall(str(entry.get("Metadata") or "")),
    )


def dtype_name(word: str) -> str:
    """Return numpy's name of a type that TensorRT names in its own way; an unknown word in lower case."""
    found = BY_ENGINE_WORD.get(word.lower())
    return word.lower() if found is None else found.engine_name


def _tensors(entries: Any) -> list[LayerTensor]:
    return [_tensor(entry) for entry in entries or [] if isinstance(entry, dict)]


def _tensor(entry: Mapping[str, Any]) -> LayerTensor:
    name, shape = str(entry.get("Name", "")), entry.get("Dimensions")
    if "Format/Datatype" in entry:
        return LayerTensor(name, shape, *split_format(str(entry["Format/Datatype"])))
    dtype = _text(entry.get("DataType") or entry.get("Datatype"))
    form = _text(entry.get("Format"))
    return LayerTensor(
        name,
        shape,
        None if form is None else short_format(form),
        None if dtype is None else dtype_name(dtype),
    )


def _joined(tensors: Sequence[LayerTensor]) -> str:
    return "+".join(dict.fromkeys(tensor.format for tensor in tensors if tensor.format))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
