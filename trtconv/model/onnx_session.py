"""Run models in ONNX Runtime on the CPU: a file with all optimisations, or one in memory, node by node as written.

Both get the copy of runtime_copy.py where ONNX Runtime would refuse the model for its form alone.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper

from trtconv import reading
from trtconv.child_processes import TELEMETRY_SWITCH
from trtconv.errors import TrtconvError
from trtconv.model.external_data import external_tensors, leads_away, read_external_tensor, require_external_files
from trtconv.model.runtime_copy import RuntimeLimits, notes_on_copy, runtime_copy
from trtconv.model.walking import fed_inputs

# ONNX Runtime maps data files that it opens itself, where it would copy weights that it is given.
_DATA_FOLDER_KEY = "session.model_external_initializers_file_folder_path"
_FIRST_WITH_DATA_FOLDER = (1, 21)
_NO_LOG = 4  # what matters it raises as well
# It merges equal initializers, and a BatchNormalization in training mode then overwrites its scale and bias with its
# running statistics before it reads them (microsoft/onnxruntime#29790).
_DISABLED_OPTIMIZERS = ("ConstantSharing",)
# What every ONNX Runtime that trtconv takes knows: nothing is tried out below.
_KNOWN_IR_VERSION, _KNOWN_OPSETS = 10, {"": 20, "ai.onnx.ml": 4}
_MAX_TRIALS = 64
_RUN_FAILURES = ("Non-zero status code returned while running", "Exception during initialization")
_INTEGERS = frozenset({TensorProto.INT32, TensorProto.INT64, TensorProto.UINT32, TensorProto.UINT64})
_WRONG_SHAPES = ("Got invalid dimensions", "incompatible shape")  # ONNX Runtime's words, and polygraphy's
_INVALID = ("Type Error", "This is an invalid model", "ShapeInferenceError", "TypeInferenceError")
_UNKNOWN_OPS = ("is not a registered function/op", "No Op registered for", "No opset import for domain")


def open_file(path: Path, trust_links: bool = False) -> Any:
    """Return an ONNX Runtime session of a model's file, with all optimisations.

    ONNX Runtime opens the file itself, so that it maps external data; only a file that it refuses for its form is read
    and copied. `trust_links` is that of model_io.load. What ONNX Runtime raises comes through as it is, and so does a
    ModelError of the copy. Raises a TrtconvError for a file, or a file of external data, that may not be read.
    """
    _require_files(path, trust_links)
    options = _options()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))  # by itself it counts cores that it may not use
    try:
        return _make_session(str(path), options)
    except Exception:
        proto = _read(path)
        if proto is None:
            raise
        copy = copy_for_runtime(proto, path.parent)
        is_at_hand = _is_text(path) and not any(leads_away(each, path.parent) for each in external_tensors(proto))
        if copy is proto and is_at_hand:
            raise
    return _open_in_memory(copy, path.parent, options)


def open_session(proto: onnx.ModelProto, folder: Path, num_threads: int = 0) -> Any:
    """Return an ONNX Runtime session that runs the nodes in their order and frees each tensor after its last reader.

    `folder` is the model's, for external data; with `num_threads` 0 ONNX Runtime chooses their number. What ONNX
    Runtime raises comes through as it is, and so does a ModelError of the copy that it gets.
    """
    onnxruntime = _import_runtime()
    options = _options()
    options.intra_op_num_threads = num_threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED  # the default holds every output at once
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    return _open_in_memory(copy_for_runtime(proto, folder), folder, options)


class StoppableRun:
    """One run of an ONNX Runtime session on values of its inputs, which another thread can stop."""

    def __init__(self, session: Any, outputs: Sequence[str], feed: Mapping[str, Any]) -> None:
        self._session, self._outputs, self._feed = session, outputs, dict(feed)
        self._options = _import_runtime().RunOptions()

    def __call__(self) -> list[Any]:
        """Return the outputs, or raise what ONNX Runtime raises."""
        return list(self._session.run(self._outputs, self._feed, self._options))

    def stop(self) -> None:
        """Let the run fail after the node that is being computed."""
        self._options.terminate = True


def copy_for_runtime(proto: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Return the copy of a model that the installed ONNX Runtime takes, or `proto` itself if it is fine.

    `folder` is the model's, for external data. Raises ModelError when an op changed in an opset that ONNX Runtime does
    not know.
    """
    return runtime_copy(proto, folder, _limits())


def notes_of_runtime(proto: onnx.ModelProto) -> list[str]:
    """Return what a report has to say about how ONNX Runtime runs a model."""
    return notes_on_copy(proto, _limits())


def cause_of(error: Exception) -> str:
    """Return all that ONNX Runtime says of a failure, on one line, without its error code and the model's path."""
    if isinstance(error, TrtconvError):
        return str(error)
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", text)
    return re.sub(r"^Load model from .*? failed:", "", text).strip()


def hint_of(error: Exception, integers: Sequence[str], option: str) -> str | None:
    """Return the next step after a failure, None where none is known: then the model itself is at fault.

    `option` gives values for the inputs, of which `integers` hold whole numbers: made-up ones are 0 and 1.
    """
    text = str(error)
    if isinstance(error, TrtconvError):
        return error.hint
    if any(mark in text for mark in _UNKNOWN_OPS):
        return "the model uses an op of another runtime: replace the op where the model is exported"
    if "NOT_IMPLEMENTED" in text:
        return "ONNX Runtime has no CPU kernel for this op and type: export the model in fp32"
    if any(mark in text for mark in _WRONG_SHAPES):
        return "give shapes that it takes: --shape NAME=SHAPE"
    if any(mark in text for mark in _INVALID):
        return "the model is not valid ONNX: correct what is named where the model is exported"
    if not any(mark in text for mark in _RUN_FAILURES):
        return None
    if integers:
        return f"give fitting inputs for {', '.join(integers)}: {option} FILE.npz"
    return f"correct the node that is named; if its shapes depend on the inputs, give fitting ones: {option} FILE.npz"


def integer_inputs(proto: onnx.ModelProto) -> list[str]:
    """Return the inputs of a model that hold whole numbers: sizes, rates and indices, which seldom fit if made up."""
    return [value.name for value in fed_inputs(proto.graph) if value.type.tensor_type.elem_type in _INTEGERS]


def _open_in_memory(proto: onnx.ModelProto, folder: Path, options: Any) -> Any:
    """Return a session of a model in memory, whose external data ONNX Runtime maps where it can."""
    version = tuple(map(int, _import_runtime().__version__.split(".")[:2]))
    is_mapped = version >= _FIRST_WITH_DATA_FOLDER and _is_text(folder)
    if is_mapped:
        options.add_session_config_entry(_DATA_FOLDER_KEY, str(folder.absolute()))
    weights = [
        _load(tensor, folder) for tensor in external_tensors(proto) if not is_mapped or leads_away(tensor, folder)
    ]
    options.add_external_initializers([name for name, _ in weights], [value for _, value in weights])
    return _make_session(proto.SerializeToString(), options)


def _require_files(path: Path, trust_links: bool) -> None:
    """Look at the files that ONNX Runtime is going to open by itself."""
    proto = _read(path)
    if proto is not None:
        require_external_files(proto, path, trust_links)


def _read(path: Path) -> onnx.ModelProto | None:
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(reading.read_bytes(path, reading.MODEL))
    except DecodeError:
        return None
    return proto


def _is_text(path: Path) -> bool:
    """Say whether ONNX Runtime can be told a path: it takes UTF-8 alone."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        return False
    return True


def _import_runtime() -> Any:
    """Import ONNX Runtime; its telemetry, which writes into the home folder, can be switched off only before."""
    os.environ.setdefault(TELEMETRY_SWITCH, "1")
    import onnxruntime

    return onnxruntime


def _options() -> Any:
    options = _import_runtime().SessionOptions()
    options.log_severity_level = _NO_LOG
    return options


def _make_session(model: str | bytes, options: Any) -> Any:
    return _import_runtime().InferenceSession(
        model, options, providers=["CPUExecutionProvider"], disabled_optimizers=_DISABLED_OPTIMIZERS
    )


@functools.cache
def _limits() -> RuntimeLimits:
    name = f"ONNX Runtime {_import_runtime().__version__}"
    return RuntimeLimits(name, newest_ir=_newest_ir, newest_opset=_newest_opset)


@functools.cache
def _newest_ir(wanted: int) -> int:
    """Return the newest IR version up to `wanted` that ONNX Runtime takes; nothing but a trial tells."""
    tried = range(min(wanted, _KNOWN_IR_VERSION + _MAX_TRIALS), _KNOWN_IR_VERSION, -1)
    return next(
        (version for version in tried if _takes(version, "", _KNOWN_OPSETS[""])), min(wanted, _KNOWN_IR_VERSION)
    )


@functools.cache
def _newest_opset(domain: str, wanted: int) -> int:
    """Return the newest opset up to `wanted` that ONNX Runtime takes."""
    known = _KNOWN_OPSETS[domain]
    tried = range(min(wanted, known + _MAX_TRIALS), known, -1)
    return next((version for version in tried if _takes(_KNOWN_IR_VERSION, domain, version)), min(wanted, known))


def _takes(ir_version: int, domain: str, opset: int) -> bool:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "trial", [x], [y])
    opsets = {"": _KNOWN_OPSETS[""], domain: opset}
    imports = [helper.make_opsetid(*each) for each in opsets.items()]
    model = helper.make_model(graph, ir_version=ir_version, opset_imports=imports)
    try:
        _make_session(model.SerializeToString(), _options())
    except Exception:
        return False
    return True


def _load(tensor: onnx.TensorProto, folder: Path) -> tuple[str, Any]:
    """Read an external tensor for ONNX Runtime, which itself refuses links out of the folder."""
    values = onnx.numpy_helper.to_array(read_external_tensor(tensor, folder))
    return tensor.name, _import_runtime().OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values))
