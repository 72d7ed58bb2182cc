"""Run models and engines through polygraphy, each on inputs of its own types."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trtconv.comparison.engine_profiles import choose_profile
from trtconv.comparison.measuring import Arrays
from trtconv.engine import ENGINE_MARKS, load_engine
from trtconv.errors import BackendError, ConfigError, ModelError, TrtconvError
from trtconv.onnx_session import open_file

INSTALL_HINT = "run: pip install 'trtconv[compare]'"
_ERROR_MARKS = ("error: ", "internal_error: ")  # how load_engine's log begins what TensorRT calls an error


def require_polygraphy() -> None:
    """Raise BackendError where polygraphy is not installed."""
    try:
        from polygraphy.logger import G_LOGGER
    except ImportError:
        raise BackendError("comparisons need polygraphy, which is not installed", hint=INSTALL_HINT) from None
    G_LOGGER.module_severity = G_LOGGER.CRITICAL + 1  # it logs to standard output, and raises what is critical


def is_engine_file(path: Path) -> bool:
    """Say whether a file begins as an engine does."""
    try:
        with path.open("rb") as file:
            return file.read(4) in ENGINE_MARKS
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from None


class Runner:
    """A model or an engine that is ready to run. `dtypes` and `shapes` are those of its inputs, by name."""

    def __init__(self, runner: Any, title: str, engine: Any = None, messages: Sequence[str] = ()) -> None:
        self._runner = runner
        self._title = title
        self._engine = engine
        self._messages = messages
        metadata = runner.get_input_metadata(use_numpy_dtypes=False)
        self.dtypes = {name: _numpy_dtype(name, dtype, title) for name, (dtype, _) in metadata.items()}
        self.shapes = {name: shape for name, (_, shape) in metadata.items()}

    def run(self, feed: Arrays) -> dict[str, Any]:
        """Return the outputs by name; those of an engine are valid until the next run."""
        with np.errstate(over="ignore"):  # a value beyond the type is infinite there
            given = {name: np.asarray(feed[name], dtype, order="C") for name, dtype in self.dtypes.items()}
        profile = 0 if self._engine is None else choose_profile(self._engine, given, self._title)
        try:
            if self._engine is not None and self._engine.num_optimization_profiles > 1:
                self._runner.set_profile(profile)
            return dict(self._runner.infer(given))
        except Exception as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> TrtconvError:
        if self._engine is None:
            return ModelError(f"ONNX Runtime does not run it: {_first_line(error)}", where=self._title)
        reasons = [message for message in self._messages if message.startswith(_ERROR_MARKS)]
        return BackendError(f"TensorRT does not run it: {(reasons or [_first_line(error)])[-1]}", where=self._title)


@contextmanager
def opened(model: Any, role: str) -> Iterator[Runner]:
    """Make a model ready to run: the path of an ONNX model or an engine, a callable that gives an ONNX Runtime session,
    or a loaded engine. `role` stands for one without a path in errors.
    """
    require_polygraphy()
    is_path = isinstance(model, (str, Path))
    title = str(model) if is_path else role
    messages: list[str] = []
    engine = None
    if is_path and is_engine_file(Path(model)):
        engine = load_engine(model, log=messages.append)
    elif not is_path and not callable(model):
        engine = model
    runner = _engine_runner(engine, role) if engine is not None else _session_runner(model, role)
    try:
        runner.activate()
    except TrtconvError:
        raise
    except Exception as error:
        what = "TensorRT cannot make a context for it" if engine is not None else "ONNX Runtime does not run it"
        kind = BackendError if engine is not None else ModelError
        raise kind(f"{what}: {_first_line(error)}", where=title) from error
    try:
        yield Runner(runner, title, engine, messages)
    finally:
        runner.deactivate()


def _session_runner(model: Any, role: str) -> Any:
    from polygraphy.backend.onnxrt import OnnxrtRunner

    return OnnxrtRunner(model if callable(model) else partial(open_file, Path(model)), name=role)


def _engine_runner(engine: Any, role: str) -> Any:
    import polygraphy.config

    is_rtx = type(engine).__module__.startswith("tensorrt_rtx")
    if "polygraphy.backend.trt" not in sys.modules:  # it chooses its TensorRT when it is imported
        polygraphy.config.USE_TENSORRT_RTX = is_rtx
    elif is_rtx != polygraphy.config.USE_TENSORRT_RTX:
        what = "one process cannot run engines of TensorRT and of TensorRT-RTX"
        raise BackendError(what, hint="compare them in processes of their own")
    from polygraphy.backend.trt import TrtRunner

    return TrtRunner(engine, name=role)


def _numpy_dtype(name: str, dtype: Any, title: str) -> np.dtype[Any]:
    from polygraphy.datatype import DataType
    from polygraphy.exception import PolygraphyException

    try:
        found: np.dtype[Any] = np.dtype(DataType.to_dtype(dtype, "numpy"))
        return found
    except PolygraphyException:
        what = f"input {name} is {dtype}, which polygraphy cannot feed"
        raise ConfigError(what, where=title, hint="compare one with fp32 inputs and outputs: --io-types fp32") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def same_inputs(reference: Runner, candidate: Runner, names: Mapping[str, Any]) -> list[str]:
    """Return what is to be said of inputs that differ; raise ConfigError where they are not those of one network."""
    notes = []
    unknown = candidate.dtypes.keys() - reference.dtypes.keys()
    if unknown:
        what = f"the candidate takes {', '.join(sorted(unknown))}, which is no input of the reference"
        raise ConfigError(what, hint=f"the reference takes: {', '.join(reference.dtypes)}")
    missing = reference.dtypes.keys() - names.keys()
    if missing:
        raise ConfigError(f"no values for {', '.join(sorted(missing))}", where="inputs")
    for name, dtype in reference.dtypes.items():
        if name not in candidate.dtypes:
            notes.append(f"input {name}: the candidate does not take it")
        elif candidate.dtypes[name] != dtype:
            notes.append(f"input {name}: {dtype} for the reference, {candidate.dtypes[name]} for the candidate")
    return notes
