"""Fixtures of the GPU tests."""

from __future__ import annotations

import pytest

from tests.gpu.kernel_library import TorchKernels


@pytest.fixture(scope="module")
def kernels() -> TorchKernels:
    return TorchKernels()
