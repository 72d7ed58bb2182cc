"""What the tests of engines need."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from trtconv.gpu.driver import find_gpu

HAS_TENSORRT_AND_GPU = find_gpu() is not None and find_spec("tensorrt") is not None
NEEDED = "needs a GPU and the package tensorrt"

# `pytestmark` of a module whose tests all build or run engines.
TENSORRT_ON_GPU = [pytest.mark.gpu, pytest.mark.skipif(not HAS_TENSORRT_AND_GPU, reason=NEEDED)]
