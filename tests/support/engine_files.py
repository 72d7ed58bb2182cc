"""Files that look like engines, and a manifest as `trtconv build` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trtconv import manifest
from trtconv.gpu.driver import Gpu

DATA = Path(__file__).parents[1] / "data"
H100 = Gpu("NVIDIA H100", "sm_90", "13.0")

MANIFEST: dict[str, Any] = {
    "format": manifest.FORMAT,
    "trtconv": "0.1.0",
    "created": "2026-01-02T03:04:05+00:00",
    "model": {"file": "model.onnx", "sha256": "0" * 64, "opset": 17},
    "engine": {},
    "backend": "tensorrt",
    "backend_version": "10.6.0",
    "gpu": "NVIDIA H100",
    "gpu_arch": "sm_90",
    "plugin_library": {"file": "libtrtconv_plugins.so", "sha256": "1" * 64},
    "plugins": ["trtconv::InstanceNorm version 1"],
    "options": {"opt_level": None},
    "profiles": [{"image": "1x3x64x64:1x3x64x64:4x3x64x64", "sizes": "[1,1]:[2,2]:[8,8]"}],
    "inputs": [
        {"name": "image", "dtype": "half", "shape": [-1, 3, 64, 64]},
        {"name": "sizes", "dtype": "int64", "shape": [2]},
    ],
    "outputs": [{"name": "y", "dtype": "half", "shape": [-1, 32, 64, 64]}],
    "decisions": [
        {
            "node": "norm1",
            "op": "InstanceNormalization",
            "became": "trtconv::InstanceNorm",
            "reason": "float16, rank 4, epsilon 1e-05",
        },
        {"node": "pad1", "op": "Pad(reflect)", "became": None, "reason": "pads is only known at run time"},
    ],
}


def engine_bytes(mark: bytes = b"ftrt", version: tuple[int, ...] = (10, 6, 0, 26), num_bytes: int = 64) -> bytes:
    """Return a file that begins as an engine does."""
    header = mark + bytes(12) + num_bytes.to_bytes(8, "little") + bytes(version)
    return header.ljust(64, b"\0")


def write_engine(folder: Path, content: dict[str, Any] | None = None, data: bytes | None = None) -> Path:
    """Write an engine, with a manifest beside it where `content` is given."""
    path = folder / "model.engine"
    path.write_bytes(engine_bytes() if data is None else data)
    if content is not None:
        manifest.manifest_path(path).write_text(json.dumps(content))
    return path
