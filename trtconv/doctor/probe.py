"""Try out a library or a backend in a process of its own: a crash there harms nobody and is itself an answer.

    probe.py library PATH              dlopen it, ask for its version
    probe.py backend MODULE [LIBRARY]  import the module, make a builder, let its registry load the plugin library

Each step prints one JSON line when it begins and one when it ends. This file imports nothing of trtconv: it is run by
its path.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

MARK = '{"step":'


def main(arguments: Sequence[str]) -> int:
    """Run one kind of probe."""
    kind, name, *rest = arguments
    if kind == "library":
        _probe_library(name)
    else:
        _probe_backend(name, *rest)
    return 0


def _probe_library(path: str) -> None:
    _tell("load")
    try:
        library = ctypes.CDLL(path, mode=os.RTLD_NOW)
    except OSError as error:
        _tell("load", error=str(error))
        return
    _tell("load", ok=True)
    _tell("version")
    function = getattr(library, "trtconv_plugin_library_version", None)
    if function is not None:
        function.restype = ctypes.c_char_p
        _tell("version", value=function().decode())


def _probe_backend(module_name: str, library: str | None = None, *plugins: str) -> None:
    _tell("import")
    try:
        trt = importlib.import_module(module_name)
    except (ImportError, OSError) as error:  # OSError: the package is there, a library that it loads is not
        _tell("import", error=str(error))
        return
    _tell("import", value=str(trt.__version__))
    logger = _logger(trt)
    if library is not None:
        _tell("plugins")
        registry = trt.get_plugin_registry()
        loaded = registry.load_library(library)
        missing = [name for name in plugins if not registry.get_creator(*name.split("|"))]
        if loaded is None or missing:
            _tell("plugins", error="its registry does not take the library")
        else:
            _tell("plugins", ok=True)
    _tell("builder")
    try:
        builder = trt.Builder(logger)
    except TypeError:  # pybind11's answer to a factory that gives nothing
        builder = None
    if builder is None:
        _tell("builder", error=" ".join((logger.errors or ["it gave no reason"])[0].split()))
    else:
        _tell("builder", ok=True)


def _logger(trt: Any) -> Any:
    severity = trt.ILogger.Severity

    class Logger(trt.ILogger):  # type: ignore[misc]
        """Keeps errors."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, level: Any, message: str) -> None:
            if level in (severity.ERROR, severity.INTERNAL_ERROR):
                self.errors.append(message)

    return Logger()


def _tell(step: str, **result: Any) -> None:
    print(json.dumps({"step": step, **result}), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
