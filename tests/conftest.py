"""What all tests need of the process that they run in."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.bounding import states_small_numbers
from tests.support.plugin_libraries import any_library
from trtconv.model import onnx_session, shape_inference

# A shell that starts the tests in the background has them ignore Ctrl-C, which some of them send.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def _little_overhead(request: pytest.FixtureRequest) -> Iterator[None]:
    """Save what small models take most of: threads of ONNX Runtime, and forks of pytest's process for shape inference.

    Inference still forks for models that state large numbers, and in modules that are marked `bounded_inference`.
    """
    make_options = onnx_session._options

    def options_of_one_thread() -> Any:
        options = make_options()
        options.intra_op_num_threads = 1
        return options

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(onnx_session, "_options", options_of_one_thread)
        if request.node.get_closest_marker("bounded_inference") is None:
            patched.setattr(shape_inference, "stays_small", states_small_numbers)
        yield


@pytest.fixture
def plugin_library(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The plugin library, which the test and its processes find: compiled by nvcc, or its host code alone."""
    return any_library(monkeypatch)
