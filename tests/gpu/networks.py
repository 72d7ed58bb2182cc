"""The networks that the GPU tests build: where each comes from, what is fed to it, how many nodes become plugins."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from models.make_models import make
from trtconv.comparison import random_inputs

MODELS_VARIABLE = "TRTCONV_TEST_MODELS"
Feed = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Network:
    """One network: a file of the models' folder, or `make` and its arguments. `adjust` edits each input set."""

    num_plugins: int
    file: str | None = None
    make: Mapping[str, Any] = field(default_factory=dict)
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    dtype: str = "fp32"
    adjust: Callable[[Feed], Feed] = lambda feed: feed

    def path(self, folder: Path) -> Path | None:
        """Return the model's file, made in `folder` if need be, or None where the models' folder lacks it."""
        if self.file is None:
            target = folder / "made.onnx"
            onnx.save(make(**self.make), target)
            return target
        source = Path(os.environ.get(MODELS_VARIABLE, "")) / self.file
        return source if source.is_file() else None

    def feeds(self, path: Path, num_sets: int = 2) -> list[Feed]:
        """Return the seeded input sets of the comparison."""
        return [self.adjust(feed) for feed in random_inputs(path, self.shapes, num_sets=num_sets)]


def _as_image(feed: Feed) -> Feed:
    return {name: (value * 127.5 + 127.5).astype(value.dtype) for name, value in feed.items()}


def _as_audio(feed: Feed) -> Feed:
    length = feed["waveforms"].shape[1]
    return {**feed, "waveforms_lens": np.full(feed["waveforms_lens"].shape, length, dtype=np.int64)}


def _make(network: str, **arguments: Any) -> dict[str, Any]:
    return {"network": network, **arguments}


NETWORKS: dict[str, Network] = {
    "fns_candy": Network(16, "fns_candy_nc16_128_op9.onnx", adjust=_as_image),
    "xfeat": Network(1, "xfeat_256x256_op17.onnx"),
    "xfeat_fp16": Network(1, "xfeat_480x640_fp16_op12.onnx", dtype="fp16"),
    "litemono": Network(7, "litemono_tiny_decoder_op13.onnx"),
    "basic_pitch": Network(9, "basic_pitch_nmp_op15.onnx", shapes={"serving_default_input_2:0": (1, 43844, 1)}),
    "whisper80_conv": Network(
        1,
        "onnxasr_whisper80_conv_op17.onnx",
        shapes={"waveforms": (2, 16000), "waveforms_lens": (2,)},
        adjust=_as_audio,
    ),
    "fast_neural_style": Network(
        31, make={"network": "fast_neural_style", "height": 256, "width": 320}, adjust=_as_image
    ),
    "fast_neural_style_fp16": Network(
        31,
        make={"network": "fast_neural_style", "height": 256, "width": 320, "dtype": "fp16"},
        dtype="fp16",
        adjust=_as_image,
    ),
    "cyclegan": Network(43, make={"network": "cyclegan", "height": 256, "width": 256}),
    "cyclegan_fp16": Network(
        43, make={"network": "cyclegan", "height": 256, "width": 256, "dtype": "fp16"}, dtype="fp16"
    ),
}

# Networks that only the comparison of precisions builds.
MORE_NETWORKS: dict[str, Network] = {
    "unet3d": Network(14, make=_make("unet3d", depth=32, height=32, width=32, stages=4)),
    "melgan": Network(14, make=_make("melgan", frames=64)),
    "whisper80_stft": Network(
        1,
        "onnxasr_whisper80_stft_op17.onnx",
        shapes={"waveforms": (2, 16000), "waveforms_lens": (2,)},
        adjust=_as_audio,
    ),
    "silero_16k": Network(1, "silero_vad_16k_sequence_op16.onnx", shapes={"input": (4, 576)}),
}


def _made(network: str, dtype: str, adjust: Callable[[Feed], Feed] = lambda feed: feed, **sizes: int) -> Network:
    return Network(0, make={"network": network, "dtype": dtype, **sizes}, dtype=dtype, adjust=adjust)


_FNS = {"height": 1080, "width": 1920}
_CYCLEGAN = {"height": 512, "width": 512}
_VOLUME = {"depth": 128, "height": 128, "width": 128}
# What is measured, the most important first, and the precision that is asked for.
MEASURED: dict[str, tuple[Network, Any]] = {
    "fns_1080x1920_fp16": (_made("fast_neural_style", "fp16", _as_image, **_FNS), None),
    "cyclegan_512_fp16": (_made("cyclegan", "fp16", **_CYCLEGAN), None),
    "unet3d_128_fp16": (_made("unet3d", "fp16", **_VOLUME), None),
    "fns_candy_128_fp16": (NETWORKS["fns_candy"], "fp16"),
    "cyclegan_256_fp16": (_made("cyclegan", "fp16", height=256, width=256), None),
    "xfeat_256_fp16": (NETWORKS["xfeat"], "fp16"),
    "fns_1080x1920_fp32": (_made("fast_neural_style", "fp32", _as_image, **_FNS), None),
    "cyclegan_512_fp32": (_made("cyclegan", "fp32", **_CYCLEGAN), None),
    "vae_decoder_64_fp16": (_made("vae_decoder", "fp16", height=64, width=64), None),
    "gan_decoder_16_fp16": (_made("gan_decoder", "fp16", height=16, width=16), None),
    "melgan_800_fp16": (_made("melgan", "fp16", frames=800), None),
    "depth_net_320x1024_fp16": (_made("depth_net", "fp16", height=320, width=1024), None),
    "litemono_fp16": (NETWORKS["litemono"], "fp16"),
    "unet3d_128_fp32": (_made("unet3d", "fp32", **_VOLUME), None),
}
