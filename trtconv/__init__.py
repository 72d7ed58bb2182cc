"""ONNX models to TensorRT engines, with CUDA plugins for InstanceNormalization and reflect padding.

import trtconv
report = trtconv.build("model.onnx", precision="fp16", shapes={"image": (1, 3, 720, 1280)})
y = trtconv.Runner("model.engine")(x)
"""

from __future__ import annotations

TYPE_CHECKING = False  # which checkers take for true; typing takes as long to import as all of Python before

if TYPE_CHECKING:
    from typing import Any

    from trtconv import plugins
    from trtconv.comparison.comparing import CompareConfig
    from trtconv.config import BuildConfig
    from trtconv.convert import refit_engine
    from trtconv.engine.loading import load_engine
    from trtconv.errors import TrtconvError
    from trtconv.runner import Runner
    from trtconv.shapes import ShapeRange
    from trtconv.workers.calls import build, compare, dry_run, rewrite
    from trtconv.workers.limits import Limits

    __version__: str

# Where each public name comes from.
_MODULE_OF = {
    "BuildConfig": "config",
    "CompareConfig": "comparison.comparing",
    "Limits": "workers.limits",
    "Runner": "runner",
    "ShapeRange": "shapes",
    "TrtconvError": "errors",
    "build": "workers.calls",
    "compare": "workers.calls",
    "dry_run": "workers.calls",
    "load_engine": "engine.loading",
    "refit_engine": "convert",
    "rewrite": "workers.calls",
}

__all__ = [
    "BuildConfig",
    "CompareConfig",
    "Limits",
    "Runner",
    "ShapeRange",
    "TrtconvError",
    "__version__",
    "build",
    "compare",
    "dry_run",
    "load_engine",
    "plugins",
    "refit_engine",
    "rewrite",
]


if not TYPE_CHECKING:  # checkers see the imports above, and refuse other names

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used: `trtconv --help` must not wait for onnx."""
        import importlib

        if name == "plugins":
            return importlib.import_module(f"{__name__}.plugins")
        if name == "__version__":
            return importlib.import_module("importlib.metadata").version(__name__)
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
