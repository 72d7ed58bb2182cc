"""Fixtures of the GPU tests."""

from __future__ import annotations

import sys
import zlib

import pytest

from tests.gpu.kernel_library import TorchKernels


@pytest.fixture(scope="module")
def kernels() -> TorchKernels:
    return TorchKernels()


@pytest.fixture(autouse=True)
def seeded(request: pytest.FixtureRequest) -> None:
    """Give each test random numbers of its own, whatever ran before it."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(zlib.crc32(request.node.nodeid.encode()))
