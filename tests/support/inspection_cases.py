"""Golden inspections: a model in ONNX text, and what `trtconv inspect` prints of it at 80 and at 140 columns.

`python -m tests.support.inspection_cases` writes the outputs of all cases anew; read the diff.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from unittest import mock

import onnx
import onnx.parser

from tests.support.engine_files import DATA, H100, MANIFEST, write_engine
from tests.support.fake_engine import FakeEngine
from trtconv.engine import loading
from trtconv.inspection import engine_inspection, model_inspection
from trtconv.inspection.engine_inspection import inspect_engine
from trtconv.inspection.model_inspection import inspect_model
from trtconv.inspection.model_report import ModelInspection
from trtconv.inspection.op_support import BackendCheck
from trtconv.plugins import library as plugin_library

FOLDER = Path(__file__).parents[1] / "data" / "inspect"
ENGINE_FOLDER = Path(__file__).parents[1] / "data" / "inspect_engine"
WIDTHS = (80, 140)
_OUTPUT_MARK = "# output"
# Which TensorRT is at hand is no part of a golden file, nor how this version of protobuf writes the model.
_BACKEND = BackendCheck("TensorRT-RTX 1.7.1", True, "its parser accepts the model")
_FILE = re.compile(r"\([^()]* sha256 [0-9a-f]{12}\)")


def case_paths() -> list[Path]:
    """Return all case files."""
    return sorted(FOLDER.glob("*.txt"))


def read_model(path: Path) -> onnx.ModelProto:
    """Return the model of a case."""
    return onnx.parser.parse_model(path.read_text().partition(_OUTPUT_MARK)[0])


def inspect_case(path: Path) -> ModelInspection:
    """Inspect the model of a case, from a file called model.onnx in the current folder."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            onnx.save(read_model(path), "model.onnx")
            with mock.patch.object(model_inspection, "check_backend", return_value=_BACKEND):
                return inspect_model("model.onnx", ops="plugin")  # predicted times are no part of it, either
        finally:
            os.chdir(before)


def outputs(inspection: ModelInspection) -> str:
    """Return what the case file holds behind its model."""
    texts = (f"{_OUTPUT_MARK} at {width} columns\n{inspection.render(width)}\n" for width in WIDTHS)
    return _FILE.sub("(size, sha256)", "".join(texts))


def expected_outputs(path: Path) -> str:
    """Return what the case file says."""
    text = path.read_text()
    return text[text.index(_OUTPUT_MARK) :]


def loaded_engine_text(width: int) -> str:
    """Return the inspection of an engine that loads, as TensorRT 10 tells it, on a machine with a GPU."""
    fake = FakeEngine((DATA / "inspector_10.json").read_text())
    library = plugin_library.PluginLibrary(Path("libtrtconv_plugins.so"), "1" * 64, ())
    before = Path.cwd()
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(engine_inspection, "find_gpu", return_value=H100),
        mock.patch.object(engine_inspection, "backend_version", return_value="10.6.0"),
        mock.patch.object(loading, "load_engine", return_value=fake),
        mock.patch.object(plugin_library, "find", return_value=library),
    ):
        os.chdir(folder)
        try:
            return inspect_engine(write_engine(Path(), MANIFEST)).render(width) + "\n"
        finally:
            os.chdir(before)


def main() -> int:
    """Write the outputs of every case anew."""
    for width in WIDTHS:
        (ENGINE_FOLDER / f"loaded_{width}.txt").write_text(loaded_engine_text(width))
    for path in case_paths():
        model = path.read_text().partition(_OUTPUT_MARK)[0].rstrip() + "\n"
        text = model + outputs(inspect_case(path))
        if text != path.read_text():
            path.write_text(text)
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
