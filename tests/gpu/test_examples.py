"""The examples run as a user runs them, and find their own results right."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.gpu.needs import TENSORRT_ON_GPU
from tests.support.command_line import environment
from trtconv.plugins import library as plugin_library

pytestmark = TENSORRT_ON_GPU

EXAMPLES = Path(__file__).parents[2] / "examples"
HEADERS_VARIABLE = "TRTCONV_TENSORRT_HEADERS"


def run(*command: object) -> str:
    """Run a program and return what it printed; it must succeed."""
    finished = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, env=environment(), timeout=300
    )
    assert finished.returncode == 0, f"{command}\n{finished.stdout}\n{finished.stderr}"
    return finished.stdout


def assert_right(output: str) -> None:
    print(f"\nRESULT {output.strip()}")
    assert re.search(r"^right: max\|error\| ", output, re.MULTILINE), output


def test_residual_block_in_python(tmp_path: Path) -> None:
    assert_right(run(sys.executable, EXAMPLES / "python" / "residual_block.py", tmp_path / "block.engine"))
    assert (tmp_path / "block.engine").stat().st_size > 0


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ examples, configured and compiled as their CMakeLists.txt says."""
    for tool in ("cmake", "c++", "nvcc"):
        if shutil.which(tool) is None and not Path("/usr/local/cuda/bin", tool).exists():
            pytest.skip(f"needs {tool}")
    headers, parser_headers = folder_with("NvInfer.h"), folder_with("NvOnnxParser.h")
    libraries = {name: file_of(name) for name in ("nvinfer", "nvonnxparser")}
    if headers is None or libraries["nvinfer"] is None:
        pytest.skip(
            f"needs TensorRT's headers of this version in {HEADERS_VARIABLE}, and libnvinfer on the library path"
        )
    found = {
        "TENSORRT_INCLUDE_DIR": headers,
        "NVINFER_LIBRARY": libraries["nvinfer"],
        "NVONNXPARSER_INCLUDE_DIR": parser_headers,
        "NVONNXPARSER_LIBRARY": libraries["nvonnxparser"],
    }
    build = tmp_path_factory.mktemp("examples")
    options = [f"-D{name}={path}" for name, path in found.items() if path is not None]
    run("cmake", "-S", EXAMPLES / "cpp", "-B", build, *options)
    run("cmake", "--build", build, "--parallel", "4")
    return build


def test_network_written_by_hand_in_cpp(programs: Path, tmp_path: Path) -> None:
    assert_right(run(programs / "hand_written", plugin_library.find().path, tmp_path / "block.engine"))


def test_parsed_network_in_cpp(programs: Path, tmp_path: Path) -> None:
    if not (programs / "parsed").exists():
        pytest.skip(f"needs NvOnnxParser.h in {HEADERS_VARIABLE}, and libnvonnxparser on the library path")
    model = tmp_path / "rewritten.onnx"
    run(sys.executable, EXAMPLES / "cpp" / "make_model.py", model)
    assert_right(run(programs / "parsed", plugin_library.find().path, model, tmp_path / "block.engine"))


def test_missing_plugin_library_is_told_in_cpp(programs: Path, tmp_path: Path) -> None:
    command = [str(programs / "hand_written"), "/no/such/library.so", str(tmp_path / "block.engine")]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert "error: /no/such/library.so is not loaded by TensorRT" in finished.stderr
    assert not (tmp_path / "block.engine").exists()


def folder_with(header: str) -> Path | None:
    """Return the folder of a header, that of the TensorRT that runs here where there are several."""
    import tensorrt

    release = ".".join(tensorrt.__version__.split(".")[:2])
    named = os.environ.get(HEADERS_VARIABLE)
    found = sorted(path.parent for path in Path(named).rglob(header)) if named else []
    matching = [path for path in found if path.name.endswith(f"tensorrt-{release}")]
    if header == "NvOnnxParser.h":  # its interface has not changed since 10.1
        return next(iter([*matching, *found]), None)
    return next(iter(matching), found[0] if len(found) == 1 else None)


def file_of(library: str) -> Path | None:
    """Return the library that the process would load by name: pip's packages hold no lib*.so without a version."""
    import tensorrt

    name = f"lib{library}.so.{tensorrt.__version__.split('.')[0]}"
    places = [Path(place) for place in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if place]
    package = find_spec("tensorrt_libs")
    places += [Path(place) for place in (package.submodule_search_locations or [])] if package else []
    return next((place / name for place in places if (place / name).exists()), None)
