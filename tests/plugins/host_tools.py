"""Helpers of the tests that hold the kernels' arithmetic against ONNX Runtime."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import onnxruntime
from onnx import helper

# GPUs as the launch choices of InstanceNorm see them: major version of the compute capability, bytes of shared memory
# for a block. A test holds the H100, which the choices are fitted to, against the kernels' own.
H100_PROCESSORS = 132
H100 = (9, 232448)
B200 = (10, 232448)
RTX_5090 = (12, 101376)
A100 = (8, 166912)
T4 = (7, 65536)


@dataclass(frozen=True)
class LinearConstants:
    """Constants of the linear kernels, as the host build has them."""

    h100_processors: int
    h100_major_version: int
    h100_shared_bytes: int
    cluster_threads: int
    cluster_blocks: int
    cluster_static_bytes: int
    stage_vectors: int
    streamed_static_bytes: int


def pointer(array: npt.NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def session_of(node_type: str, inputs: dict[str, int], **attributes: Any) -> onnxruntime.InferenceSession:
    node = helper.make_node(node_type, list(inputs), ["y"], **attributes)
    values = [helper.make_tensor_value_info(name, kind, None) for name, kind in inputs.items()]
    output = helper.make_tensor_value_info("y", next(iter(inputs.values())), None)
    graph = helper.make_graph([node], "one_node", values, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
