"""Which versions are installed, by the packages' own metadata: nothing is imported."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence

# The names under which each thing is distributed; TensorRT's own package is a shell around others.
DISTRIBUTIONS: Mapping[str, Sequence[str]] = {
    "trtconv": ("trtconv",),
    "onnx": ("onnx",),
    "onnx-graphsurgeon": ("onnx-graphsurgeon",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "polygraphy": ("polygraphy",),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu13-bindings", "tensorrt-cu12-bindings"),
    "tensorrt-rtx": ("tensorrt-rtx", "tensorrt-rtx-cu13", "tensorrt-rtx-cu12"),
}
_HOW_TO_INSTALL: Mapping[str, str] = {
    "tensorrt": "pip install 'trtconv[tensorrt]' (needs an NVIDIA GPU)",
    "tensorrt-rtx": "pip install 'trtconv[rtx]' (builds anywhere)",
}


def install_hint(*backends: str) -> str:
    """Return how to install one of `backends`, each `tensorrt` or `tensorrt-rtx`."""
    return f"run: {' or '.join(_HOW_TO_INSTALL[backend] for backend in backends)}"


def installed_versions() -> dict[str, str | None]:
    """Return the version of each package that trtconv works with, None for one that is not installed."""
    return {name: _version(distributions) for name, distributions in DISTRIBUTIONS.items()}


def backend_version(backend: str) -> str | None:
    """Return the installed version of `tensorrt` or `tensorrt-rtx`, None where it is not installed."""
    return _version(DISTRIBUTIONS[backend])


def _version(distributions: Sequence[str]) -> str | None:
    for distribution in distributions:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
