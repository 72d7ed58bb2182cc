"""The files of docs/measurements, and the engines of the networks in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
MEASUREMENTS = DOCS / "measurements"
_SAME = "same_as"  # in place of an engine: the variant whose graph, and so whose engine, is the same


def measured(name: str) -> Any:
    """Return a document of docs/measurements."""
    return json.loads((MEASUREMENTS / f"{name}.json").read_text())


def engine_of(network: Mapping[str, Any], variant: str) -> Mapping[str, Any]:
    """Return what was measured of the engine of a variant: its own, or the one that is the same; nothing for none."""
    other = same_as(network, variant)
    engine: Mapping[str, Any] = network.get("engines", {}).get(variant, {})
    return engine if other is None else engine_of(network, other)


def same_as(network: Mapping[str, Any], variant: str) -> str | None:
    """Return the variant whose engine stands for that of a variant, None where it has its own or none."""
    other: str | None = network.get("engines", {}).get(variant, {}).get(_SAME)
    return other


def median_us_of(network: Mapping[str, Any], variant: str) -> float | None:
    """Return the microseconds of the engine of a variant as a CUDA graph, None where it was not timed."""
    median: float | None = engine_of(network, variant).get("timing", {}).get("median_us")
    return median
