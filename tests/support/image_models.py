"""Small models that take and give images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser

BYTES = "d = Div(image, white) n = Sub(one, d) y = Mul(n, white)"  # a negative: what was 255 is 0
_CONSTANTS = "float white = {255.0}, float one = {1.0}"


def write_negative(folder: Path, dims: str = "1,3,h,w", dtype: str = "float", body: str = BYTES) -> Path:
    """Write a model that gives the negative of a picture of bytes."""
    text = f'<ir_version: 8, opset_import: ["": 17]> g ({dtype}[{dims}] image) => ({dtype}[{dims}] y) '
    path = folder / "negative.onnx"
    onnx.save(onnx.parser.parse_model(f"{text}<{_CONSTANTS}> {{ {body} }}"), path)
    return path


def write_photo(path: Path, height: int = 6, width: int = 10) -> np.ndarray:
    """Write a picture whose pixels all differ; return them as [height, width, 3]."""
    from PIL import Image

    pixels = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    Image.fromarray(pixels).save(path)
    return pixels
