"""From a model as it was read to the model that TensorRT gets: passes, decisions, precision; and the same as built.

What --precision and --ops auto alone need is imported where a model is converted or choices are predicted: builds
without them, and those of TensorRT-RTX, where nothing is to choose, do without.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from trtconv import decisions, files, shapes
from trtconv.config import DEFAULT_OPS, FUSING_OPS, BuildConfig, Ops
from trtconv.decisions import KEPT_FP32, NATIVE, Decision
from trtconv.gpu import driver
from trtconv.model import checking, model_io, redefinitions, walking
from trtconv.model.model_io import Model
from trtconv.model.native_norms import native_norms
from trtconv.ops.custom_op import DOMAIN
from trtconv.passes import passes_for, run_passes
from trtconv.passes.base import Choices, PassContext, Wish
from trtconv.passes.cost_choices import CostChoices
from trtconv.profile_checks import require_runnable
from trtconv.progress import Progress, announce
from trtconv.reports.rewrite_report import RewriteReport
from trtconv.shapes import Profile

if TYPE_CHECKING:
    from trtconv.manifest import Manifest
    from trtconv.precision import KeptNode
    from trtconv.precision.calibration import Arrays

_BEFORE = "the model was rewritten before"


def prepare_as_built(
    model_path: Path, manifest: Manifest, feeds: Sequence[Arrays] = (), trust_links: bool = False
) -> tuple[onnx.ModelProto, list[KeptNode]]:
    """Return a model prepared as a manifest says, and its nodes that stay fp32.

    `feeds` stand for the calibration of the build, whose inputs no manifest holds: what stayed fp32 stays so.
    `trust_links` is never taken from a manifest, which comes from where the engine comes from.
    """
    options = manifest.options
    is_native = options.ops == "native"
    model = model_io.load(model_path, inline_plugins=is_native, profiles=manifest.profiles, trust_links=trust_links)
    chosen = {each.node: Wish(each.made, each.reason) for each in manifest.decisions if each.made is not None}
    proto, _ = run_and_check(model, Choices(chosen=chosen), ops=options.ops)
    if options.precision is None:
        return proto, []
    from trtconv.precision import PrecisionOptions, convert_precision

    kept = [decision.node for decision in manifest.kept_fp32]
    wanted = PrecisionOptions(options.precision, kept, options.io_types)  # type: ignore[arg-type]
    conversion = convert_precision(proto, model_path, wanted, feeds, joins_casts=options.ops in FUSING_OPS)
    return conversion.proto, conversion.kept


def native_reason_of(config: BuildConfig, supports_plugins: bool) -> str | None:
    """Return why every operator stays native, or None when plugins are to be used."""
    if not supports_plugins:
        return "TensorRT-RTX does not support plugins"
    return "asked for by --ops native" if config.ops == "native" else None


def with_decided_ops(config: BuildConfig) -> BuildConfig:
    """Return the configuration with the `ops` of its decision file, else the default, where it names none itself.

    With `tune` there is none: it measures what the operators become.
    """
    path = config.decisions
    if config.ops is not None or config.tune:
        return config
    found = None if path is None or not os.path.exists(path) else decisions.read(path).ops
    return replace(config, ops=found or DEFAULT_OPS)  # type: ignore[arg-type]


def prepare(
    model: Model,
    config: BuildConfig,
    native_reason: str | None,
    costs: CostChoices | None = None,
    progress: Progress | None = None,
) -> tuple[onnx.ModelProto, RewriteReport]:
    """Do to the model what `config` asks for, and write or follow the decision file.

    `costs` are the choices of ops "auto"; without them they are predicted. `progress` is told of the calibration.
    """
    require_runnable(model, config.profiles)
    path = config.decisions
    is_given = path is not None and os.path.exists(path)
    if path is not None and not is_given:
        files.require_writable(path, inputs=(model.path,))
    wanted = decisions.read(path).by_node if path is not None and is_given else {}
    chosen = {
        node: Wish(decision.asked, f"{path}: {decision.reason}")
        for node, decision in wanted.items()
        if decision.asked is not None
    }
    choices = Choices(config.keep_native, native_reason, chosen)
    if costs is None:
        costs = predicted_choices(model, config, choices) if config.ops == "auto" else CostChoices()
    decided_here = {node: wish for node, wish in costs.wishes.items() if node not in wanted}
    choices = replace(choices, chosen=decided_here | chosen)
    ops = config.ops if native_reason is None else NATIVE
    proto, report = run_and_check(model, choices, config.profiles, ops)
    report = replace(report, decisions=costs.with_figures(report.decisions))
    if path is not None and is_given:
        decisions.require_followed(path, wanted, report.decisions)
        report = replace(report, decisions_read=path)
    elif path is not None:
        decisions.write(path, model.path, report.decisions, config.ops or "plugin")
        report = replace(report, decisions_written=path)
    if config.precision is None:
        return proto, report
    return _in_precision(proto, report, config, joins_casts=ops in FUSING_OPS, progress=progress)


def _in_precision(
    proto: onnx.ModelProto, report: RewriteReport, config: BuildConfig, *, joins_casts: bool, progress: Progress | None
) -> tuple[onnx.ModelProto, RewriteReport]:
    """Convert a rewritten model to the precision that is asked for; `progress` is told of the calibration."""
    from trtconv.precision import PrecisionOptions, convert_precision

    options = PrecisionOptions(config.precision, config.keep_fp32, config.io_types)  # type: ignore[arg-type]
    announce(f"calibrating {report.model.name} for {config.precision}")
    feeds = _calibration_feeds(proto, config)
    proto, kept, warnings = convert_precision(
        proto,
        report.model,
        options,
        feeds,
        are_made=not config.calibration,
        joins_casts=joins_casts,
        progress=progress,
    )
    kept_fp32 = tuple(Decision(node.address, node.op, KEPT_FP32, node.reason, node.figures) for node in kept)
    changed = {"precision": config.precision, "kept_fp32": kept_fp32, "warnings": (*report.warnings, *warnings)}
    return proto, RewriteReport(**(vars(report) | changed))


def predicted_choices(model: Model, config: BuildConfig, choices: Choices) -> CostChoices:
    """Return what is predicted to be fastest for each node that `choices` leave open, on the GPU here.

    Dynamic inputs have the usual shapes of the first profile.
    """
    if choices.native_reason is not None:
        return CostChoices()
    from trtconv.costs.tables import table_for
    from trtconv.passes.choose_by_cost import choose_by_cost
    from trtconv.passes.fusing_passes import TRIALS

    announce(f"predicting the times of {model.path.name}")
    profile = config.profiles[0] if config.profiles else {}
    sizes = {name: list(shape.opt) for name, shape in profile.items() if shape.kind == "shape"}
    return choose_by_cost(
        model_io.graphs_at(model, sizes),
        _context(model, choices),
        TRIALS,
        table_for(driver.find_gpu()),
        is_short=config.precision is not None,
    )


def _context(model: Model, choices: Choices) -> PassContext:
    return PassContext(model.opset, model.path.parent, choices, doubts=redefinitions.reasons_against(model.proto.graph))


def _calibration_feeds(proto: onnx.ModelProto, config: BuildConfig) -> Sequence[Arrays]:
    """Return the input sets to judge fp16 by: the user's, or made ones of the first profile's usual shapes."""
    if config.precision != "fp16":
        return []
    from trtconv.inputs.input_files import read_calibration
    from trtconv.inputs.made_inputs import make_feeds, shape_choices

    if not config.calibration:
        (choice,) = shape_choices(proto, config.profiles[:1])
        return make_feeds(proto, choice.shapes, values=choice.values)
    sets = read_calibration(config.calibration, proto, config.profiles)
    return [dict(each.feed) for each in sets]


def run_and_check(
    model: Model, choices: Choices, profiles: Sequence[Profile] = (), ops: Ops | None = None
) -> tuple[onnx.ModelProto, RewriteReport]:
    """Run the passes that `ops` asks for and check what they made."""
    announce(f"rewriting {model.path.name}", is_of_model=True)
    num_nodes = sum(1 for _ in walking.walk_nodes(model.proto.graph))
    context = _context(model, choices)
    run_passes(model.graph, context, passes_for(ops))
    proto = model_io.to_proto(model)
    found = (checking.check(proto, model.proto), checking.type_warning(model.proto, model.path.parent))
    redefined = [each.warning for each in redefinitions.redefinitions(model.proto.graph)]
    empty = shapes.describe_empty(walking.describe_inputs(model.proto), profiles)
    warnings = (*model.warnings, *empty, *filter(None, found), *redefined)
    report = RewriteReport(model.path, model.opset, num_nodes, tuple(context.decisions), warnings)
    decided = {decision.node for decision in report.decisions}
    return proto, replace(report, others=[each for each in others(model.proto, context) if each.node not in decided])


def graph_digest(proto: onnx.ModelProto) -> str:
    """Return what tells a graph from others: its nodes, outputs and constants."""
    digest = hashlib.sha256()
    for part in (*proto.graph.node, *proto.graph.output, *proto.graph.initializer):
        digest.update(part.SerializeToString(deterministic=True))
    return digest.hexdigest()


def others(proto: onnx.ModelProto, context: PassContext) -> Sequence[Decision]:
    """Return what no pass looks at: plugins of a model that was rewritten before, and norms in another form."""
    nodes = walking.walk_addresses(proto.graph)
    plugins = [(address, f"{DOMAIN}::{node.op_type}") for address, node in nodes if node.domain == DOMAIN]
    norms = native_norms(proto, context.roots)
    for_all = context.choices.native_reason
    return (
        *(Decision(address, title, title, _BEFORE) for address, title in plugins),
        *(Decision(norm.node, norm.op, None, (norm.may_be_fused and for_all) or norm.reason) for norm in norms),
    )
