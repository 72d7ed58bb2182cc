"""The options of `build` and `compare` as keywords; BuildConfig and CompareConfig say what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypedDict

from trtconv.config import BackendName, Ops, Precision
from trtconv.converted import AnyPath
from trtconv.inputs.images import ImageRange
from trtconv.shapes import ShapeLike


class BuildOptions(TypedDict, total=False):
    """The fields of BuildConfig."""

    workspace_bytes: int | None
    opt_level: int | None
    tf32: bool | None
    ops: Ops | None
    precision: Precision | None
    io_types: Mapping[str, str]
    version_compatible: bool
    hardware_compatible: bool
    refittable: bool
    strip_weights: bool
    embed_plugins: bool
    exclude_lean_runtime: bool
    output: AnyPath | None
    profiles: Sequence[Mapping[str, ShapeLike]]
    shapes: Mapping[str, ShapeLike] | None
    backend: BackendName
    gpu_arch: str | None
    keep_native: str | Iterable[str]
    decisions: AnyPath | None
    keep_fp32: str | Iterable[str]
    calibration: AnyPath | Iterable[AnyPath]
    timing_cache: AnyPath | None
    verify: bool
    tune: bool
    tune_budget_s: float | None
    trust_links: bool
    report: AnyPath | None


class CompareOptions(TypedDict, total=False):
    """The fields of CompareConfig."""

    inputs: AnyPath | Iterable[AnyPath]
    num_sets: int | None
    seed: int
    generator: Literal["random", "adversarial", "calibration"]
    profiles: Sequence[Mapping[str, ShapeLike]]
    shapes: Mapping[str, ShapeLike] | None
    all_shapes: bool
    tolerance: Mapping[str, float]
    atol: Mapping[str, float]
    rtol: Mapping[str, float]
    image_range: ImageRange
    bisect: bool
    plot: AnyPath | None
    save_inputs: AnyPath | None
    save_outputs: AnyPath | None
    allow_embedded_code: bool
    trust_links: bool
    trust: bool
