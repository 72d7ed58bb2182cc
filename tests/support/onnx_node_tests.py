"""ONNX's own test of each op, but for what is expected of pooling: ONNX computes that in Python, which takes 10 s."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx.backend.test.loader import load_model_tests
from onnx.reference.ops import op_pool_common


@functools.cache
def load_node_tests() -> list[Any]:
    """Return the node tests of ONNX; where an op pools, the expected outputs have the right shape and are zeros."""
    with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some divide by zero on purpose
        patched.setattr(op_pool_common, "pool", _zeros)
        return list(load_model_tests(kind="node"))


def _zeros(
    padded: Any, x_shape: Sequence[int], kernel: Any, strides: Any, out_shape: Sequence[int], *_: Any, **__: Any
) -> Any:
    return np.zeros([*x_shape[:2], *out_shape], padded.dtype)
