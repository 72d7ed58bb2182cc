"""Rewrite a model, run it before and after, and hold the outputs against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from trtconv.config import Ops
from trtconv.decisions import Decision
from trtconv.element_types import BY_ONNX
from trtconv.model import checking, functions, model_io, redefinitions, walking
from trtconv.model.onnx_session import copy_for_runtime
from trtconv.ops.custom_op import DOMAIN, CustomOp
from trtconv.ops.dynamic_reflect_pad import dynamic_reflect_pad_reference
from trtconv.ops.instance_norm import INSTANCE_NORM, instance_norm_reference
from trtconv.ops.reflect_pad import REFLECT_PAD, reflect_pad_reference
from trtconv.passes import passes_for, run_passes
from trtconv.passes.base import Choices, PassContext
from trtconv.preparation import others

Arrays = Mapping[str, npt.NDArray[Any]]

# What |err| may be, as a part of max|y|: fp32 as promised to users; fp16 and bf16 a few units in the last place, since
# the evaluators that stand in for missing kernels compute in the type itself.
RELATIVE_ERROR = {"float64": 1e-12, "float32": 1e-5, "float16": 2.0**-9, "bfloat16": 2.0**-6}
DEFAULT_SYMBOL = 5
# Ops whose results differ between one implementation and the next.
_ROUNDED = {"BatchNormalization", "Exp", "Tanh", "Sigmoid", "Elu", "Conv", "ConvTranspose"}

onnxruntime.set_default_logger_severity(4)


@dataclass(frozen=True)
class Rewritten:
    """What the passes made of a model."""

    proto: onnx.ModelProto
    num_edits: int
    decisions: Sequence[Decision]
    warning: str | None
    others: Sequence[Decision] = ()

    @property
    def reasons(self) -> list[str]:
        """Why nodes stayed native."""
        return [decision.reason for decision in self.decisions if decision.became is None]


def _attributes(op: CustomOp, run: OpRun) -> dict[str, Any]:
    """Return the attributes of a node, those that it lacks with their defaults."""
    return op.complete({name: value for name in op.attributes if (value := getattr(run, name, None)) is not None})


def _rounded(y: npt.NDArray[Any], x: npt.NDArray[Any], to: int) -> npt.NDArray[Any]:
    return y.astype(BY_ONNX[to].dtype if to else x.dtype)


class InstanceNorm(OpRun):  # type: ignore[misc]
    """The custom op as its float64 reference."""

    op_domain = DOMAIN

    def _run(self, x: Any, scale: Any, bias: Any, *others: Any, **_: Any) -> tuple[Any]:
        attributes = _attributes(INSTANCE_NORM, self)
        roles = INSTANCE_NORM.roles(3 + len(others), attributes) or ()
        given = dict(zip(roles[3:], others, strict=True))
        with np.errstate(over="ignore"):
            return (_rounded(instance_norm_reference(x, scale, bias, **attributes, **given), x, attributes["to"]),)


class ReflectPad(OpRun):  # type: ignore[misc]
    """The custom op as its reference."""

    op_domain = DOMAIN

    def _run(self, x: Any, **_: Any) -> tuple[Any]:
        attributes = _attributes(REFLECT_PAD, self)
        return (_rounded(reflect_pad_reference(x, **attributes), x, attributes["to"]),)


class DynamicReflectPad(OpRun):  # type: ignore[misc]
    """The custom op as its reference."""

    op_domain = DOMAIN

    def _run(self, x: Any, begins: Any, ends: Any, **_: Any) -> tuple[Any]:
        return (dynamic_reflect_pad_reference(x, begins, ends),)


def rewrite(model: onnx.ModelProto, folder: Path, keep_native: Sequence[str] = (), ops: Ops = "plugin") -> Rewritten:
    """Write a model into `folder` and rewrite it from there."""
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return rewrite_file(path, keep_native, ops)


def rewrite_file(path: Path, keep_native: Sequence[str] = (), ops: Ops = "plugin") -> Rewritten:
    """Read, rewrite and check a model as `trtconv rewrite` does."""
    model = model_io.load(path)
    doubts = redefinitions.reasons_against(model.proto.graph)
    context = PassContext(model.opset, path.parent, Choices(keep_native), doubts=doubts)
    num_edits = run_passes(model.graph, context, passes_for(ops))
    proto = model_io.to_proto(model)
    warning = checking.check(proto, model.proto)
    return Rewritten(proto, num_edits, tuple(context.decisions), warning, others(model.proto, context))


def seeded_inputs(model: onnx.ModelProto, given: Arrays | None = None, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
    """Return random values for every input, those in `given` excepted; a symbolic dimension has DEFAULT_SYMBOL."""
    rng = np.random.default_rng(seed)
    feeds: dict[str, npt.NDArray[Any]] = dict(given or {})
    for value in model.graph.input:
        tensor_type = value.type.tensor_type
        shape = [dim.dim_value if dim.dim_value > 0 else DEFAULT_SYMBOL for dim in tensor_type.shape.dim]
        if value.name not in feeds and value.name not in {tensor.name for tensor in model.graph.initializer}:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor_type.elem_type)
            feeds[value.name] = np.asarray(rng.standard_normal(shape) * 3).astype(dtype)
    return feeds


def run_onnxruntime(model: onnx.ModelProto, feeds: Arrays, optimise: bool = True) -> list[npt.NDArray[Any]]:
    """Run a model in ONNX Runtime, deterministically."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    copy = copy_for_runtime(model, Path())
    session = onnxruntime.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])
    inputs = {entry.name for entry in session.get_inputs()}
    outputs: list[npt.NDArray[Any]] = session.run(None, {name: feeds[name] for name in feeds if name in inputs})
    return outputs


def run_reference(model: onnx.ModelProto, feeds: Arrays) -> list[npt.NDArray[Any]]:
    """Run a model in ONNX's own evaluator; custom ops run through their functions."""
    return ReferenceEvaluator(model).run(None, dict(feeds))  # type: ignore[no-any-return]


def run_with_references(model: onnx.ModelProto, feeds: Arrays) -> list[npt.NDArray[Any]]:
    """Run a rewritten model with the custom ops' own references instead of their functions."""
    bare = functions.without_functions(model)
    return ReferenceEvaluator(bare, new_ops=[InstanceNorm, ReflectPad, DynamicReflectPad]).run(None, dict(feeds))  # type: ignore[no-any-return]


def assert_close(got: Sequence[Any], expected: Sequence[Any], exact: bool = False) -> None:
    """Compare outputs by RELATIVE_ERROR of max|y|, or bit for bit."""
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        if exact or other.dtype.name not in RELATIVE_ERROR:
            assert one.tobytes() == other.tobytes()
        elif other.size:
            difference = np.abs(one.astype(np.float64) - other.astype(np.float64)).max()
            limit = RELATIVE_ERROR[other.dtype.name] * np.abs(other.astype(np.float64)).max()
            assert difference <= limit, f"max|err| {difference:.3g}, allowed {limit:.3g}"


def assert_same_numbers(
    original: onnx.ModelProto, rewritten: onnx.ModelProto, feeds: Arrays, by_references: bool = True
) -> None:
    """Hold the rewritten model against the original: by its functions and by the custom ops' references.

    The runner is ONNX Runtime where it has the kernels, else ONNX's own evaluator.
    """
    custom_ops = walking.plugin_op_names(rewritten.graph)
    ops = {node.op_type for node in walking.walk_nodes(original.graph)}
    exact = "InstanceNorm" not in custom_ops and not ops & _ROUNDED
    try:
        expected = run_onnxruntime(original, feeds, optimise=False)  # it would fold what stale value_info says
    except Exception:  # each kernel that is missing has its own exception
        expected = run_reference(original, feeds)
        assert_close(run_reference(rewritten, feeds), expected, exact)
    else:
        assert_close(run_onnxruntime(rewritten, feeds), expected, exact)
    if custom_ops and by_references:
        assert_close(run_with_references(rewritten, feeds), expected, exact)
