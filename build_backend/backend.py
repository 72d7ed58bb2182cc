"""The build back end: scikit-build-core, with the CUDA compiler from PyPI where the machine has none.

The plugin library needs a C++ compiler and nvcc. Machines without CUDA get NVIDIA's packages as build requirements;
those with an nvcc that is new enough use it and download nothing. plugins_cuda/cmake/FindCudaCompiler.cmake looks in
the same places and takes what is found here. With wheel.cmake=false, a setting of scikit-build-core's, the library
is left out and needs nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Any

from scikit_build_core import build as _scikit_build

build_sdist = _scikit_build.build_sdist
get_requires_for_build_sdist = _scikit_build.get_requires_for_build_sdist
prepare_metadata_for_build_editable = _scikit_build.prepare_metadata_for_build_editable
prepare_metadata_for_build_wheel = _scikit_build.prepare_metadata_for_build_wheel

MIN_NVCC = (12, 4)
CUDA_REQUIREMENTS = [
    f"{package}>=13.0,<14"
    for package in (
        "nvidia-cuda-nvcc",
        "nvidia-nvvm",
        "nvidia-cuda-crt",
        "nvidia-cuda-cccl",
        "nvidia-cuda-runtime",
    )
]
NO_COMPILER = (
    "trtconv compiles its CUDA plugins and found no C++ compiler; install one, for example with "
    "`apt-get install g++` (Debian, Ubuntu) or `dnf install gcc-c++` (Fedora, RHEL), or name one in CXX, and repeat."
)

ConfigSettings = dict[str, Any] | None


def build_wheel(
    wheel_directory: str, config_settings: ConfigSettings = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel with the plugin library in trtconv/lib."""
    require_host_compiler()
    return _scikit_build.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str, config_settings: ConfigSettings = None, metadata_directory: str | None = None
) -> str:
    """Build an editable install, with the plugin library in trtconv/lib of the source tree."""
    if not is_without_library(config_settings):
        require_host_compiler()
    return _scikit_build.build_editable(wheel_directory, config_settings, metadata_directory)


def get_requires_for_build_wheel(config_settings: ConfigSettings = None) -> list[str]:
    """Return the build requirements of a wheel on this machine."""
    require_host_compiler()
    return [*_scikit_build.get_requires_for_build_wheel(config_settings), *cuda_requirements()]


def get_requires_for_build_editable(config_settings: ConfigSettings = None) -> list[str]:
    """Return the build requirements of an editable install on this machine."""
    own = _scikit_build.get_requires_for_build_editable(config_settings)
    if is_without_library(config_settings):
        return own
    require_host_compiler()
    return [*own, *cuda_requirements()]


def is_without_library(config_settings: ConfigSettings) -> bool:
    """Say whether only the Python code is asked for."""
    return (config_settings or {}).get("wheel.cmake") == "false"


def require_host_compiler() -> None:
    """End the build with one sentence if there is no C++ compiler."""
    candidates = [os.environ["CXX"]] if "CXX" in os.environ else ["c++", "g++", "clang++"]
    if not any(shutil.which(candidate.split()[0]) for candidate in candidates if candidate.strip()):
        raise SystemExit(NO_COMPILER)


def cuda_requirements() -> list[str]:
    """Return NVIDIA's compiler packages, none if the machine has an nvcc that is new enough."""
    candidates = (os.environ.get("CUDACXX"), shutil.which("nvcc"), "/usr/local/cuda/bin/nvcc")
    # The first that exists decides, as in CMake.
    found = next((candidate for candidate in candidates if candidate and shutil.which(candidate)), None)
    return [] if found and nvcc_version(found) >= MIN_NVCC else CUDA_REQUIREMENTS


def nvcc_version(nvcc: str) -> tuple[int, ...]:
    """Return nvcc's (major, minor), (0, 0) if it does not run."""
    try:
        output = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return (0, 0)
    match = re.search(r"release (\d+)\.(\d+)", output)
    return (int(match[1]), int(match[2])) if match else (0, 0)
