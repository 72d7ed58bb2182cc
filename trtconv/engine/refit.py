"""Give an engine its weights from an ONNX model: those that a stripped engine lacks, or new ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from trtconv.engine.logger import Log
from trtconv.engine.network_parsing import parsable
from trtconv.errors import BackendError
from trtconv.files import text_path


def refit(engine: Any, proto: onnx.ModelProto, model_path: Path, trt: Any, logger: Log) -> None:
    """Put the weights of `proto`, rewritten as for the build, into `engine`.

    `model_path` is the model's file, for tensors in external data. Raises BackendError when the two do not fit.
    """
    refitter = trt.Refitter(engine, logger.native)
    parser = trt.OnnxParserRefitter(refitter, logger.native)
    with text_path(model_path) as path:
        is_taken = parser.refit_from_bytes(parsable(proto).SerializeToString(), path)
    if not is_taken:
        problems = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        raise BackendError(f"the engine does not accept these weights: {problems}", where=str(model_path))
    missing = refitter.get_missing_weights()
    if missing:
        raise BackendError(f"the model lacks weights of the engine: {', '.join(missing[:5])}", where=str(model_path))
    if not refitter.refit_cuda_engine():
        raise BackendError(f"TensorRT could not refit the engine: {logger.last_error()}", where=str(model_path))
