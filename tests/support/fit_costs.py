"""Make the constants of the cost model out of docs/measurements:  python -m tests.support.fit_costs"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.measured_layers import (
    MADE,
    ConvolutionSample,
    NormSample,
    Sample,
    convolution_forms,
    kernel_samples,
    measured,
    network_samples,
)
from trtconv.costs import tables

COSTS = Path(tables.__file__).with_name("costs.json")
GPU, ARCH, BACKEND, DATE = "NVIDIA H100 80GB HBM3", "sm_90", "TensorRT 10.6.0", "2026-11-28"
MEMORY_GB_PER_S = 3352.3  # 2 transfers a clock of 2619 MHz, over 5120 bits
_SAME_SIZE = 1.3  # samples of sizes within this factor are one point
_TILES = (8, 16, 32, 64, 128)
_NOISE = {"us": 2.0, "share": 0.02}  # what two builds of one network differ by


def fitted(folder: Path, without: str = "") -> dict[str, Any]:
    """Return the constants of the H100, fitted to all measurements, or to those of all networks but one."""
    samples, convolutions, norms = list(kernel_samples()), list(convolution_forms()), []
    for name in MADE:
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
        "memory_gb_per_s": MEMORY_GB_PER_S,
        "backend": BACKEND,
        "date": DATE,
        "sources": [
            "docs/measurements/fused_networks_h100.json",
            "docs/measurements/rewritten_networks_h100.json",
            "docs/measurements/phases_h100.json",
            "docs/measurements/performance_h100.json",
            "docs/measurements/convolution_forms_h100.json",
            "docs/measurements/fused_norms_h200.json (groups alone, as ratios)",
        ],
        "rates": fit_rates(by_rate),
        "convolutions": {
            bits: fit_convolutions([each for each in convolutions if each.bits == bits]) for bits in ("16", "32")
        },
        "shares": fit_shares(norms, by_rate["copy"]) | {"groups": _groups(), "phases": _phases()},
        "noise": _NOISE,
    }


def fit_rates(samples: Mapping[str, Sequence[Sample]]) -> dict[str, dict[str, list[float]]]:
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
    """Return fixed time, operations and bytes a second, and the tile that explains the samples best."""
    plain, transposed = ([each for each in samples if each.is_transposed is kind] for kind in (False, True))
    times = np.array([each.microseconds for each in plain])
    fits = []
    for tile in _TILES:
        terms = _terms(plain, tile)
        coefficients = _not_negative(terms / times[:, None], np.ones(len(plain)))
        errors = np.abs(np.log(terms @ coefficients / times))
        fits.append((float(errors.mean()), tile, coefficients))
    _, tile, found = min(fits, key=lambda fit: fit[0])
    fixed, per_operation, per_byte = found
    slower = [each.microseconds / float(_terms([each], tile)[0] @ found) for each in transposed]
    return {
        "fixed_us": round(float(fixed), 3),
        "tflops": round(float(1e-6 / per_operation), 1),
        "gb_per_s": round(float(1e-3 / max(per_byte, 1e-9)), 1),
        "tile": tile,
        "transposed": round(statistics.geometric_mean(slower), 3) if slower else 1.0,
    }


def _terms(samples: Sequence[ConvolutionSample], tile: int) -> np.ndarray:
    return np.array([(1.0, each.operations(tile), each.num_bytes) for each in samples])


def fit_shares(norms: Sequence[NormSample], copies: Sequence[Sample]) -> dict[str, float]:
    """Return what an activation and pads add to a norm, as parts of its time."""
    copy = max(copies, key=lambda sample: sample.num_bytes)
    rows, parts = [], []
    for each in norms:
        extra = max(each.extra_bytes, 0) * copy.microseconds / copy.num_bytes
        rows.append((float(each.has_activation), float(each.has_pads)))
        parts.append((each.microseconds - extra) / each.alone_us - 1)
    activation, pads = _not_negative(np.array(rows), np.array(parts))
    return {"activation": round(float(activation), 3), "pads": round(float(pads), 3)}


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
