"""What mutation begins with: valid files of every kind that trtconv reads."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from PIL import Image

from tests.support import golden
from tests.support.command_line import MODELS, OPSET_17
from tests.support.engine_files import DATA, MANIFEST, engine_bytes
from trtconv import decisions
from trtconv.decisions import Decision

MAX_MODEL_BYTES = 1 << 14  # mutations of weights prove little, and large models take the time of many small ones
CASES_VARIABLE = "TRTCONV_TEST_CASES"


@cache
def model(name: str) -> bytes:
    """Return one of the command line's small models."""
    return onnx.parser.parse_model(OPSET_17 + MODELS[name]).SerializeToString()


@cache
def models() -> tuple[bytes, ...]:
    """Return the models of the golden cases, of the command line's tests, and of TRTCONV_TEST_CASES if it is set."""
    found = [model(name) for name in MODELS]
    for path in golden.case_paths():
        case = golden.read_case(path)
        found.append(case.model.SerializeToString())
        if case.expected_text is not None:
            found.append(onnx.parser.parse_model(case.expected_text).SerializeToString())
    for folder in filter(None, [os.environ.get(CASES_VARIABLE)]):
        paths = sorted(Path(folder).rglob("*.onnx"))
        found += [path.read_bytes() for path in paths if path.stat().st_size <= MAX_MODEL_BYTES]
    return _different(found)


@cache
def manifests() -> tuple[bytes, ...]:
    """Return manifests of engines, among them those that trtconv 0.1.0 wrote."""
    written = [path.read_bytes() for path in sorted((DATA / "manifests").glob("*.json"))]
    return (*written, json.dumps(MANIFEST).encode())


@cache
def decision_files() -> tuple[bytes, ...]:
    """Return decision files for the model `static`: one that it obeys, one that keeps a node native, an empty one."""
    pad = Decision("/pad", "Pad(reflect)", "trtconv::ReflectPad", "float32, rank 4")
    norm = Decision("/norm", "InstanceNormalization", None, "slower here", {"seconds": [0.5, 1e-3]})
    contents = ([pad], [norm, pad], [])
    files = (decisions.DecisionFile(decisions.FORMAT, each, "static.onnx") for each in contents)
    return tuple(json.dumps(file.to_json()).encode() for file in files)


@cache
def input_files() -> tuple[tuple[str, bytes], ...]:
    """Return suffix and content of inputs for the model `static`."""
    x = np.arange(192, dtype=np.float32).reshape(1, 3, 8, 8)
    arrays: list[Callable[[io.BytesIO], None]] = [
        lambda file: np.savez(file, x=x),
        lambda file: np.savez_compressed(file, x=x, other=x.astype(np.float16)),
        lambda file: np.savez(file, x=np.asfortranarray(x), y=np.array(["text"])),
    ]
    found = [(".npz", _content(write)) for write in arrays]
    found.append((".npy", _content(lambda file: np.save(file, x))))
    image = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    found += [(f".{kind}", _content(lambda file, kind=kind: image.save(file, kind))) for kind in ("png", "bmp", "gif")]
    return tuple(found)


@cache
def timing_caches() -> tuple[bytes, ...]:
    """Return contents that stand for a timing cache: TensorRT's own are bytes without a published form."""
    return (b"", bytes(range(256)), b"ptrt" + bytes(168))


@cache
def engines() -> tuple[bytes, ...]:
    """Return files that begin as engines of both backends do."""
    return (engine_bytes(), engine_bytes(b"ptrt", (1, 7, 1, 116)), engine_bytes(num_bytes=1 << 40))


def _content(write: Callable[[io.BytesIO], None]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def _different(found: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(found))
