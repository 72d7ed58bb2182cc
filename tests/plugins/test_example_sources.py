"""The examples in C++ compile against NVIDIA's headers of every version that has plugins.

TRTCONV_TENSORRT_HEADERS names a folder with one folder of headers per release. What that lacks - CUDA's headers, and
those of the ONNX parser - is declared here as far as the examples use it, unless this machine has the real ones.
"""

from __future__ import annotations

import os
from importlib import util
from pathlib import Path

import pytest
from host_compiler import REPOSITORY, compile_cpp

from tests.support.extent import part

EXAMPLES = REPOSITORY / "examples" / "cpp"

CUDA_RUNTIME = """
#pragma once
#include <cstddef>
typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;
enum cudaError_t { cudaSuccess = 0 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 };
extern "C" {
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaMemcpyAsync(void* to, void const* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaStreamCreate(cudaStream_t* stream);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
char const* cudaGetErrorString(cudaError_t status);
}
"""
ONNX_PARSER = """
#pragma once
#include <NvInfer.h>
namespace nvonnxparser
{
struct IParserError
{
    virtual char const* desc() const = 0;
};
struct IParser
{
    virtual bool parseFromFile(char const* path, int verbosity) noexcept = 0;
    virtual int getNbErrors() const noexcept = 0;
    virtual IParserError const* getError(int index) const noexcept = 0;
    virtual ~IParser() noexcept = default;
};
IParser* createParser(nvinfer1::INetworkDefinition& network, nvinfer1::ILogger& logger) noexcept;
}
"""


def releases_with_plugins() -> list[Path]:
    folder = os.environ.get("TRTCONV_TENSORRT_HEADERS")
    headers = sorted(path.parent for path in Path(folder).rglob("NvInfer.h")) if folder else []
    return [path for path in headers if "addPluginV3" in (path / "NvInfer.h").read_text()]


def folder_of(header: str) -> Path | None:
    """Return where this machine has a header, if it has it."""
    package = util.find_spec("nvidia")
    places = [Path(place, "cu13", "include") for place in (package.submodule_search_locations or [])] if package else []
    places.append(Path("/usr/local/cuda/include"))
    if named := os.environ.get("TRTCONV_TENSORRT_HEADERS"):
        places += [path.parent for path in Path(named).rglob(header)]
    return next((place for place in places if (place / header).exists()), None)


@pytest.fixture(scope="session")
def include_options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    declared = tmp_path_factory.mktemp("declared")
    options = [f"-isystem{declared}"]
    for header, text in (("cuda_runtime_api.h", CUDA_RUNTIME), ("NvOnnxParser.h", ONNX_PARSER)):
        if (folder := folder_of(header)) is not None:
            options.append(f"-isystem{folder}")
        else:
            (declared / header).write_text(text)
    return options


RELEASES = releases_with_plugins()


@pytest.mark.skipif(not RELEASES, reason="TRTCONV_TENSORRT_HEADERS names no folder of TensorRT headers")
@pytest.mark.parametrize("source", sorted(EXAMPLES.glob("*.cpp")), ids=lambda path: path.name)
@pytest.mark.parametrize(
    "headers", part(RELEASES, {*RELEASES[:1], *RELEASES[-1:]}.__contains__), ids=lambda path: path.name
)
def test_example_compiles(headers: Path, source: Path, include_options: list[str], tmp_path: Path) -> None:
    warnings = ("-Wall", "-Wextra", "-Werror", "-Wno-deprecated-declarations")  # 11 deprecates the strongly typed flag
    compile_cpp(source, tmp_path / "example.o", "-fsyntax-only", *warnings, f"-isystem{headers}", *include_options)


def test_all_examples_are_looked_at() -> None:
    assert {path.name for path in EXAMPLES.glob("*.cpp")} == {"example.cpp", "hand_written.cpp", "parsed.cpp"}
