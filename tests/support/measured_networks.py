"""The whole networks of docs/measurements: their engines, and what each does as the cost model sees it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from models.make_models import make
from tests.gpu.networks import MEASURED
from tests.support import measurements
from trtconv.model import model_io
from trtconv.passes import passes_for, run_passes
from trtconv.passes.base import Choices, PassContext
from trtconv.passes.network_work import NetworkWork, read_network

MODELS = os.environ.get("TRTCONV_TEST_MODELS", "")
H200_RUN = "networks_h200"
H100_RUN = "rewritten_networks_h100"  # and networks_h100, which has the times of whole networks alone
TUNING_RUN = "tuning_h200"
CASES_RUN = "case_times_h200"
# Where auto rewrote all convolutions that the passes can, and left four norms of 4x4x4 and 8x8x8 to TensorRT.
_AUTO_AS_REWRITTEN = ("unet3d_128_fp32",)
_GAP_US = 4.0  # at most, between two layers that are timed one by one
AUTO, NATIVE = "auto", "native"


measured = cache(measurements.measured)  # documents that are only read


def measured_names() -> list[str]:
    """Return the networks that were measured on the H200."""
    return [name for name, entry in measured(H200_RUN)["networks"].items() if "engines" in entry]


def made_names() -> list[str]:
    """Return those of them that models/ makes by code."""
    return [name for name in measured_names() if MEASURED[name][0].file is None]


def path_of(name: str, folder: Path) -> Path:
    """Return the file of a network, made in `folder` unless it is there or published."""
    network, _ = MEASURED[name]
    if network.file is not None:
        return Path(MODELS) / network.file
    path = folder / f"{name}.onnx"
    if not path.exists():
        onnx.save(make(**network.make), path)
    return path


def is_short(name: str) -> bool:
    """Say whether a network was built with --precision fp16."""
    return MEASURED[name][1] is not None


@cache
def network_of(name: str, ops: str, folder: Path) -> NetworkWork:
    """Return what one of the networks does, as the passes of `ops` write it."""
    model = model_io.load(path_of(name, folder))
    reason = NATIVE if ops == NATIVE else None
    run_passes(model.graph, PassContext(model.opset, folder, Choices(native_reason=reason)), passes_for(ops))
    return read_network(model.graph, is_short=is_short(name))


def median_us(name: str, ops: str, run: str = H200_RUN) -> float | None:
    """Return the microseconds of an engine as a CUDA graph, or of the one whose graph is the same."""
    return measurements.median_us_of(measured(run)["networks"][name], ops)


@dataclass(frozen=True)
class Profile:
    """The layers of an engine and the microseconds of each kind, as they add up to the median of the CUDA graph.

    They were timed without one, where each layer has a gap after it, which is taken off.
    """

    layers: Sequence[Mapping[str, Any]]
    kinds: Mapping[str, float]

    @classmethod
    def of(cls, engine: Mapping[str, Any]) -> Profile:
        """Return the profile of an engine whose layers were timed."""
        median, layers, kinds = engine["timing"]["median_us"], engine["layers"], engine["kinds"]
        times = np.array([layer["us"] for layer in layers])
        gap = min(max(times.sum() - median, 0) / np.count_nonzero(times), _GAP_US)
        by_kind = np.array([each["microseconds"] for each in kinds.values()])
        gaps = gap * np.array([each["count"] for each in kinds.values()])
        own = zip(layers, _without(times, gap, median), strict=True)
        return cls(
            layers=[{**layer, "us": float(us)} for layer, us in own],
            kinds=dict(zip(kinds, _without(by_kind, gaps, median), strict=True)),
        )


def _without(times: np.ndarray, gaps: float | np.ndarray, total: float) -> np.ndarray:
    """Return times without gaps, which are at most two thirds of each, so that they add up to `total`."""
    left = np.maximum(times - gaps, times / 3)
    return np.asarray(left * total / left.sum())


def profiled(name: str) -> dict[str, Profile]:
    """Return the engines of a network whose layers were timed, by what became of the operators, but for auto's.

    One of auto's counts as that of rewritten where it is in its place.
    """
    engines = dict(measured(H200_RUN)["networks"][name]["engines"])
    if name in _AUTO_AS_REWRITTEN:
        engines["rewritten"] = engines[AUTO]
    return {ops: Profile.of(each) for ops, each in engines.items() if ops != AUTO and "layers" in each}
