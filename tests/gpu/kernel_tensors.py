"""Tensors for the kernel tests: surrounded by poison, so that a write beside them shows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tests.gpu.cuda_torch import torch
from tests.gpu.kernel_library import Tensor

GUARD = 64  # elements before and after a tensor that no kernel may touch
POISON = 0x5A


def guarded_tensor(shape: Sequence[int], dtype: torch.dtype, misalignment: int = 0) -> tuple[Tensor, Tensor]:
    """Return a tensor inside a poisoned buffer, `misalignment` elements past an aligned address, and the buffer."""
    buffer = torch.empty(GUARD * 2 + misalignment + math.prod(shape), dtype=dtype, device="cuda")
    buffer.view(torch.uint8).fill_(POISON)
    begin = GUARD + misalignment
    return buffer[begin : begin + math.prod(shape)].view(*shape), buffer


def guards_are_intact(tensor: Tensor, buffer: Tensor) -> bool:
    begin = (tensor.data_ptr() - buffer.data_ptr()) // tensor.element_size()
    outside = torch.cat([buffer[:begin], buffer[begin + tensor.numel() :]])
    return bool((outside.view(torch.uint8) == POISON).all())


def to_numpy(tensor: Tensor) -> np.ndarray:
    """Return the values; bfloat16, which numpy lacks, as float32."""
    return tensor.float().cpu().numpy() if tensor.dtype == torch.bfloat16 else tensor.cpu().numpy()
