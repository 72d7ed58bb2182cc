"""TensorRT-RTX builds an engine from every published and made model that it can, and says why where it cannot."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest

from models import make_models
from tests.support.extent import part
from tests.support.rtx import accepts, rtx_build
from trtconv.errors import BackendError, ModelError

REAL_MODELS = {
    "basic_pitch_nmp_op15": ["serving_default_input_2:0=1x43844x1"],
    "fns_candy_nc16_128_op9": [],
    "litemono_tiny_decoder_op13": [],
    "onnxasr_whisper80_conv_op17": ["waveforms=1x1600:1x16000:1x160000", "waveforms_lens=1"],
    "onnxasr_whisper80_stft_op17": ["waveforms=1x1600:1x16000:1x160000", "waveforms_lens=1"],
    "silero_vad_16k_sequence_op16": ["input=1x576:8x576:64x576"],
    "xfeat_256x256_op17": [],
    "xfeat_480x640_fp16_op12": [],
}
REFUSED_MODELS = {
    "silero_vad_v6_op16_if": (["input=1x512", "state=2x1x128"], BackendError, "could not build"),
    "wml_candy_op7": (["inputImage=1x3x720x720"], ModelError, "does not support the op Crop [nodes crop, crop1, crop2"),
}


def real_model(name: str, folder: Path) -> Path:
    """Link a published model into `folder`, whose engines then land there too."""
    source = Path(os.environ.get("TRTCONV_TEST_MODELS", "no folder")) / f"{name}.onnx"
    if not source.is_file():
        pytest.skip("TRTCONV_TEST_MODELS names no folder of published models that holds this one")
    path = folder / source.name
    path.symlink_to(source)
    return path


# Its engine takes half of the time of all; that of xfeat_256x256_op17 has the same layers.
SLOW_MODEL = "xfeat_480x640_fp16_op12"


@pytest.mark.parametrize("name", part(REAL_MODELS, lambda name: name != SLOW_MODEL))
def test_real_models_build(tmp_path: Path, name: str) -> None:
    report = rtx_build(real_model(name, tmp_path), REAL_MODELS[name])
    assert accepts(report.engine.read_bytes())
    assert report.rewrite.decisions
    assert report.rewrite.num_rewritten == 0


@pytest.mark.parametrize("name", REFUSED_MODELS)
def test_models_that_rtx_refuses_say_why(tmp_path: Path, name: str) -> None:
    shapes, error, what = REFUSED_MODELS[name]
    with pytest.raises(error) as caught:
        rtx_build(real_model(name, tmp_path), shapes)
    assert what in caught.value.what


@pytest.mark.parametrize(
    ("network", "size"),
    [
        ("fast_neural_style", {"height": 32, "width": 48, "channels": 4}),
        ("cyclegan", {"height": 32, "width": 48, "channels": 4, "dtype": "fp16"}),
        ("unet3d", {"depth": 8, "height": 16, "width": 24, "channels": 4, "stages": 4}),
        ("melgan", {"frames": 12, "channels": 2, "pads_style": "computed"}),
    ],
)
def test_made_networks_build(tmp_path: Path, network: str, size: Mapping[str, Any]) -> None:
    model = tmp_path / f"{network}.onnx"
    onnx.save(make_models.make(network, **size), model)
    assert accepts(rtx_build(model).engine.read_bytes())
