"""Run models in ONNX Runtime on the CPU: a file with all optimisations, or one in memory, node by node as written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from trtconv.model.external_data import external_tensors, leads_away, read_external_tensor, with_small_tensors

# ONNX Runtime maps data files that it opens itself, where it would copy weights that it is given.
_DATA_FOLDER_KEY = "session.model_external_initializers_file_folder_path"
_FIRST_WITH_DATA_FOLDER = (1, 21)
_NO_LOG = 4  # what matters it raises as well


def open_file(path: Path) -> Any:
    """Return an ONNX Runtime session of a model's file, with all optimisations.

    What ONNX Runtime raises comes through as it is.
    """
    options = _options()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))  # by itself it counts cores that it may not use
    return _make_session(str(path), options)


def open_session(proto: onnx.ModelProto, folder: Path, num_threads: int = 0) -> Any:
    """Return an ONNX Runtime session that runs the nodes in their order and frees each tensor after its last reader.

    `folder` is the model's, for external data; with `num_threads` 0 ONNX Runtime chooses their number. What ONNX
    Runtime raises comes through as it is.
    """
    import onnxruntime

    options = _options()
    options.intra_op_num_threads = num_threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED  # the default holds every output at once
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    proto = with_small_tensors(proto, folder)  # its shape inference looks for pads in the model
    options.add_session_config_entry(_DATA_FOLDER_KEY, str(folder.absolute()))
    knows_key = tuple(map(int, onnxruntime.__version__.split(".")[:2])) >= _FIRST_WITH_DATA_FOLDER
    weights = [
        _load(tensor, folder) for tensor in external_tensors(proto) if not knows_key or leads_away(tensor, folder)
    ]
    options.add_external_initializers([name for name, _ in weights], [value for _, value in weights])
    return _make_session(proto.SerializeToString(), options)


def _options() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _NO_LOG
    return options


def _make_session(model: str | bytes, options: Any) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _load(tensor: onnx.TensorProto, folder: Path) -> tuple[str, Any]:
    """Read an external tensor for ONNX Runtime, which itself refuses links out of the folder."""
    import onnxruntime

    values = onnx.numpy_helper.to_array(read_external_tensor(tensor, folder))
    return tensor.name, onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values))
