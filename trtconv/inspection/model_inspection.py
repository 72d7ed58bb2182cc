"""What an ONNX model holds, what the graph pass would make of it, and why."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import onnx_graphsurgeon as gs

from trtconv import reading
from trtconv.config import DEFAULT_OPS, BackendName, BuildConfig, Ops
from trtconv.element_types import BY_ONNX
from trtconv.errors import ModelError
from trtconv.inspection.inspected_file import identify
from trtconv.inspection.inspected_nodes import NodeInspection, Tensor
from trtconv.inspection.model_report import ModelInspection
from trtconv.inspection.op_support import Problem, check_backend, onnx_problems
from trtconv.inspection.parameter_sources import read_parameters
from trtconv.model import external_data, model_io, redefinitions, walking
from trtconv.model.model_io import Model
from trtconv.model.native_norms import native_norms
from trtconv.model.shape_inference import is_made_up
from trtconv.ops import BY_ONNX_OP, other_form
from trtconv.ops.custom_op import DOMAIN, Dim
from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.passes import passes_for, run_passes
from trtconv.passes.base import Choices, PassContext, Site, walk
from trtconv.passes.complete_shapes import complete_shapes
from trtconv.passes.cost_choices import CostChoices
from trtconv.passes.graph_edit import describe_dtype, dtype_of, shape_of
from trtconv.preparation import predicted_choices


@dataclass(frozen=True)
class Examined:
    """A model that was inspected, as the passes left it, and for a page the `types` of its tensors before them.

    It `is_rewritten` unless the passes stopped at an error.
    """

    inspection: ModelInspection
    model: Model
    types: Mapping[str, str]
    is_rewritten: bool


def inspect_model(
    path: str | Path,
    *,
    ops: Ops = DEFAULT_OPS,
    keep_native: Sequence[str] = (),
    backend: BackendName = "auto",
    trust_links: bool = False,
) -> ModelInspection:
    """Read a model, run the passes of `ops` on it in memory, and let the parser of `backend` check its ops.

    `trust_links` follows links of external data out of the model's folder.
    Raises ConfigError when there is no such file or a `keep_native` pattern matches nothing, ModelError when it is not
    an ONNX model. Blockers of a build are not errors here: they are in `problems`.
    """
    return examine_model(
        Path(path), ops=ops, keep_native=keep_native, backend=backend, trust_links=trust_links
    ).inspection


def examine_model(
    path: Path,
    *,
    ops: Ops,
    keep_native: Sequence[str],
    backend: BackendName,
    trust_links: bool,
    for_page: bool = False,
) -> Examined:
    """Inspect a model as `inspect_model` does; `for_page` returns the types that its page shows, too."""
    reading.require_readable(path)
    model = model_io.load(path, trust_links=trust_links)
    file = identify(path)
    complete_shapes(model.graph, PassContext(model.opset, path.parent))
    sites = list(walk(model.graph))
    opsets = {entry.domain or "ai.onnx": int(entry.version) for entry in model.proto.opset_import}
    outputs = _outputs(model)
    problems = onnx_problems(sites, opsets)
    types = _types_for_page(model) if for_page else {}
    nodes, pass_problem, roots = _decide(model, sites, keep_native, ops)
    check = check_backend(backend, lambda: _as_native(model, trust_links))
    inspection = ModelInspection(
        file=file,
        producer=" ".join(map(_text, (model.proto.producer_name, model.proto.producer_version))).strip(),
        ir_version=model.proto.ir_version,
        opsets=opsets,
        inputs=_inputs(model.proto.graph),
        outputs=outputs,
        num_weights=sum(1 for _ in _weights(model.proto.graph)),
        weight_bytes=sum(map(_num_bytes, _weights(model.proto.graph))),
        external_files=external_data.file_sizes(model.proto, path.parent),
        functions=dict(model.functions),
        ops=dict(Counter(_op_name(node) for node in walking.walk_nodes(model.proto.graph)).most_common()),
        nodes=nodes,
        native_norms=[
            norm for norm in native_norms(model.proto, roots) if norm.node not in {node.node for node in nodes}
        ],
        problems=[*problems, *pass_problem, *check.problems],
        backend=check,
    )
    return Examined(inspection, model, types, is_rewritten=not pass_problem)


def _types_for_page(model: Model) -> Mapping[str, str]:
    from trtconv.pages.graph_reading import tensor_types  # a module of --html alone

    return tensor_types(model.graph)


def _decide(
    model: Model, sites: Sequence[Site], keep_native: Sequence[str], ops: Ops
) -> tuple[list[NodeInspection], list[Problem], dict[str, str]]:
    """Run the passes themselves; put their decisions beside what the nodes were before, with the roots of norms."""
    shown = [site for site in sites if _is_shown(site)]
    parameters = read_parameters(shown, model.opset, model.path.parent)
    before = [
        (site.address, _title(site), *_type_of_x(site), given) for site, given in zip(shown, parameters, strict=True)
    ]
    doubts = redefinitions.reasons_against(model.proto.graph)
    choices = Choices(keep_native)
    costs = CostChoices()
    if ops == "auto":
        with contextlib.suppress(ModelError):  # the passes below stop at the same node
            costs = predicted_choices(model, BuildConfig(ops=ops), choices)
    choices = replace(choices, chosen=costs.wishes)
    context = PassContext(model.opset, model.path.parent, choices, doubts=doubts)
    problems = []
    try:
        run_passes(model.graph, context, passes_for(ops))
    except ModelError as error:  # the passes stop at the first node that breaks ONNX's rules
        problems = [Problem("trtconv", error.what, (error.where,) if error.where else ())]
    decisions = context.decisions.by_node()
    nodes = []
    for site, (address, title, dtype, shape, given) in zip(shown, before, strict=True):
        made = decisions.get(id(site.node))
        outcome = (True, made.became, made.reason) if made else _not_taken_up(address, title, problems)
        figures = {**(made.figures if made else {}), **costs.figures.get(address, {})}
        nodes.append(NodeInspection(address, title, dtype, shape, given, *outcome, figures))
    told = {node.node for node in nodes}
    others = (made for made in context.decisions if made.node not in told)
    nodes += (
        NodeInspection(made.node, made.op, None, None, [], True, made.became, made.reason, made.figures)
        for made in costs.with_figures(list(others))
    )
    return nodes, problems, context.roots


def _as_native(model: Model, trust_links: bool) -> Model:
    """Return a model as a backend without plugins gets it."""
    if walking.plugin_op_names(model.proto.graph):
        native = model_io.load(model.path, inline_plugins=True, trust_links=trust_links)
    else:
        native = model_io.unedited(model)
    context = PassContext(native.opset, native.path.parent, Choices(native_reason="for a backend without plugins"))
    with contextlib.suppress(ModelError):  # the model's fault, which is told already
        if run_passes(native.graph, context):
            return replace(native, proto=model_io.to_proto(native))
    return native


def _not_taken_up(address: str, title: str, problems: Sequence[Problem]) -> tuple[bool, str | None, str]:
    """Return whether it is decided, what becomes, and why, of a node that no pass took up."""
    if title.startswith(f"{DOMAIN}::"):
        return True, title, "it is a custom op already"
    if (form := other_form(title)) and form.why_not_others:
        return True, None, form.why_not_others
    if any(address in problem.nodes for problem in problems):
        return False, None, f"it breaks ONNX's rules: {problems[0].what}"
    return False, None, "the pass stopped at another node"


def _is_shown(site: Site) -> bool:
    return bool(site.node.domain == DOMAIN or (walking.is_onnx(site.node.domain) and site.node.op in BY_ONNX_OP))


def _title(site: Site) -> str:
    """Return what the passes call a node's op, with the mode of a Pad."""
    is_custom = site.node.domain == DOMAIN
    return f"{DOMAIN}::{site.node.op}" if is_custom else BY_ONNX_OP[site.node.op].form.title(site.node.attrs)


def _type_of_x(site: Site) -> tuple[str | None, list[Dim] | None]:
    """Return the type and shape of X. Of a norm, ONNX gives scale and bias its type, which may be known alone."""
    if not site.node.inputs:
        return None, None
    x, *operands = site.node.inputs
    alike = operands if site.node.op == INSTANCE_NORM.form.op_type else []
    dtype = next(filter(None, map(_inferred_dtype, (x, *alike))), None)
    return dtype, _inferred_shape(x)


def _inputs(graph: onnx.GraphProto) -> list[Tensor]:
    return [_tensor(value) for value in walking.fed_inputs(graph)]


def _outputs(model: Model) -> list[Tensor]:
    """Return the outputs, with inferred types where the model declares none."""
    declared = [_tensor(value) for value in model.proto.graph.output]
    inferred = model.graph.outputs
    return [
        Tensor(known.name, _inferred_dtype(tensor), _inferred_shape(tensor)) if known.dtype is None else known
        for known, tensor in zip(declared, inferred, strict=True)
    ]


def _inferred_dtype(tensor: gs.Tensor) -> str | None:
    dtype = dtype_of(tensor)
    return None if dtype is None else describe_dtype(dtype)


def _inferred_shape(tensor: gs.Tensor) -> list[Dim] | None:
    """Return a shape without the names that shape inference makes up for dimensions that it does not know."""
    shape = shape_of(tensor)
    return shape and [None if is_made_up(dim) else dim for dim in shape]


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    if not value.type.HasField("tensor_type"):
        kind = value.type.WhichOneof("value")
        return Tensor(value.name, kind.removesuffix("_type") if kind else None, None)
    kind = value.type.tensor_type
    dtype = describe_dtype(kind.elem_type) if kind.elem_type else None
    return Tensor(value.name, dtype, [_dim(dim) for dim in kind.shape.dim] if kind.HasField("shape") else None)


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    return dim.dim_param or None


def _text(field: str | bytes) -> str:
    """Return a field that protobuf gives as bytes where it is not UTF-8."""
    return field.decode(errors="backslashreplace") if isinstance(field, bytes) else field


def _op_name(node: onnx.NodeProto) -> str:
    return node.op_type if walking.is_onnx(node.domain) else f"{node.domain}::{node.op_type}"


def _weights(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield every initializer, branches included."""
    for each in walking.walk_graphs(graph):
        yield from each.initializer


def _num_bytes(tensor: onnx.TensorProto) -> int:
    found = BY_ONNX.get(tensor.data_type)
    return 0 if found is None else found.num_bytes(math.prod(tensor.dims))
