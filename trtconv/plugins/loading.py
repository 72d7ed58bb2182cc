"""Load the plugin library into the registry of a TensorRT module that the caller has imported."""

from __future__ import annotations

import ctypes
import weakref
from pathlib import Path
from typing import Any

from trtconv.errors import BackendError
from trtconv.manifest import Manifest
from trtconv.ops import CUSTOM_OPS
from trtconv.ops.custom_op import DOMAIN, VERSION
from trtconv.plugins import library as plugin_library
from trtconv.plugins.library import PluginLibrary

# The TensorRT modules whose registry holds the plugins: a registry is the process's, and so is what is known of it.
_holding: weakref.WeakSet[Any] = weakref.WeakSet()


def load_plugins_for(manifest: Manifest | None, trt: Any, logger: Any) -> str | None:
    """Load the plugin library for an engine whose manifest names plugins, or may need some: it has no manifest.

    Returns why it could not be loaded for an engine without a manifest, which may do without.
    """
    if manifest is not None and manifest.plugins:
        load_plugins(trt, logger)
    elif manifest is None:
        try:
            load_plugins(trt, logger)
        except BackendError as error:
            return str(error)
    return None


def load_plugins(trt: Any, logger: Any = None) -> PluginLibrary:
    """Load the plugin library into TensorRT's registry, once a process; an error names what `logger` was told.

    The registry is asked what it holds only the first time: it logs an error for each creator that it lacks.
    """
    library = plugin_library.find()
    if trt in _holding:
        return library
    registry = trt.get_plugin_registry()
    is_loaded = all(registry.get_creator(name, str(VERSION), DOMAIN) for name in CUSTOM_OPS)
    if not is_loaded and registry.load_library(str(library.path)) is None:
        what = f"TensorRT does not load the plugin library: {_why_not_loaded(library.path, logger)}"
        raise BackendError(what, where=str(library.path))
    _holding.add(trt)
    return library


def _why_not_loaded(path: Path, logger: Any) -> str:
    """TensorRT's registry logs nothing where the dynamic linker refuses a file; the linker itself says why."""
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        return str(error)
    return "its log says why" if logger is None else str(logger.last_error())
