"""Fixtures of the plugin tests."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from host_compiler import load_cpp
from host_tools import LinearConstants, pointer


@pytest.fixture(scope="session")
def maths() -> ctypes.CDLL:
    norm, pad = (Path(__file__).with_name(f"host_{op}.cpp") for op in ("instance_norm", "reflect_pad"))
    library = load_cpp(norm, str(pad))
    library.host_workspace_partials.restype = ctypes.c_int64
    library.host_max_held_bytes.restype = ctypes.c_int64
    library.host_pad_source.restype = ctypes.c_int64
    library.host_fast_divide.restype = ctypes.c_uint32
    return library


@pytest.fixture(scope="session")
def linear(maths: ctypes.CDLL) -> LinearConstants:
    values = np.zeros(8, dtype=np.int64)
    maths.host_linear_constants(pointer(values))
    return LinearConstants(*values.tolist())


@pytest.fixture(scope="session")
def channels_last() -> ctypes.CDLL:
    library = load_cpp(Path(__file__).with_name("host_channels_last.cpp"))
    library.host_anchored_sum.restype = ctypes.c_double
    library.host_sum_of_pairs.restype = ctypes.c_double
    library.host_sample_index.restype = ctypes.c_int64
    return library


@pytest.fixture(scope="session")
def gathers() -> ctypes.CDLL:
    here = Path(__file__).parent
    cuda = here / "host_cuda"
    library = load_cpp(here / "host_gather.cpp", "-O0", "-iquote", str(cuda), f"-I{cuda}", "-Wno-unknown-pragmas")
    library.host_last_launch.restype = ctypes.c_char_p
    return library
