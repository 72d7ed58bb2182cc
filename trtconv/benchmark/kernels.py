"""Call the plugin library's C launchers, which plugins_cuda/trtconv_kernels.h declares, on device addresses."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from trtconv.benchmark.cases import DTYPES, EPSILON, LAYOUTS, Case
from trtconv.errors import BackendError
from trtconv.plugins import library as plugin_library

NORM_DTYPES = {"fp32": 0, "fp16": 1, "bf16": 2}  # TRTCONV_FLOAT32 and so on
_ERROR_TYPE = -2  # TRTCONV_ERROR_TYPE


class NotOfferedError(BackendError):
    """The library has no kernel for a case."""


@dataclass(frozen=True)
class Tensors:
    """The device addresses of one launch."""

    x: int
    y: int
    scale: int = 0
    bias: int = 0
    workspace: int = 0


class KernelLibrary:
    """The launchers of libtrtconv_plugins.so."""

    def __init__(self, library: Any) -> None:
        self._library = library
        library.trtconv_instance_norm_workspace_bytes.restype = ctypes.c_size_t

    def workspace_bytes(self, case: Case) -> int:
        """Return how much scratch memory a launch needs."""
        if case.op == "ReflectPad":
            return 0
        sizes = (*case.shape[:2], math.prod(case.shape[2:]))
        layout = ctypes.c_int32(LAYOUTS[case.format])
        return int(self._library.trtconv_instance_norm_workspace_bytes(*map(ctypes.c_int64, sizes), layout))

    def bind(self, case: Case, tensors: Tensors) -> Callable[[int], None]:
        """Return launch(stream), its arguments converted once so that little but the launch itself takes time."""
        launcher, arguments, keep = (
            self._instance_norm(case, tensors) if case.op == "InstanceNorm" else (self._reflect_pad(case, tensors))
        )

        def launch(stream: int, keep_alive: Any = keep) -> None:
            status = launcher(*arguments, ctypes.c_void_p(stream))
            if status != 0:
                raise _error(case, status)

        return launch

    def _instance_norm(self, case: Case, tensors: Tensors) -> tuple[Any, list[Any], Any]:
        addresses = (tensors.x, tensors.scale, tensors.bias, tensors.y)
        sizes = (*case.shape[:2], math.prod(case.shape[2:]))
        return (
            self._library.trtconv_instance_norm,
            [
                *map(ctypes.c_void_p, addresses),
                *map(ctypes.c_int64, sizes),
                ctypes.c_float(EPSILON),
                ctypes.c_int32(NORM_DTYPES[case.dtype]),
                ctypes.c_int32(LAYOUTS[case.format]),
                ctypes.c_void_p(tensors.workspace),
                ctypes.c_size_t(self.workspace_bytes(case)),
            ],
            None,
        )

    def _reflect_pad(self, case: Case, tensors: Tensors) -> tuple[Any, list[Any], Any]:
        sizes, pads = (np.array(values, dtype=np.int64) for values in (case.shape, case.pads))
        return (
            self._library.trtconv_reflect_pad,
            [
                ctypes.c_void_p(tensors.x),
                ctypes.c_void_p(tensors.y),
                ctypes.c_int32(len(sizes)),
                ctypes.c_void_p(sizes.ctypes.data),
                ctypes.c_void_p(pads.ctypes.data),
                ctypes.c_int32(np.dtype(DTYPES[case.dtype]).itemsize),
                ctypes.c_int32(LAYOUTS[case.format]),
            ],
            (sizes, pads),
        )


def load_kernels() -> tuple[KernelLibrary, plugin_library.PluginLibrary]:
    """Return the launchers, and the description of the library that they are of."""
    described = plugin_library.find()
    try:
        return KernelLibrary(ctypes.CDLL(str(described.path))), described
    except (OSError, AttributeError) as error:
        raise BackendError(f"is no plugin library of this version: {error}", where=str(described.path)) from error


def _error(case: Case, status: int) -> BackendError:
    if status == _ERROR_TYPE:
        return NotOfferedError(f"the plugin library has no kernel for {case.name}")
    kind = "CUDA error" if status > 0 else "launcher status"
    return BackendError(f"the kernel could not be launched: {kind} {status}", where=case.name)
