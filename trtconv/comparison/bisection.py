"""Find the first tensor inside a network that leaves the tolerance.

Tensors of the same name in both are given out of both, through a Cast to fp32 each, and compared in the order in which
the reference computes them. They are too many for memory at once in a large network, so they come in batches. An engine
cannot be given more outputs: one is built anew for each batch, from the same model and with the same options.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from trtconv import files, preparation
from trtconv.comparison.measuring import OutputComparison
from trtconv.comparison.report import Bisection
from trtconv.comparison.running import run_both
from trtconv.comparison.tolerance import Tolerance, Tolerances
from trtconv.element_types import ELEMENT_TYPES
from trtconv.engine import backends, building, loading
from trtconv.errors import ConfigError
from trtconv.inputs.made_inputs import Arrays, InputSet
from trtconv.manifest import ModelIdentity, require_manifest
from trtconv.model import model_io
from trtconv.model.addresses import address_of
from trtconv.model.exact_norms import exact_reference
from trtconv.model.onnx_session import open_session
from trtconv.model.shape_inference import with_shapes
from trtconv.model.walking import fed_inputs
from trtconv.ops.custom_op import DOMAIN
from trtconv.progress import NoProgress, Progress

MAX_BATCH_BYTES = 1 << 30  # of the reference's tensors; comparing takes several times as much
_TAP = "trtconv_tap_"
_FLOATS = frozenset(each.onnx for each in ELEMENT_TYPES if each.is_float)


@dataclass(frozen=True)
class Side:
    """One of the two networks. `run` makes something that `comparison.compare` takes out of the model with taps."""

    proto: onnx.ModelProto
    folder: Path
    run: Callable[[onnx.ModelProto], Any]


@dataclass(frozen=True)
class _Tensor:
    name: str
    node: str
    op: str
    candidate_op: str
    num_bytes: int


def bisect_models(
    reference: Path,
    candidate: Path,
    inputs: InputSet,
    tolerance: Tolerance,
    progress: Progress | None = None,
    trust_links: bool = False,
    trust: bool = False,
) -> Bisection:
    """Compare the insides of two ONNX models in ONNX Runtime; `trust` concerns engines alone."""
    protos = [model_io.load(path, trust_links=trust_links).proto for path in (reference, candidate)]
    first, second = map(_onnx_side, protos, (reference, candidate))
    return find(first, second, inputs, tolerance, "in ONNX Runtime, without its optimisations", progress)


def bisect_engine(
    reference: Path,
    candidate: Path,
    inputs: InputSet,
    tolerance: Tolerance,
    progress: Progress | None = None,
    trust_links: bool = False,
    trust: bool = False,
) -> Bisection:
    """Compare the internal tensors of an ONNX model with those of an engine, which is built anew with more outputs.

    Raises ConfigError where the manifest, or the model that the engine was built from, is not there.
    """
    manifest = require_manifest(candidate, "how the engine was built", trust=trust)
    model_path = _find_model(manifest.model, candidate, reference)
    config = manifest.config()
    backend, notes = backends.select_backend(config)
    proto, kept = preparation.prepare_as_built(model_path, manifest, [inputs.feed], trust_links)

    def build(tapped: onnx.ModelProto) -> Any:
        plan = building.build(tapped, model_path, config, backend, progress or NoProgress(), notes)
        return loading.load_plan(plan, backend)

    how = f"in engines built anew from {model_path.name} with these tensors as outputs, which TensorRT fuses less"
    num_kept = len(kept) - len(manifest.kept_fp32)
    if num_kept:
        how += f"; {abs(num_kept)} nodes {'more' if num_kept > 0 else 'fewer'} stay fp32 than in the engine"
    original = model_io.load(reference, trust_links=trust_links).proto
    side = Side(original, reference.parent, lambda tapped: exact_reference(tapped, reference))
    return find(side, Side(proto, model_path.parent, build), inputs, tolerance, how, progress)


def find(
    reference: Side, candidate: Side, inputs: InputSet, tolerance: Tolerance, how: str, progress: Progress | None = None
) -> Bisection:
    """Return the first tensor, in the reference's order, that leaves the tolerance on this input set."""
    tensors = list(_common_tensors(reference, candidate, inputs.feed))
    before: OutputComparison | None = None
    num_compared = 0
    for batch in _batches(tensors):
        first, second = (side.run(_with_taps(side.proto, batch)) for side in (reference, candidate))
        report = run_both(first, second, [inputs.feed], Tolerances(tolerance), labels=[inputs.label], progress=progress)
        compared = {output.name: output for output in report.outputs}
        for index, tensor in enumerate(batch):
            found = OutputComparison(**(vars(compared[f"{_TAP}{index}"]) | {"name": tensor.name}))
            num_compared += 1
            if not found.passed:
                origin = (tensor.name, tensor.node, tensor.op, tensor.candidate_op)
                return Bisection(how, num_compared, *origin, found, before)
            before = found
    last = (
        f"the error arises after {before.name}, or in tensors of other types"
        if before
        else "the two have no float tensors of the same name"
    )
    return Bisection(f"{last}; {how}", num_compared)


def _onnx_side(proto: onnx.ModelProto, path: Path) -> Side:
    return Side(proto, path.parent, lambda tapped: partial(open_session, tapped, path.parent))


def _find_model(wanted: ModelIdentity | None, engine_path: Path, reference: Path) -> Path:
    """Return the file of the model that an engine was built from: the reference itself, or one beside either."""
    if wanted is None:
        raise ConfigError("its manifest does not name the model that it was built from", where=str(engine_path))
    name = Path(wanted.file).name  # a manifest names a file, not a place
    for path in dict.fromkeys((reference, engine_path.parent / name, reference.parent / name)):
        if os.path.isfile(path) and files.sha256(path) == wanted.sha256:
            return path
    sha256 = f"{wanted.sha256[:12]}..."
    what = f"the engine was built from {name}, which is not here: no file of that name has the sha256 {sha256}"
    raise ConfigError(what, where=str(engine_path), hint="put the model beside the engine, or build the engine again")


def _common_tensors(reference: Side, candidate: Side, feed: Arrays) -> Iterator[_Tensor]:
    """Yield the float tensors that both compute under one name out of their inputs, in the reference's order."""
    sizes = _sizes(reference, feed)
    unknown = max(sizes.values(), default=0)
    types = _types(with_shapes(candidate.proto, candidate.folder))
    candidate_ops = {name: _op_of(node) for node in candidate.proto.graph.node for name in node.output}
    computed = _computed(candidate.proto.graph)
    for node in reference.proto.graph.node:
        address = address_of(node)
        for name in node.output:
            if name in sizes and name in computed and types.get(name) in _FLOATS:
                yield _Tensor(name, address, _op_of(node), candidate_ops[name], sizes[name] or unknown)


def _sizes(side: Side, feed: Arrays) -> dict[str, int]:
    """Return the bytes, as fp32, of each float tensor that depends on the inputs; 0 where its shape is not known."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(side.proto)
    for value in fixed.graph.input:
        if value.name in feed:
            shape = value.type.tensor_type.shape
            del shape.dim[:]
            shape.dim.extend(onnx.TensorShapeProto.Dimension(dim_value=size) for size in feed[value.name].shape)
    inferred = with_shapes(fixed, side.folder)
    shapes = {value.name: value.type.tensor_type.shape.dim for value in _values(inferred)}
    types, computed = _types(inferred), _computed(side.proto.graph)
    return {
        name: 4 * math.prod(dim.dim_value for dim in shapes[name])
        for name in types
        if name in computed and types[name] in _FLOATS
    }


def _types(proto: onnx.ModelProto) -> dict[str, int]:
    return {value.name: value.type.tensor_type.elem_type for value in _values(proto)}


def _values(proto: onnx.ModelProto) -> Iterator[onnx.ValueInfoProto]:
    yield from proto.graph.value_info
    yield from proto.graph.output


def _computed(graph: onnx.GraphProto) -> set[str]:
    """Return the tensors that depend on the graph's inputs; nodes with branches are taken to."""
    known = {value.name for value in fed_inputs(graph)}
    computed: set[str] = set()
    for node in graph.node:
        if any(name in known for name in node.input) or any(attribute.HasField("g") for attribute in node.attribute):
            computed.update(name for name in node.output if name)
            known.update(node.output)
    return computed


def _op_of(node: onnx.NodeProto) -> str:
    return f"{DOMAIN}::{node.op_type}" if node.domain == DOMAIN else str(node.op_type)


def _batches(tensors: Sequence[_Tensor]) -> Iterator[list[_Tensor]]:
    batch: list[_Tensor] = []
    for tensor in tensors:
        if batch and sum(each.num_bytes for each in (*batch, tensor)) > MAX_BATCH_BYTES:
            yield batch
            batch = []
        batch.append(tensor)
    if batch:
        yield batch


def _with_taps(proto: onnx.ModelProto, tensors: Sequence[_Tensor]) -> onnx.ModelProto:
    """Return the model with one more output for each tensor, its values in fp32."""
    tapped = onnx.ModelProto()
    tapped.CopyFrom(proto)
    for index, tensor in enumerate(tensors):
        output = f"{_TAP}{index}"
        tapped.graph.node.append(helper.make_node("Cast", [tensor.name], [output], to=TensorProto.FLOAT))
        tapped.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    return tapped
