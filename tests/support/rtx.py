"""Build with TensorRT-RTX, and ask it what it thinks of an engine, without a GPU.

That RTX accepts an engine means here: its runtime takes the plan apart - header, size, end mark - and stops only where
it wants a CUDA device. A damaged plan does not get so far. Where a GPU of its kind is present the engine must load.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trtconv import BuildConfig, build
from trtconv.reports.build_report import BuildReport
from trtconv.shapes import parse_shape_option

trt = pytest.importorskip("tensorrt_rtx")


class Logger(trt.ILogger):  # type: ignore[misc]
    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.errors: list[str] = []

    def log(self, level: Any, message: str) -> None:
        if level in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
            self.errors.append(message)


def accepts(plan: bytes) -> bool:
    """Say whether RTX's runtime finds nothing wrong with a plan but, at most, the lack of a GPU for it."""
    kinds = trt.EngineInvalidityDiagnostics
    _, found = trt.Runtime(Logger()).get_engine_validity(plan)
    if found & int(kinds.MALFORMED_ENGINE) or found & int(kinds.VERSION_MISMATCH):
        return False
    logger = Logger()
    engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
    return engine is not None or bool(found & int(kinds.UNSUPPORTED_CC)) or "Cuda Runtime" in logger.errors[0]


def rtx_build(model: Path, *profiles: list[str], **options: Any) -> BuildReport:
    """Build with TensorRT-RTX; each of `profiles` is a list of --shape options."""
    parsed = [dict(map(parse_shape_option, profile)) for profile in profiles if profile]
    return build(model, BuildConfig(backend="tensorrt-rtx", profiles=parsed, **options))
