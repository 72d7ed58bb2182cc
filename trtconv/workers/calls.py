"""trtconv's functions for Python's callers: in the caller's process, or with `isolate` in a worker.

A worker gets the arguments and gives back the report, or the error, as pickles. It is no sandbox: it keeps a crash and
an appetite for memory away from the caller, not a program that means harm.
"""

from __future__ import annotations

import base64
import dataclasses
import inspect
import pickle
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from trtconv import child_processes, interrupts
from trtconv.config import BuildConfig
from trtconv.errors import BackendError, Interrupted, TrtconvError
from trtconv.workers import parent, worker
from trtconv.workers.limits import Limits

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from trtconv.comparison.comparing import CompareConfig
    from trtconv.comparison.report import ComparisonReport
    from trtconv.config import Ops
    from trtconv.keyword_options import BuildOptions, CompareOptions
    from trtconv.progress import Progress
    from trtconv.reports.build_report import BuildReport
    from trtconv.reports.dry_run_report import DryRunReport
    from trtconv.reports.rewrite_report import RewriteReport

_MODULE = "trtconv.workers.calls"
_ANSWER, _LOG, _PROGRESS = "answer", "log", "progress"
Config = TypeVar("Config")
_SIZE_BYTES = 8  # of the number before a request


def build(
    model_path: str | Path,
    config: BuildConfig | None = None,
    *,
    progress: Progress | None = None,
    log: Callable[[str], None] | None = None,
    isolate: bool | Limits = False,
    **options: Unpack[BuildOptions],
) -> BuildReport:
    """Convert an ONNX model into a TensorRT engine and write it, with its manifest beside it.

    `options` are fields of BuildConfig, which go before those of `config`. `output` defaults to the model with
    `.engine` for `.onnx`. `progress` is told of every step, `log` of TensorRT's messages. With `isolate` the work is
    done in a worker process, within Limits where they are given: a crash there is a BackendError, or a ModelError while
    the model is read. Raises a TrtconvError; then neither file was written.
    """
    config = _with_options(config or BuildConfig(), options)
    return _call("build", (model_path, config), {}, isolate, progress=progress, log=log)  # type: ignore[no-any-return]


def dry_run(
    model_path: str | Path,
    config: BuildConfig | None = None,
    *,
    progress: Progress | None = None,
    isolate: bool | Limits = False,
    **options: Unpack[BuildOptions],
) -> DryRunReport:
    """Return what `build` would decide for each node, without building.

    The decisions are those for the backend that `build` would use here; with `backend="tensorrt"` a machine without a
    GPU shows what full TensorRT would get. The backend's parser reads the prepared model where that is possible:
    without a GPU, that of TensorRT-RTX alone. Shapes may be left out. `options`, `progress`, `isolate` and errors as in
    `build`.
    """
    config = _with_options(config or BuildConfig(), options)
    return _call("dry_run", (model_path, config), {}, isolate, progress=progress)  # type: ignore[no-any-return]


def rewrite(
    model_path: str | Path,
    output: str | Path,
    *,
    ops: Ops = "auto",
    keep_native: Sequence[str] = (),
    functions: bool = True,
    trust_links: bool = False,
    progress: Progress | None = None,
    isolate: bool | Limits = False,
) -> RewriteReport:
    """Run the graph passes alone and write the rewritten model, which still runs in ONNX Runtime.

    `ops` is as BuildConfig has it: "auto" chooses by the times of the model's own type and sizes. Without `functions`
    only TensorRT with the plugin library runs it; its parsers before 10.7 need it so, because they prefer a function to
    a plugin. Copies of the external data files come along; `trust_links` as in BuildConfig. `progress`, `isolate` and
    errors as in `build`.
    """
    options = {"ops": ops, "keep_native": keep_native, "functions": functions, "trust_links": trust_links}
    return _call("rewrite", (model_path, output), options, isolate, progress=progress)  # type: ignore[no-any-return]


def compare(
    reference: str | Path,
    candidate: str | Path,
    config: CompareConfig | None = None,
    *,
    progress: Progress | None = None,
    isolate: bool | Limits = False,
    **options: Unpack[CompareOptions],
) -> ComparisonReport:
    """Run an ONNX model in ONNX Runtime, and an engine or another ONNX model on the same inputs; compare every output.

    `options` are fields of CompareConfig, which go before those of `config`. Without tolerances the precision of the
    candidate says what is allowed. That the two differ is not an error, but `passed` in the report. `isolate` as in
    `build`. Raises a TrtconvError where one of the two does not run.
    """
    from trtconv.comparison.comparing import CompareConfig

    config = _with_options(config or CompareConfig(), options)
    return _call("compare", (reference, candidate, config), {}, isolate, progress=progress)  # type: ignore[no-any-return]


def _with_options(config: Config, options: Mapping[str, Any]) -> Config:
    """Return the configuration with some fields changed. Raises TypeError for one that it does not have."""
    known = inspect.signature(type(config)).parameters
    for name in options.keys() - known.keys():
        raise TypeError(f"there is no option {name!r}, expected one of: {', '.join(known)}")
    return dataclasses.replace(config, **options) if options else config  # type: ignore[type-var]


def _function(name: str) -> Callable[..., Any]:
    from trtconv import convert, dry_running, rewriting
    from trtconv.comparison import comparing

    functions: dict[str, Callable[..., Any]] = {
        "build": convert.build,
        "dry_run": dry_running.dry_run,
        "rewrite": rewriting.rewrite,
        "compare": comparing.compare,
    }
    return functions[name]


def _call(name: str, args: Sequence[Any], options: dict[str, Any], isolate: bool | Limits, **listeners: Any) -> Any:
    """Call a function here or in a worker; of `listeners` a worker gets what stands for those that are there."""
    heard = {key: listener for key, listener in listeners.items() if listener is not None}
    if isolate is False:
        return _function(name)(*args, **options, **heard)
    answers: list[Any] = []

    def hear(kind: str, value: Any) -> None:
        if kind == _ANSWER:
            answers.append(pickle.loads(base64.b64decode(value)))
        elif kind == _LOG:
            heard["log"](value)
        elif kind == _PROGRESS:
            method, *given = value
            getattr(heard["progress"], method)(*given)

    request = pickle.dumps((name, args, options, list(heard)))
    limits = isolate if isinstance(isolate, Limits) else Limits()
    parent.run_worker(
        _MODULE, (), limits, request=len(request).to_bytes(_SIZE_BYTES, "little") + request, hear_more=hear
    )
    if not answers:
        raise BackendError("the worker process ended without an answer", hint="report it, with the call that led to it")
    if isinstance(answers[0], BaseException):
        raise answers[0]
    return answers[0]


# The worker. ----------------------------------------------------------------------------------------------------------


class _ToldProgress:
    """Tells the parent of each phase and step; a tick of the time goes along."""

    def phase_start(self, name: str, parent: str | None, num_steps: int) -> None:
        worker.tell(_PROGRESS, ("phase_start", name, parent, num_steps))

    def step_complete(self, name: str, step: int) -> None:
        worker.tell(_PROGRESS, ("step_complete", name, step))

    def phase_finish(self, name: str) -> None:
        worker.tell(_PROGRESS, ("phase_finish", name))

    def tick(self) -> None:
        worker.tell(_PROGRESS, ("tick",))


def main() -> None:
    """Answer the one request that comes through the pipe whose number is the first argument."""
    number, native, folder = sys.argv[1:]
    channel = socket.socket(fileno=int(number))
    name, args, options, heard = pickle.loads(_read_request(channel))
    worker.enter_worker(channel, int(native), folder)
    listeners = {"log": lambda message: worker.tell(_LOG, message), "progress": _ToldProgress()}
    try:
        answer = _function(name)(*args, **options, **{key: listeners[key] for key in heard})
    except KeyboardInterrupt:
        answer = Interrupted("interrupted")
    except Exception as error:
        answer = error
    if isinstance(answer, Exception) and interrupts.was_interrupted():
        answer = answer if isinstance(answer, Interrupted) else Interrupted("interrupted")
    interrupts.ignore()
    worker.tell(_ANSWER, base64.b64encode(_pickled(answer)).decode())
    worker.tell_end(0)
    child_processes.end(0)


def _read_request(channel: socket.socket) -> bytes:
    with channel.makefile("rb") as file:
        return file.read(int.from_bytes(file.read(_SIZE_BYTES), "little"))


def _pickled(answer: Any) -> bytes:
    """Return an answer as bytes; an error of another library that cannot be one becomes one of trtconv's."""
    if isinstance(answer, TrtconvError):
        answer.__cause__ = None
    try:
        data = pickle.dumps(answer)
        pickle.loads(data)
    except Exception:
        return pickle.dumps(BackendError(f"{type(answer).__name__}: {answer}"))
    return data
