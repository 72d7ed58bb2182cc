"""Build an engine of one operator for each case, in several processes at once and before anything is timed."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx
from onnx import TensorProto, helper, numpy_helper

from trtconv import child_processes
from trtconv.benchmark.cases import Case, make_parameters
from trtconv.config import BackendName
from trtconv.model import functions
from trtconv.ops.custom_op import DOMAIN, VERSION, attributes_for
from trtconv.progress import Progress

# TensorRT's own layers of what the op means in ONNX's ops, the same of ONNX's own op for it, and our plugin.
Kind = Literal["native", "native_op", "plugin"]
Order = Mapping[str, Any]  # what engine_worker reads
KINDS: tuple[Kind, ...] = ("native", "native_op", "plugin")

PHASE = "building engines of one operator"
WORKER = "trtconv.engine.engine_worker"
_TICK_SECONDS = 0.1
_GROUPS_OPSET = 21  # the first in which scale and bias of groups are those of channels


@dataclass(frozen=True)
class BuiltEngine:
    """Where an engine is, or why it could not be built."""

    path: Path | None
    problem: str | None = None


def one_op_model(case: Case, kind: Kind) -> onnx.ModelProto:
    """Return the operator alone, x and perhaps residual in, y out: the custom op that becomes our plugin, what it means
    in ONNX's ops, or the one op of ONNX that means the same.
    """
    element_type, attributes = case.element_type.onnx, case.attributes
    opset = 22 if case.dtype == "bf16" else 17  # the first with norms of bfloat16
    if kind == "native_op":
        groups = {"num_groups": attributes["groups"], "epsilon": attributes["epsilon"]}
        opset = _GROUPS_OPSET
        node = helper.make_node("GroupNormalization", ["x", *case.row.inputs[1:]], ["y"], **groups)
    else:
        given = attributes_for(case.row, attributes, opset)
        node = helper.make_node(case.op, ["x", *case.roles[1:]], ["y"], domain=DOMAIN, **given)
    constants = [_tensor(name, array, element_type) for name, array in make_parameters(case).items()]
    inputs = [helper.make_tensor_value_info(name, element_type, case.shape) for name in case.tensor_inputs]
    y = helper.make_tensor_value_info("y", case.output_type.onnx, case.output_shape)
    graph = helper.make_graph([node], "one_op", inputs, [y], constants)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, VERSION)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    if kind != "native":
        return model
    functions.attach_functions(model)
    return functions.inline_functions(model, Path(case.name), inline_plugins=True)


def has_kind(case: Case, kind: Kind) -> bool:
    """Whether there is an engine of this kind: ONNX has an op of its own for a norm of groups and nothing more."""
    is_of_groups = case.is_norm and [name for name, _ in case.extra] == ["groups"] and not case.has_residual
    return kind != "native_op" or (is_of_groups and not case.pad)


def build_engines(
    cases: Sequence[Case],
    kinds: Sequence[Kind],
    folder: Path,
    num_jobs: int,
    progress: Progress,
    backend: BackendName = "tensorrt",
) -> dict[tuple[Case, Kind], BuiltEngine]:
    """Build every engine in `folder`; one that fails, whatever its process does, has its reason instead.

    Each process builds a share of them, the largest tensors spread evenly.
    """
    orders: dict[str, tuple[Case, Kind]] = {}
    work: list[Order] = []
    for case in sorted(cases, key=lambda case: -case.num_bytes):
        for kind in (kind for kind in kinds if has_kind(case, kind)):
            model, built = (folder / f"{len(work)}.{suffix}" for suffix in ("onnx", "engine"))
            onnx.save(one_op_model(case, kind), model)
            orders[str(built)] = (case, kind)
            paths = {"model": str(model), "engine": str(built)}
            work.append(paths | {"io_format": case.tensorrt_format, "backend": backend})
    shares = [work[first::num_jobs] for first in range(min(num_jobs, len(work)))]
    answers = _run_workers(shares, progress)
    return {
        orders[engine]: BuiltEngine(Path(engine) if problem is None else None, problem)
        for engine, problem in answers.items()
    }


def _tensor(name: str, values: Any, element_type: int) -> onnx.TensorProto:
    if element_type == TensorProto.BFLOAT16:
        return helper.make_tensor(name, element_type, values.shape, values.tobytes(), raw=True)
    return numpy_helper.from_array(values, name)


def _run_workers(shares: Sequence[Sequence[Order]], progress: Progress) -> dict[str, str | None]:
    """Return why each engine was not built, None for those that were."""
    answers: queue.Queue[tuple[str, str | None]] = queue.Queue()
    results: dict[str, str | None] = {}
    num_engines = sum(map(len, shares))
    progress.phase_start(PHASE, None, num_engines)
    with ExitStack() as stack:
        for share in shares:
            worker = _start_worker()
            stack.callback(_end, worker)
            threading.Thread(target=_converse, args=(worker, share, answers), daemon=True).start()
        while len(results) < num_engines:
            progress.tick()
            try:
                engine, problem = answers.get(timeout=_TICK_SECONDS)
            except queue.Empty:
                continue
            results[engine] = problem
            progress.step_complete(PHASE, len(results) - 1)
    progress.phase_finish(PHASE)
    return results


def _start_worker() -> subprocess.Popen[str]:
    return subprocess.Popen(
        child_processes.module_command(WORKER),
        env=child_processes.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # a Ctrl-C of the terminal is for this process, which ends the workers
    )


def _end(worker: subprocess.Popen[str]) -> None:
    worker.kill()
    worker.wait()


def _converse(
    worker: subprocess.Popen[str], share: Sequence[Order], answers: queue.Queue[tuple[str, str | None]]
) -> None:
    """Hand a worker its share and pass its answers on; where it ends early, say so for what is left."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    left = [order["engine"] for order in share]
    try:
        with contextlib.suppress(OSError, ValueError):  # it is gone, or ended within a line
            worker.stdin.write(json.dumps(list(share)) + "\n")
            worker.stdin.flush()  # it stays open: the worker ends when it is closed
            for line in worker.stdout:
                answer = json.loads(line)
                left.remove(answer["engine"])
                answers.put((answer["engine"], answer["problem"]))
    finally:
        for engine in left:
            answers.put((engine, f"the process that built it ended with status {worker.wait()}"))
