"""Which ops of a model ONNX does not define, and what the parser of the TensorRT at hand refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import onnx
import onnx.defs

from trtconv.config import BackendName, BuildConfig
from trtconv.engine import backends
from trtconv.engine.backends import Backend
from trtconv.engine.network_parsing import check_model, why_unchecked
from trtconv.errors import BackendError
from trtconv.model import walking
from trtconv.model.model_io import Model
from trtconv.ops import CUSTOM_OPS
from trtconv.ops.custom_op import DOMAIN
from trtconv.passes.base import Site, walk


@dataclass(frozen=True)
class Problem:
    """A blocker of a conversion. `found_by` is ONNX, trtconv, or a backend's title."""

    found_by: str
    what: str
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class BackendCheck:
    """Whether a backend's parser has read the model, and if not, why; `backend` is its name and version."""

    backend: str | None
    checked: bool
    detail: str
    problems: tuple[Problem, ...] = ()


def onnx_problems(sites: Iterable[Site], opsets: Mapping[str, int]) -> list[Problem]:
    """Return the nodes whose op ONNX does not define in the opsets that the model names."""
    nodes: dict[str, list[str]] = {}
    for site in sites:
        what = _unknown_to_onnx(site.node.op, "" if walking.is_onnx(site.node.domain) else site.node.domain, opsets)
        if what is not None:
            nodes.setdefault(what, []).append(site.address)
    return [Problem("ONNX", what, tuple(addresses)) for what, addresses in nodes.items()]


def check_backend(wanted: BackendName, read: Callable[[], Model]) -> BackendCheck:
    """Let the parser of the chosen backend, if it is installed, read a model.

    `read` returns it with ONNX ops again in place of the custom ops.
    """
    try:
        backend, _ = backends.select_backend(BuildConfig(backend=wanted))
    except BackendError as error:
        return BackendCheck(None, False, str(error))
    model = read()
    if walking.plugin_op_names(model.proto.graph):  # RTX's parser ends the process where it meets a plugin
        return BackendCheck(backend.title, False, "the model holds custom ops without their functions")
    if why_not := why_unchecked(model.proto, model.path):
        return BackendCheck(backend.title, False, why_not)
    try:
        problems = _parse(backend, model)
    except Exception as error:  # pybind11 has many
        return BackendCheck(backend.title, False, f"its parser cannot check the model: {error}")
    detail = "its parser refuses the model" if problems else "its parser accepts the model"
    return BackendCheck(backend.title, True, detail, problems)


def _unknown_to_onnx(op: str, domain: str, opsets: Mapping[str, int]) -> str | None:
    """Return what is wrong with an op, or None for one that ONNX defines or that trtconv brings."""
    if domain == DOMAIN and op in CUSTOM_OPS:
        return None
    name = f"{domain}::{op}" if domain else op
    if not onnx.defs.has(op, domain):
        if domain:
            return f"{name} is of a custom domain: TensorRT needs a plugin for it"
        return f"{op} is not a standard ONNX operator (experimental or removed)"
    opset = opsets.get(domain or "ai.onnx", 1)
    try:
        schema = onnx.defs.get_schema(op, opset, domain)
    except onnx.defs.SchemaError:
        history = onnx.defs.get_all_schemas_with_history()
        since = min(each.since_version for each in history if (each.name, each.domain) == (op, domain))
        return f"{name} is not in opset {opset}: it came with opset {since}"
    return f"{name} was dropped with opset {schema.since_version}" if schema.deprecated else None


def _parse(backend: Backend, model: Model) -> tuple[Problem, ...]:
    check = check_model(backend, model.proto, model.path)
    if check.is_taken:
        return ()
    found = {what: list(nodes) for what, nodes in check.problems.items()}
    for site in walk(model.graph):
        if site.node.op in check.unsupported_ops:
            nodes = found.setdefault(f"the parser does not support the op {site.node.op}", [])
            if site.address not in nodes:
                nodes.append(site.address)
    if not found:
        return (Problem(backend.title, "the parser refuses the model and gives no reason", ()),)
    return tuple(Problem(backend.title, what, tuple(nodes)) for what, nodes in found.items())
