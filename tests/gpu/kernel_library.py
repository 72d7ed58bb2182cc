"""The plugin library's C launchers, called on torch tensors."""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Sequence
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

DTYPES = ("float32", "float16", "bfloat16")
FORMAT_LINEAR, FORMAT_CHANNELS_LAST, FORMAT_CHW4, FORMAT_CHW32 = range(4)

Tensor = Any  # torch is not installed where this is type-checked


class KernelError(Exception):
    """A launcher returned a status other than 0: positive for a CUDA error, negative for a wrong argument."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class KernelLibrary:
    """libtrtconv_plugins.so: TRTCONV_PLUGIN_LIBRARY names it, else it is that of the installed package."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or library_path()
        self._library = ctypes.CDLL(str(self.path))
        self._library.trtconv_instance_norm_workspace_bytes.restype = ctypes.c_size_t
        self._library.trtconv_plugin_library_version.restype = ctypes.c_char_p

    def version(self) -> str:
        return str(self._library.trtconv_plugin_library_version().decode())

    def workspace_bytes(self, batch: int, channels: int, slice_size: int, format_: int = FORMAT_LINEAR) -> int:
        arguments = map(ctypes.c_int64, (batch, channels, slice_size))
        return int(self._library.trtconv_instance_norm_workspace_bytes(*arguments, format_))

    def instance_norm(
        self,
        x: Tensor,
        scale: Tensor,
        bias: Tensor,
        y: Tensor,
        epsilon: float,
        workspace: Tensor | None = None,
        stream: int = 0,
        *,
        shape: Sequence[int] | None = None,
        format_: int = FORMAT_LINEAR,
    ) -> None:
        """Enqueue y = InstanceNorm(x, scale, bias); `workspace` is a tensor of bytes.

        `shape` is [N, C, D1..Dk] where a tensor in another format than the linear one has another.
        """
        batch, channels, *sizes = x.shape if shape is None else shape
        status = self._library.trtconv_instance_norm(
            *(ctypes.c_void_p(tensor.data_ptr()) for tensor in (x, scale, bias, y)),
            *map(ctypes.c_int64, (batch, channels, math.prod(sizes))),
            ctypes.c_float(epsilon),
            DTYPES.index(dtype_name(x)),
            format_,
            ctypes.c_void_p(0 if workspace is None else workspace.data_ptr()),
            ctypes.c_size_t(0 if workspace is None else workspace.numel()),
            ctypes.c_void_p(stream),
        )
        if status != 0:
            raise KernelError(status)

    def reflect_pad(
        self,
        x: Tensor,
        y: Tensor,
        pads: Sequence[int],
        stream: int = 0,
        *,
        shape: Sequence[int] | None = None,
        format_: int = FORMAT_LINEAR,
    ) -> None:
        """Enqueue y = ReflectPad(x); `pads` in ONNX order, `shape` as in instance_norm."""
        sizes = np.array(x.shape if shape is None else shape, dtype=np.int64)
        pads64 = np.array(pads, dtype=np.int64)
        status = self._library.trtconv_reflect_pad(
            ctypes.c_void_p(x.data_ptr()),
            ctypes.c_void_p(y.data_ptr()),
            len(sizes),
            _address(sizes),
            _address(pads64),
            x.element_size(),
            format_,
            ctypes.c_void_p(stream),
        )
        if status != 0:
            raise KernelError(status)


def library_path() -> Path:
    """Return where the plugin library is."""
    if named := os.environ.get("TRTCONV_PLUGIN_LIBRARY"):
        return Path(named)
    package = util.find_spec("trtconv")
    if package is None or package.origin is None:
        raise FileNotFoundError("TRTCONV_PLUGIN_LIBRARY is not set and trtconv is not installed")
    return Path(package.origin).parent / "lib" / "libtrtconv_plugins.so"


def dtype_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def padded_shape(shape: Sequence[int], pads: Sequence[int]) -> tuple[int, ...]:
    return tuple(size + pads[axis] + pads[len(shape) + axis] for axis, size in enumerate(shape))


def _address(array: npt.NDArray[np.int64]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
