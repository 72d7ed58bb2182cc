"""Parse a model into TensorRT's network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from trtconv.engine.parser_errors import parse_error
from trtconv.model import functions


def parse_network(
    trt: Any, builder: Any, logger: Any, title: str, proto: onnx.ModelProto, model_path: Path
) -> tuple[Any, Any]:
    """Return the strongly typed network of `proto`, and its parser, which has to live as long.

    `title` is the backend's name and version. Raises ModelError for what the parser refuses.
    """
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(functions.without_functions(proto).SerializeToString(), str(model_path)):
        raise parse_error(parser, title, proto, model_path, logger.last_error())
    return network, parser


def set_io_format(trt: Any, network: Any, io_format: str) -> None:
    """Let all inputs and outputs lie in memory in this one of TensorRT's formats, such as "HWC8"."""
    mask = 1 << int(getattr(trt.TensorFormat, io_format))
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    for tensor in (*inputs, *(network.get_output(index) for index in range(network.num_outputs))):
        tensor.allowed_formats = mask


def _network_flags(trt: Any) -> int:
    """Strongly typed networks: a flag of 10.x; 11 and RTX know nothing else and ignore it."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)
