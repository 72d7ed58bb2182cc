"""ONNX models to TensorRT engines, with CUDA plugins for InstanceNormalization and reflect padding.

import trtconv
report = trtconv.build("model.onnx", trtconv.BuildConfig(output=Path("model.engine")))
engine = trtconv.load_engine("model.engine")
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "BuildConfig": "config",
    "CompareConfig": "comparison.comparing",
    "ShapeRange": "shapes",
    "TrtconvError": "errors",
    "build": "convert",
    "compare": "comparison.comparing",
    "Runner": "runner",
    "rewrite": "convert",
    "dry_run": "convert",
    "load_engine": "engine.loading",
    "refit_engine": "convert",
}
_MODULES = ("plugins",)

__all__ = [
    "BuildConfig",
    "CompareConfig",
    "Runner",
    "ShapeRange",
    "TrtconvError",
    "build",
    "compare",
    "dry_run",
    "load_engine",
    "plugins",
    "refit_engine",
    "rewrite",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `trtconv --help` must not wait for onnx."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
