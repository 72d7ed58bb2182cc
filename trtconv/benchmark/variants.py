"""The engines that `trtconv bench MODEL` compares by time: which there are, and how each is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from trtconv import convert, reading
from trtconv.benchmark.layer_kinds import ops_by_node
from trtconv.config import BuildConfig, Ops
from trtconv.manifest import Manifest
from trtconv.model import model_io
from trtconv.model.walking import walk_nodes
from trtconv.ops.custom_op import DOMAIN
from trtconv.passes.base import Choices
from trtconv.preparation import graph_digest, native_reason_of, predicted_choices, prepare, with_decided_ops
from trtconv.progress import Progress

REFERENCE = "native"  # the speed of each other variant is told against it
VARIANTS: tuple[str, ...] = (REFERENCE, "plugin", "fused", "auto")
TUNED = "tuned"  # the variant that a decision file asks for


@dataclass(frozen=True)
class BuiltVariant:
    """One of the engines, in a temporary folder. `ops_by_node` holds the operators of the nodes that it is made of."""

    path: Path
    num_plugins: int
    num_bytes: int
    build_seconds: float
    notes: Sequence[str]
    manifest: Manifest = field(repr=False)
    ops_by_node: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Written:
    """The graph that the passes make of a model for a variant: its operators by node, its plugins, a digest of it."""

    ops_by_node: Mapping[str, str]
    num_plugins: int
    digest: str


def variants_of(config: BuildConfig) -> list[str]:
    """Return the variants: with a decision file also that which it asks for. Raises ConfigError without the file."""
    if config.decisions is None:
        return list(VARIANTS)
    reading.require_readable(config.decisions, reading.DOCUMENT)
    return [*VARIANTS, TUNED]


def written_graph(model_path: Path, config: BuildConfig, variant: str) -> Written:
    """Run the passes of a variant. The change of precision follows from the graph, so that it is left out."""
    own = _own_config(config, variant)
    native_reason = native_reason_of(own, supports_plugins=True)
    model = model_io.load(
        model_path, inline_plugins=native_reason is not None, profiles=own.profiles, trust_links=own.trust_links
    )
    costs = predicted_choices(model, own, Choices(own.keep_native)) if own.ops == "auto" else None
    plain = replace(own, precision=None, keep_fp32=(), io_types={}, calibration=())
    proto, _ = prepare(model, plain, native_reason, costs)
    num_plugins = sum(node.domain == DOMAIN for node in walk_nodes(proto.graph))
    return Written(ops_by_node(proto), num_plugins, graph_digest(proto))


def same_as_before(written: Mapping[str, Written], variant: str) -> str | None:
    """Return the variant before this one whose graph is the same, None where there is none.

    Native and plugin are built both, also where no node becomes a plugin.
    """
    earlier = list(written)[: list(written).index(variant)]
    if variant == "plugin":
        return None
    return next((each for each in earlier if written[each].digest == written[variant].digest), None)


def build_variant(
    model_path: Path, config: BuildConfig, variant: str, written: Written, folder: Path, progress: Progress
) -> BuiltVariant:
    """Build the engine of a variant in `folder`, with the options of `config`. Raises a TrtconvError."""
    cache = config.timing_cache or folder / "timing.cache"  # what one build measured serves the others
    own = replace(_own_config(config, variant), output=folder / f"{variant}.engine", timing_cache=cache)
    report = convert.build(model_path, own, progress=progress)
    return BuiltVariant(
        path=report.engine,
        num_plugins=written.num_plugins,
        num_bytes=reading.size_of(report.engine),
        build_seconds=report.seconds,
        notes=report.notes,
        manifest=report.manifest,
        ops_by_node=written.ops_by_node,
    )


def _own_config(config: BuildConfig, variant: str) -> BuildConfig:
    if variant == TUNED:
        return with_decided_ops(replace(config, ops=None))
    ops: Ops = variant  # type: ignore[assignment]
    keep_native = () if ops == REFERENCE else config.keep_native
    return replace(config, ops=ops, decisions=None, keep_native=keep_native)
