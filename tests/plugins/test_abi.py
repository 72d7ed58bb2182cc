"""The declarations in plugins_cuda/abi against the golden file, and against NVIDIA's headers where a folder holds them.

TRTCONV_TENSORRT_HEADERS names a folder with one folder of headers per release (tensorrt-10.6, tensorrt-rtx-1.7, ...).
`python tests/plugins/test_abi.py` rewrites the golden file from our own declarations: do that only after the comparison
with NVIDIA's headers has passed.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from host_compiler import compile_cpp

PROBE = Path(__file__).with_name("abi_probe.cpp")
GOLDEN = Path(__file__).with_name("abi_golden.json")
RELEASES = ("10", "11")

CUDA_STUB = "typedef struct CUstream_st* cudaStream_t;\ntypedef struct CUevent_st* cudaEvent_t;\n"


def run_probe(folder: Path, *options: str) -> dict[str, str]:
    """Return what the probe prints when it is compiled with `options`."""
    program = compile_cpp(PROBE, folder / "probe", "-O0", *options)
    output = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    return dict(line.split("\t") for line in output.splitlines())


def probe_own_headers(folder: Path, release: str) -> dict[str, str]:
    return run_probe(folder, "-Wall", "-Wextra", "-DPROBE_OWN_HEADERS", f"-DPROBE_RELEASE={release}")


def released_headers() -> list[Path]:
    folder = os.environ.get("TRTCONV_TENSORRT_HEADERS")
    return sorted(path.parent for path in Path(folder).rglob("NvInferRuntime.h")) if folder else []


@pytest.mark.parametrize("release", RELEASES)
def test_own_declarations_match_golden_file(release: str, tmp_path: Path) -> None:
    assert probe_own_headers(tmp_path, release) == json.loads(GOLDEN.read_text())[release]


def test_golden_file_tells_the_releases_apart() -> None:
    golden = json.loads(GOLDEN.read_text())
    differing = {key for key in golden["10"] if golden["10"][key] != golden["11"][key]}
    assert {key.split()[1].split("::")[0] for key in differing} == {"ILogger", "ILoggerFinder", "IPluginRegistry"}


@pytest.mark.skipif(not released_headers(), reason="TRTCONV_TENSORRT_HEADERS names no folder with TensorRT headers")
@pytest.mark.parametrize("headers", released_headers(), ids=lambda path: path.name)
def test_released_headers_match_golden_file(headers: Path, tmp_path: Path) -> None:
    (tmp_path / "cuda_runtime_api.h").write_text(CUDA_STUB)
    facts = run_probe(tmp_path, "-w", f"-I{tmp_path}", f"-I{headers}")
    release = "10" if "-10." in headers.name else "11"
    assert facts == json.loads(GOLDEN.read_text())[release]


def write_golden_file() -> None:
    with tempfile.TemporaryDirectory() as folder:
        facts = {release: probe_own_headers(Path(folder), release) for release in RELEASES}
    GOLDEN.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    write_golden_file()
