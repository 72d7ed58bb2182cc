"""Make the constants of the cost model out of docs/measurements:  python -m tests.support.fit_costs"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.measured_layers import (
    H200_GB_PER_S,
    ConvolutionSample,
    NormSample,
    Sample,
    convolution_forms,
    kernel_samples,
    network_samples,
)
from tests.support.measured_networks import CASES_RUN, made_names, measured, profiled
from trtconv.benchmark import layer_kinds
from trtconv.costs import tables

COSTS = Path(tables.__file__).with_name("costs.json")
GPU, ARCH, BACKEND, DATE = "NVIDIA H200", "sm_90", "TensorRT 10.6.0", "2026-11-29"
# TensorRT's own kernels for these take as long on an H200 as on an H100, whose memory is slower by a third.
_BOUND_BY_CORES = ("norm native", "pad native", "reformat", "resize")
# Its norms are written out, so its native engine shows what TensorRT makes of reductions.
_WRITTEN_OUT = "fns_candy_128_fp16"
_SAME_SIZE = 1.3  # samples of sizes within this factor are one point
_TILES = (8, 16, 32, 64, 128)
_LEAST_OUTPUTS = tuple(cores * 128 * 128 for cores in (0, 16, 24, 33, 44, 66, 132))  # a tile of 128x128 each, of 132
# Of convolutions in fp32 on linear tensors. Networks of at most 3.2 million products a convolution are built without
# reformats, one of 14 million (nnunet_plainconv3d) has nine: docs/measurements/case_times_h200.json.
_LINEAR_PRODUCTS = 4e6
_SHORTEST_LAYER_US = 3.0  # without a CUDA graph: a kind of layers that takes less has some that are none
_NOISE = {"us": 2.0, "share": 0.02}  # what two builds of one network differ by


def fitted(folder: Path, without: str = "") -> dict[str, Any]:
    """Return the constants of the H200, fitted to all measurements, or to those of all networks but one."""
    samples, convolutions, norms = list(kernel_samples()), list(convolution_forms()), []
    for name in made_names():
        if name != without:
            found, layers, fused = network_samples(name, folder)
            samples += found
            convolutions += layers
            norms += fused
    by_rate: dict[str, list[Sample]] = {}
    for each in samples:
        by_rate.setdefault(each.rate, []).append(each)
    return {
        "gpu": GPU,
        "gpu_arch": ARCH,
        "memory_gb_per_s": H200_GB_PER_S,
        "backend": BACKEND,
        "date": DATE,
        "sources": [
            "docs/measurements/networks_h200.json",
            "docs/measurements/fused_norms_h200.json",
            "docs/measurements/case_times_h200.json (small networks)",
            "docs/measurements/performance_h100.json (pads and TensorRT's own layers alone)",
            "docs/measurements/convolution_forms_h100.json",
            "docs/measurements/phases_h100.json (phases alone, as ratios)",
        ],
        "rates": fit_rates(by_rate),
        "convolutions": {
            bits: fit_convolutions([each for each in convolutions if each.bits == bits]) | {"linear_products": linear}
            for bits, linear in (("16", 0.0), ("32", _LINEAR_PRODUCTS))
        },
        "shares": fit_shares(norms, by_rate["copy"]) | {"groups": _groups(), "phases": _phases()},
        "reduction_us": _reduction_us(),
        "noise": _NOISE,
        "least_norm_us": _least_norm_us(),
    }


def fit_rates(samples: Mapping[str, Sequence[Sample]]) -> dict[str, dict[str, Any]]:
    """Return the points of every rate; below its smallest sample a rate behaves as a copy does."""
    copies = fit_rate(samples["copy"])
    copy = tables.Rate(**copies)
    rates = {}
    for name in sorted(samples):
        points = fit_rate(samples[name])
        size, time = points["num_bytes"][0], points["microseconds"][0]
        below = [each for each in copies["num_bytes"] if each * _SAME_SIZE < size]
        rates[name] = {
            "num_bytes": below + points["num_bytes"],
            "microseconds": [round(time * copy.time(each) / copy.time(size), 3) for each in below]
            + points["microseconds"],
            "is_memory_bound": not name.startswith(_BOUND_BY_CORES),
        }
    return rates


def fit_rate(samples: Iterable[Sample]) -> dict[str, list[float]]:
    """Return the points of a rate: the middle of the samples of about one size, never below that of a smaller size."""
    points: list[list[Sample]] = []
    for each in sorted(samples, key=lambda sample: sample.num_bytes):
        if points and each.num_bytes <= points[-1][0].num_bytes * _SAME_SIZE:
            points[-1].append(each)
        else:
            points.append([each])
    sizes = [statistics.geometric_mean(each.num_bytes for each in point) for point in points]
    times = [statistics.median(each.microseconds for each in point) for point in points]
    return {
        "num_bytes": [round(size) for size in sizes],
        "microseconds": [round(float(time), 3) for time in np.maximum.accumulate(times)],
    }


def fit_convolutions(samples: Sequence[ConvolutionSample]) -> dict[str, float]:
    """Return fixed time, operations and bytes a second, and the tile and least work that explain the samples best.

    What transposed convolutions and those of uneven strides take beyond it is a factor of each, the median; no network
    has one that is both.
    """
    kinds = ((False, False), (True, False), (False, True))
    plain, transposed, uneven = (
        [each for each in samples if (each.is_transposed, each.is_uneven) == kind] for kind in kinds
    )
    times = np.array([each.microseconds for each in plain])
    fits = []
    for tile, least in itertools.product(_TILES, _LEAST_OUTPUTS):
        terms = _terms(plain, tile, least)
        coefficients = _not_negative(terms / times[:, None], np.ones(len(plain)))
        errors = np.abs(np.log(terms @ coefficients / times))
        fits.append((float(errors.mean()), tile, least, coefficients))
    _, tile, least, found = min(fits, key=lambda fit: fit[0])
    fixed, per_operation, per_byte = found

    def slower(others: Sequence[ConvolutionSample]) -> float:
        ratios = [each.microseconds / float(_terms([each], tile, least)[0] @ found) for each in others]
        return round(statistics.median(ratios), 3) if ratios else 1.0

    return {
        "fixed_us": round(float(fixed), 3),
        "tflops": round(float(1e-6 / per_operation), 1),
        "gb_per_s": round(float(1e-3 / max(per_byte, 1e-9)), 1),
        "tile": tile,
        "least_outputs": least,
        "transposed": slower(transposed),
        "uneven": slower(uneven),
    }


def _terms(samples: Sequence[ConvolutionSample], tile: int, least: int) -> np.ndarray:
    return np.array([(1.0, each.operations(tile, least), each.num_bytes) for each in samples])


def fit_shares(norms: Sequence[NormSample], copies: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Return what an activation, pads and a residual add to a channels-last norm, as parts of its time, by bits.

    A norm counts by its time: the smallest are mostly the start of a kernel.
    """
    copy = max(copies, key=lambda sample: sample.num_bytes)
    shares: dict[str, dict[str, float]] = {"activation": {}, "pads": {}, "residual": {}}
    for bits in ("16", "32"):
        own = [each for each in norms if each.bits == bits] or norms
        extra = [max(each.extra_bytes, 0) * copy.microseconds / copy.num_bytes for each in own]
        rows = np.array([(each.has_activation, each.has_pads, each.has_residual) for each in own], float)
        parts = [(each.microseconds - more) / each.alone_us - 1 for each, more in zip(own, extra, strict=True)]
        weights = np.sqrt([each.alone_us for each in own])
        found = _not_negative(rows * weights[:, None], np.array(parts) * weights)
        for kind, share in zip(shares.values(), found, strict=True):
            kind[bits] = round(float(share), 3)
    return shares


def _groups() -> dict[str, float]:
    """Return what groups add to an instance norm of the same tensor."""
    times: dict[tuple[str, str], dict[str, float]] = {}
    for row in measured("fused_norms_h200")["rows"]:
        times.setdefault((str(row["shape"]), row["layout"]), {})[row["variant"]] = row["microseconds"]
    ratios: dict[str, list[float]] = {}
    for (_, layout), each in times.items():
        if "groups 32" in each:
            kind = "linear" if layout.startswith("linear") else "channels_last"
            ratios.setdefault(kind, []).append(each["groups 32"] / each["plain"])
    return {kind: round(statistics.geometric_mean(each) - 1, 3) for kind, each in ratios.items()}


def _reduction_us() -> float:
    """Return the time of a reduction with the kernels around it: pools, generated kernels, scales."""
    layers = profiled(_WRITTEN_OUT)["native"].layers
    own = [layer for layer in layers if layer["type"] in ("CaskPooling", "kgen", "Scale")]
    number = sum(layer["type"] == "CaskPooling" for layer in own)
    return round(sum(layer["us"] for layer in own) / number, 3)


def _least_norm_us() -> float:
    """Return what the plugin norms of networks take whose tensors are so small that only the launch counts.

    The gap after each layer, which was timed without a CUDA graph, is taken off, as of whole networks.
    """
    found = []
    for name, entry in measured(CASES_RUN)["cases"].items():
        kinds = {kind: each for kind, each in entry.get("kinds", {}).get("auto", {}).items() if each["microseconds"]}
        if " fixed " not in name or layer_kinds.NORM not in kinds:
            continue
        if any(each["microseconds"] < _SHORTEST_LAYER_US * each["count"] for each in kinds.values()):
            continue
        total, number = (sum(each[of] for each in kinds.values()) for of in ("microseconds", "count"))
        norm = kinds[layer_kinds.NORM]
        found.append(norm["microseconds"] / norm["count"] - (total - entry["us"]["auto"]) / number)
    return round(statistics.median(found), 3)


def _phases() -> dict[str, float]:
    """Return what phases of the input add to an instance norm of the same tensor."""
    ratios: dict[str, list[float]] = {}
    for row in measured("phases_h100")["norms"]:
        kind = "linear" if "linear" in row["case"] else "channels_last"
        ratios.setdefault(kind, []).append(row["over"])
    return {kind: round(statistics.geometric_mean(each) - 1, 3) for kind, each in ratios.items()}


def _not_negative(terms: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the least squares whose coefficients are not negative: terms that would be are left out one by one."""
    kept = list(range(terms.shape[1]))
    while True:
        found, *_ = np.linalg.lstsq(terms[:, kept], values, rcond=None)
        if (found >= 0).all():
            result = np.zeros(terms.shape[1])
            result[kept] = found
            return result
        kept.pop(int(found.argmin()))


def as_file(table: Mapping[str, Any]) -> str:
    """Return the content of costs.json."""
    return json.dumps({"format": 1, "tables": [table]}, indent=1) + "\n"


def main() -> None:
    """Write costs.json."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        COSTS.write_text(as_file(fitted(Path(folder))))


if __name__ == "__main__":
    main()
