"""The parser is asked about a model on the network that a build would give it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from trtconv.engine.backends import Backend
from trtconv.engine.logger import make_logger
from trtconv.engine.network_parsing import check_model, parse_network

STRONGLY_TYPED = 1
MODEL = onnx.parser.parse_model(
    '<ir_version: 8, opset_import: ["" : 17, "other" : 1]> g (float[2] x) => (y) { z = Relu (x)  y = other.Mine (z) }'
)


class FakeTensorRT:
    """TensorRT 10's module: its networks are weakly typed unless a flag says otherwise."""

    __version__ = "10.6.0"
    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=STRONGLY_TYPED)

    class ILogger:
        """As in TensorRT."""

    def __init__(self, taken: bool) -> None:
        self.flags: list[int] = []
        self.Builder = lambda logger: SimpleNamespace(create_network=self.flags.append)
        self.OnnxParser = lambda network, logger: SimpleNamespace(
            supports_model_v2=lambda data, path: taken and path == "model.onnx",
            supports_operator=lambda op: op != "Mine",
            num_errors=0,
        )


@pytest.mark.parametrize("taken", [True, False])
def test_the_network_is_strongly_typed_as_in_a_build(taken: bool) -> None:
    trt = FakeTensorRT(taken)
    check = check_model(Backend("tensorrt", trt, None, "sm_90"), MODEL, Path("model.onnx"))
    assert trt.flags == [1 << STRONGLY_TYPED]
    assert check.is_taken is taken
    assert check.unsupported_ops == (set() if taken else {"Mine"})
    assert check.problems == {}


def interrupted_parse(data: bytes, path: str) -> bool:
    """Call back into Python while Ctrl-C comes, and swallow what that raises there, as the bindings do."""
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
    except KeyboardInterrupt:
        pass
    return True


def parse(trt: FakeTensorRT) -> None:
    builder: Any = trt.Builder(None)  # type: ignore[no-untyped-call]
    parse_network(trt, builder, make_logger(trt, None), "TensorRT", MODEL, Path("model.onnx"))


def check(trt: FakeTensorRT) -> None:
    check_model(Backend("tensorrt", trt, None, "sm_90"), MODEL, Path("model.onnx"))


@pytest.mark.parametrize(("ask", "question"), [(parse, "parse"), (check, "supports_model_v2")])
def test_ctrl_c_while_the_parser_works_is_heard(ask: Callable[[FakeTensorRT], None], question: str) -> None:
    trt = FakeTensorRT(taken=True)
    trt.OnnxParser = lambda network, logger: SimpleNamespace(**{question: interrupted_parse})
    with pytest.raises(KeyboardInterrupt):
        ask(trt)
