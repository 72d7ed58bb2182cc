"""The workspace of channels-last norms: what launches index of it, computed on the host."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
from host_compiler import load_cpp

from tests.plugins.host_build import STAND_INS
from tests.support.extent import num_examples

SEED = 17
NUM_NORMS = num_examples(800_000)


@pytest.fixture(scope="module")
def maths() -> ctypes.CDLL:
    here = Path(__file__).parent
    library = load_cpp(here / "host_norm_workspace.cpp", "-iquote", str(STAND_INS), f"-I{STAND_INS}", f"-I{here}")
    library.host_norm_workspace.restype = ctypes.c_char_p
    library.host_norm_workspace_bytes.restype = ctypes.c_int64
    return library


def test_no_launch_indexes_more_than_a_larger_norm_asked_for(maths: ctypes.CDLL) -> None:
    """On GPUs of 1 to 600 multiprocessors; some norm of each method with a workspace needs every byte of it."""
    methods = ctypes.c_char_p()
    problem = maths.host_norm_workspace(ctypes.c_int64(SEED), ctypes.c_int64(NUM_NORMS), ctypes.byref(methods))
    assert not problem, problem.decode()
    assert set((methods.value or b"").decode().splitlines()) == {
        *("block", "cluster", "grid", "streamed", "split"),
        *("grid *", "streamed *", "split *"),
    }


@pytest.mark.parametrize("splits", [1, 2, 7, 8, 9, 132, 512])
@pytest.mark.parametrize("column_channels", [4, 32, 64])
def test_exchanged_numbers_lie_apart(maths: ctypes.CDLL, column_channels: int, splits: int) -> None:
    assert maths.host_are_exchanged_apart(column_channels, splits)
