"""The plugin library for tests: what nvcc compiled, or its host code alone where that was not compiled."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugins.host_build import LIBRARY, build_library
from trtconv.errors import BackendError
from trtconv.plugins import library

NO_LIBRARY = "no plugin library: `make test-all` compiles it"


def compiled_library() -> Path:
    """Return the library that nvcc compiled, with the kernels; the test skips where there is none."""
    found = _find()
    if found in (None, LIBRARY):
        pytest.skip(NO_LIBRARY)
    return found


def any_library(patched: pytest.MonkeyPatch) -> Path:
    """Return the compiled library; where there is none, compile its host code by g++ and have that found instead."""
    if found := _find():
        return found
    built = build_library()
    patched.setenv(library.ENVIRONMENT_VARIABLE, str(built))
    return built


def _find() -> Path | None:
    try:
        return library.find().path
    except BackendError:
        return None
