"""The plugin library's C launchers, called on torch tensors."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trtconv.element_types import ELEMENT_TYPES
from trtconv.ops.output_map import padded_dims
from trtconv.plugins import library
from trtconv.plugins.kernels import LAYOUTS, KernelLibrary, NormOptions, OutputMap

BY_NAME = {each.name: each for each in ELEMENT_TYPES}
DTYPES = tuple(each.name for each in ELEMENT_TYPES if each.kernel is not None)
FORMAT_LINEAR, FORMAT_CHANNELS_LAST, FORMAT_CHW4, FORMAT_CHW32 = LAYOUTS.values()

Tensor = Any  # torch is not installed where this is type-checked


class TorchKernels(KernelLibrary):
    """The launchers on torch tensors; they raise KernelError.

    `shape` is [N, C, D1..Dk] where a tensor in another format than the linear one has another.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(ctypes.CDLL(str(path or library_path())))

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
        options: NormOptions = NormOptions(),  # noqa: B008 - immutable
    ) -> None:
        """Enqueue y = InstanceNorm(x, scale, bias); `workspace` is a tensor of bytes."""
        launch = self.bind_instance_norm(
            *(tensor.data_ptr() for tensor in (x, scale, bias, y)),
            shape=x.shape if shape is None else shape,
            element_type=BY_NAME[dtype_name(x)],
            epsilon=epsilon,
            layout=format_,
            workspace=0 if workspace is None else workspace.data_ptr(),
            workspace_bytes=0 if workspace is None else workspace.numel(),
            options=options,
        )
        launch(stream)

    def reflect_pad(
        self,
        x: Tensor,
        y: Tensor,
        pads: Sequence[int],
        stream: int = 0,
        *,
        shape: Sequence[int] | None = None,
        format_: int = FORMAT_LINEAR,
        output_map: OutputMap | None = None,
    ) -> None:
        """Enqueue y = ReflectPad(x); `pads` in ONNX order."""
        launch = self.bind_reflect_pad(
            x.data_ptr(),
            y.data_ptr(),
            shape=x.shape if shape is None else shape,
            pads=pads,
            element_bytes=x.element_size(),
            layout=format_,
            output_map=output_map,
        )
        launch(stream)


def library_path() -> Path:
    """Return where the plugin library is, or would be."""
    return library.searched_paths()[0]


def dtype_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def padded_shape(shape: Sequence[int], pads: Sequence[int]) -> tuple[int, ...]:
    return tuple(size for size in padded_dims(shape, pads) if isinstance(size, int))
