"""A file that is no ONNX model is told for what it is, with the next step."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path

import onnx
import onnx.parser
import pytest
from google.protobuf import text_format

from tests.support.command_line import OPSET_17, run_here
from tests.support.engine_files import engine_bytes
from trtconv.errors import ModelError
from trtconv.model import model_io

MODEL = onnx.parser.parse_model(OPSET_17 + "g (float[1] x) => (float[1] y) { y = Relu(x) }")


def zipped(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return data.getvalue()


def tarred() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.onnx"))
    return data.getvalue()


HEADER = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
FILES = {
    "m.engine": (engine_bytes(), "is an engine that TensorRT has built", "trtconv inspect m.engine"),
    "renamed.onnx": (engine_bytes(b"vtrt"), "is an engine that TensorRT has built", "trtconv.load_engine"),
    "m.ort": (b"\x18\0\0\0ORTM" + bytes(40), "ONNX Runtime's own format", ".onnx"),
    "m.json": (json.dumps({"irVersion": "8", "graph": {}}).encode(), "is JSON", "onnx.load('m.json', format='json')"),
    "m.textproto": (text_format.MessageToString(MODEL).encode(), "model as text", "format='textproto'"),
    "m.onnxtxt": (onnx.printer.to_text(MODEL).encode(), "model as text", "format='onnxtxt'"),
    "m.onnx.gz": (gzip.compress(MODEL.SerializeToString()), "compressed with gzip", "gunzip m.onnx.gz"),
    "m.zip": (zipped("sub/m.onnx", "read.me"), "is a zip archive", "unzip m.zip sub/m.onnx"),
    "m.pt": (zipped("m/data.pkl", "m/data/0"), "is a PyTorch file", "torch.onnx.export"),
    "old.pth": (pickle.dumps({"w": 1}, protocol=2), "is a PyTorch file", "torch.onnx.export"),
    "m.keras": (zipped("config.json", "model.weights.h5"), "is a Keras file", "tf2onnx"),
    "m.safetensors": (len(HEADER).to_bytes(8, "little") + HEADER + bytes(4), "is a safetensors file", "torch.onnx"),
    "m.tflite": (b"\x1c\0\0\0TFL3" + bytes(40), "TensorFlow Lite", "--tflite m.tflite"),
    "m.pb": (b"\x0a\x05hello", "a .pb file is TensorFlow's", "tf2onnx"),
    "m.h5": (b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5", "tf2onnx"),
    "m.tar": (tarred(), "tar archive", "tar -xf m.tar"),
    "page.onnx": (b"<!DOCTYPE html><html>Not found</html>", "web page", "download"),
    "m.xml": (b'<?xml version="1.0"?><net/>', "is XML", "ONNX"),
    "odd.onnx": (b"\xff\xfe nothing that anybody knows", "is not an ONNX model, or it is damaged", "export"),
    "empty.onnx": (b"", "is not an ONNX model, or it is damaged", "export"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_is(tmp_path: Path, name: str) -> None:
    content, what, hint = FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        model_io.load(path)
    assert what in caught.value.what
    assert caught.value.hint
    assert hint in caught.value.hint
    result = run_here("build", path, "--backend", "tensorrt-rtx", cwd=tmp_path)
    assert result.exit_code == 3
    assert what in result.error
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["m.textproto", "m.onnxtxt"])
def test_the_line_of_the_hint_works(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_bytes(FILES[name][0])
    with pytest.raises(ModelError) as caught:
        model_io.load(tmp_path / name)
    assert caught.value.hint
    monkeypatch.chdir(tmp_path)
    exec(caught.value.hint.split('"')[1])
    assert model_io.load(tmp_path / "model.onnx").opset == 17
