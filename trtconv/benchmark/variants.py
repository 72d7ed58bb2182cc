"""The engines that `trtconv bench MODEL` times against each other: which there are, and how each is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from trtconv import convert
from trtconv.benchmark.layer_kinds import ops_by_node
from trtconv.config import BuildConfig, Ops
from trtconv.manifest import Manifest
from trtconv.model import model_io
from trtconv.model.walking import walk_nodes
from trtconv.ops.custom_op import DOMAIN
from trtconv.preparation import graph_digest, native_reason_of, prepare
from trtconv.progress import Progress

REFERENCE: Ops = "native"  # each other variant is compared with it, in outputs and in speed
VARIANTS: tuple[Ops, ...] = (REFERENCE, "plugin", "fused")


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


def written_graph(model_path: Path, config: BuildConfig, ops: Ops) -> Written:
    """Run the passes of a variant, without the change of precision: that follows from the graph."""
    own = _own_config(replace(config, precision=None, keep_fp32=(), io_types={}, calibration=()), ops)
    native_reason = native_reason_of(own, supports_plugins=True)
    model = model_io.load(model_path, inline_plugins=native_reason is not None, profiles=own.profiles)
    proto, _ = prepare(model, own, native_reason)
    num_plugins = sum(node.domain == DOMAIN for node in walk_nodes(proto.graph))
    return Written(ops_by_node(proto), num_plugins, graph_digest(proto))


def same_as_before(written: Mapping[str, Written], ops: str) -> str | None:
    """Return the variant with plugins before `ops` whose graph is the same, None where there is none."""
    earlier = list(written)[: list(written).index(ops)]
    return next((each for each in earlier if each != REFERENCE and written[each].digest == written[ops].digest), None)


def build_variant(
    model_path: Path, config: BuildConfig, ops: Ops, written: Written, folder: Path, progress: Progress
) -> BuiltVariant:
    """Build the engine of a variant in `folder`, with the options of `config`. Raises a TrtconvError."""
    cache = config.timing_cache or folder / "timing.cache"  # what one build measured serves the others
    own = replace(_own_config(config, ops), output=folder / f"{ops}.engine", timing_cache=cache)
    report = convert.build(model_path, own, progress=progress)
    return BuiltVariant(
        path=report.engine,
        num_plugins=written.num_plugins,
        num_bytes=report.engine.stat().st_size,
        build_seconds=report.seconds,
        notes=report.notes,
        manifest=report.manifest,
        ops_by_node=written.ops_by_node,
    )


def _own_config(config: BuildConfig, ops: Ops) -> BuildConfig:
    return replace(config, ops=ops, keep_native=() if ops == "native" else config.keep_native)
