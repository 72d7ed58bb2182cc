"""Tell what a file is that was given as an ONNX model and is none, and what to do with it."""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from trtconv import reading
from trtconv.errors import TrtconvError
from trtconv.reading import SmallReads

HEAD_BYTES = 1 << 16
_MAX_DIRECTORY_BYTES = 1 << 20  # of a zip file, some 10,000 names

_EXPORT = "export it to ONNX: torch.onnx.export(model, example_inputs, 'model.onnx')"
_FROM_TENSORFLOW = "convert it: pip install tf2onnx; python -m tf2onnx.convert"
_SAVED_MODEL = f"{_FROM_TENSORFLOW} --saved-model DIR --output model.onnx"
_IN_BINARY = "python -c \"import onnx; onnx.save(onnx.load('FILE', format='{}'), 'model.onnx')\""


class Foreign(NamedTuple):
    """What a file is, as the end of a sentence, and the next step."""

    what: str
    hint: str


def describe(path: Path, head: bytes) -> Foreign | None:
    """Return what a file is by its first bytes, else by the end of its name, or None where neither tells."""
    found = next((foreign for is_it, foreign in _BY_CONTENT if is_it(head)), None)
    if head.startswith(b"PK\x03\x04"):
        return _zip(path)
    if found is not None or not head:
        return found
    return _BY_SUFFIX.get(path.suffix.lower())


def _starts(*marks: bytes, at: int = 0) -> Callable[[bytes], bool]:
    return lambda head: any(head[at:].startswith(mark) for mark in marks)


def _matches(pattern: bytes) -> Callable[[bytes], bool]:
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda head: compiled.match(head) is not None


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") < 1 << 32


_TORCH = Foreign("is a PyTorch file", _EXPORT)
_ENGINE = Foreign(
    "is an engine that TensorRT has built, not a model",
    "look into it: trtconv inspect FILE; load it: trtconv.load_engine(path)",
)
_BY_CONTENT: tuple[tuple[Callable[[bytes], bool], Foreign], ...] = (
    (_starts(b"ftrt", b"vtrt"), _ENGINE),
    (_starts(b"version https://git-lfs"), Foreign("is a Git LFS pointer, not the model", "run: git lfs pull")),
    (
        _starts(b"ORTM", at=4),
        Foreign("is in ONNX Runtime's own format (.ort)", "build from the .onnx file that it was made of"),
    ),
    (
        _starts(b"TFL3", at=4),
        Foreign("is a TensorFlow Lite model", f"{_FROM_TENSORFLOW} --tflite FILE --output model.onnx"),
    ),
    (
        _starts(b"\x89HDF"),
        Foreign("is a Keras or HDF5 file", _SAVED_MODEL),
    ),
    (_starts(b"\x1f\x8b"), Foreign("is compressed with gzip", "unpack it first: gunzip FILE")),
    (_starts(b"\xfd7zXZ"), Foreign("is compressed with xz", "unpack it first: unxz FILE")),
    (_starts(b"BZh"), Foreign("is compressed with bzip2", "unpack it first: bunzip2 FILE")),
    (_starts(b"\x28\xb5\x2f\xfd"), Foreign("is compressed with zstd", "unpack it first: unzstd FILE")),
    (_starts(b"7z\xbc\xaf", b"Rar!"), Foreign("is an archive", "unpack it first")),
    (_starts(b"ustar", at=257), Foreign("is a tar archive", "unpack it first: tar -xf FILE")),
    (_starts(b"GGUF"), Foreign("is a GGUF file of weights, without a graph", _EXPORT)),
    (_matches(rb"\x80[\x02-\x05][}\x8a\x95c]"), _TORCH),  # a pickle, as torch.save wrote them before zip files
    (_is_safetensors, Foreign("is a safetensors file: weights, without a graph", _EXPORT)),
    (
        _matches(rb"\s*\{"),
        Foreign(
            "is JSON, not an ONNX model in its binary form",
            f"if it is ONNX's JSON: {_IN_BINARY.format('json')}",
        ),
    ),
    (
        _matches(rb"\s*(?:#[^\n]*\n\s*)*(?:ir_version|opset_import|producer_name|graph)\s*[:{]"),
        Foreign(
            "is an ONNX model as text, not in its binary form",
            _IN_BINARY.format("textproto"),
        ),
    ),
    (
        _matches(rb"\s*<\s*ir_version"),
        Foreign(
            "is an ONNX model as text, not in its binary form",
            _IN_BINARY.format("onnxtxt"),
        ),
    ),
    (
        _matches(rb"\s*<(?:!doctype|html)"),
        Foreign("is not an ONNX model but a web page", "download the file itself again"),
    ),
    (_matches(rb"\s*<\?xml"), Foreign("is XML, not an ONNX model", "build from the ONNX file that it was made of")),
)
_TENSORFLOW = Foreign("is not an ONNX model; a .pb file is TensorFlow's", _SAVED_MODEL)
_BY_SUFFIX = {
    ".pb": _TENSORFLOW,
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".ckpt": _TORCH,
    ".mlmodel": Foreign("is not an ONNX model; a .mlmodel file is Core ML's", "export the original model to ONNX"),
    ".engine": Foreign("is not an ONNX model; an .engine file is built from one", "name the .onnx file"),
    ".plan": Foreign("is not an ONNX model; a .plan file is built from one", "name the .onnx file"),
    ".trt": Foreign("is not an ONNX model; a .trt file is built from one", "name the .onnx file"),
}


def _zip(path: Path) -> Foreign:
    """Tell what a zip file holds: PyTorch and Keras use them as their formats."""
    names: list[str] = []
    with (
        contextlib.suppress(TrtconvError, zipfile.BadZipFile, NotImplementedError),
        reading.opened(path, reading.FILE) as file,
        zipfile.ZipFile(SmallReads(file, _MAX_DIRECTORY_BYTES)) as archive,
    ):
        names = archive.namelist()
    if any(name.endswith(("data.pkl", "constants.pkl")) for name in names):
        return _TORCH
    if "model.weights.h5" in names:
        return Foreign("is a Keras file", _SAVED_MODEL)
    models = [name for name in names if name.endswith(".onnx")]
    hint = f"unpack it first: unzip FILE {models[0]}" if models else "unpack it first: unzip FILE"
    return Foreign("is a zip archive", hint)
