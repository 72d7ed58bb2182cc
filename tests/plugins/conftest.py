"""Fixtures of the plugin tests."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from host_compiler import compile_cpp, load_cpp
from host_tools import LinearConstants, pointer


@pytest.fixture(scope="session")
def maths(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    sources = (Path(__file__).with_name(f"host_{op}.cpp") for op in ("instance_norm", "reflect_pad"))
    library = load_cpp(tmp_path_factory.mktemp("host_maths"), *sources)
    library.host_workspace_partials.restype = ctypes.c_int64
    library.host_pad_source.restype = ctypes.c_int64
    library.host_fast_divide.restype = ctypes.c_uint32
    return library


@pytest.fixture(scope="session")
def linear(maths: ctypes.CDLL) -> LinearConstants:
    values = np.zeros(8, dtype=np.int64)
    maths.host_linear_constants(pointer(values))
    return LinearConstants(*values.tolist())


@pytest.fixture(scope="session")
def gathers(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    here = Path(__file__).parent
    cuda = here / "host_cuda"
    warnings = ("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas")
    output = tmp_path_factory.mktemp("host_gather") / "libhost_gather.so"
    options = ("-O0", "-fPIC", "-shared", "-iquote", str(cuda), f"-I{cuda}", *warnings)
    library = ctypes.CDLL(str(compile_cpp(here / "host_gather.cpp", output, *options)))
    library.host_last_launch.restype = ctypes.c_char_p
    return library
