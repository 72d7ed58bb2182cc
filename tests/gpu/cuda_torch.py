"""torch, which puts the tensors of the kernel tests on the GPU: what imports it is skipped where either is missing."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the kernel tests put their tensors on the GPU with torch")
if not torch.cuda.is_available():
    pytest.skip("no CUDA device", allow_module_level=True)
