"""Run models and engines through polygraphy, each on inputs of its own types."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trtconv.engine import loading
from trtconv.engine.live_engine import choose_profile, is_of_rtx
from trtconv.errors import BackendError, ConfigError, ModelError, TrtconvError, first_line
from trtconv.inputs.made_inputs import Arrays
from trtconv.installed import install_hint
from trtconv.model.onnx_session import cause_of, hint_of, open_file
from trtconv.ops.custom_op import DOMAIN
from trtconv.progress import announce

_TYPE_HINT = "compare one with fp32 inputs and outputs: trtconv build --io-types fp32"
_FUNCTIONS_HINT = "it holds custom ops without their functions: rewrite the model without --no-functions"
_ERROR_MARKS = ("error: ", "internal_error: ")  # how load_engine's log begins what TensorRT calls an error


def require_polygraphy() -> None:
    """Raise BackendError where polygraphy is not installed."""
    try:
        from polygraphy.logger import G_LOGGER
    except ImportError:
        what = "comparisons need polygraphy, which is not installed"
        raise BackendError(what, hint=install_hint("compare")) from None
    G_LOGGER.module_severity = G_LOGGER.CRITICAL + 1  # it logs to standard output, and raises what is critical


@dataclass(frozen=True)
class LoadedEngine:
    """An engine in memory, where it comes from, and what TensorRT said while it was loaded and run."""

    engine: Any
    title: str
    messages: Sequence[str] = ()


def load(path: Path, allow_embedded_code: bool = False, trust: bool = False) -> LoadedEngine:
    """Load an engine, and keep what TensorRT says."""
    messages: list[str] = []
    loaded = loading.load_engine(path, allow_embedded_code=allow_embedded_code, trust=trust, log=messages.append)
    return LoadedEngine(loaded, str(path), messages)


def title_of(model: Any) -> str:
    """Return what a report calls something that can be run."""
    if isinstance(model, (str, Path)):
        return str(model)
    if isinstance(model, LoadedEngine):
        return model.title
    return "a model in memory" if callable(model) else "a loaded engine"


class Runner:
    """A model or an engine that is ready to run. `dtypes` and `shapes` are those of its inputs, by name.

    `option` is what errors call the place where a user gives values for the inputs.
    """

    def __init__(self, runner: Any, title: str, loaded: LoadedEngine | None, option: str) -> None:
        self._runner = runner
        self._title = title
        self._option = option
        self._loaded = loaded
        metadata = runner.get_input_metadata(use_numpy_dtypes=False)
        self.dtypes = {name: _numpy_dtype(name, dtype, title) for name, (dtype, _) in metadata.items()}
        self.shapes = {name: shape for name, (_, shape) in metadata.items()}
        self._has_text = any(dtype.kind in "OSU" for dtype in self.dtypes.values())  # which polygraphy takes for wrong

    def run(self, feed: Arrays) -> dict[str, Any]:
        """Return the outputs by name; those of an engine are valid until the next run."""
        with np.errstate(over="ignore"):  # a value beyond the type is infinite there
            given = {name: np.asarray(feed[name], _fed_as(dtype), order="C") for name, dtype in self.dtypes.items()}
        announce(f"running {self._title}")
        try:
            if self._loaded is not None:
                profile = choose_profile(self._loaded.engine, given, self._title)
                if profile is not None:
                    self._runner.set_profile(profile)
            return dict(self._runner.infer(given, check_inputs=not self._has_text))
        except TrtconvError:
            raise
        except Exception as error:
            integers = [name for name, dtype in self.dtypes.items() if dtype.kind in "iu" and dtype.itemsize >= 4]
            raise _failure(error, self._title, self._loaded, hint_of(error, integers, self._option)) from error


@contextmanager
def opened(model: Any, role: str, option: str) -> Iterator[Runner]:
    """Make a model ready to run: the path of an ONNX model or an engine, a callable that gives an ONNX Runtime session,
    a LoadedEngine, or TensorRT's own engine. `role` is what polygraphy calls it, `option` where users give inputs.
    """
    require_polygraphy()
    title = title_of(model)
    loaded = _as_loaded(model)
    announce(f"loading {title}")
    runner = _session_runner(model, role) if loaded is None else _engine_runner(loaded.engine, role)
    try:
        runner.activate()
    except TrtconvError as error:
        error.where = error.where or title
        raise
    except Exception as error:
        raise _failure(error, title, loaded, hint_of(error, (), option)) from error
    try:
        yield Runner(runner, title, loaded, option)
    finally:
        runner.deactivate()


def _as_loaded(model: Any) -> LoadedEngine | None:
    if isinstance(model, LoadedEngine):
        return model
    if isinstance(model, (str, Path)):
        return load(Path(model)) if loading.is_engine_file(Path(model)) else None
    return None if callable(model) else LoadedEngine(model, title_of(model))


def _failure(error: Exception, title: str, loaded: LoadedEngine | None, hint: str | None) -> TrtconvError:
    from polygraphy.exception import DataTypeConversionException

    if isinstance(error, DataTypeConversionException):
        what = f"polygraphy has no numpy type for one of its tensors: {first_line(error)}"
        return ConfigError(what, where=title, hint=_TYPE_HINT)
    if loaded is None:
        hint = _FUNCTIONS_HINT if f"{DOMAIN}:" in str(error) else hint
        return ModelError(f"ONNX Runtime does not run it: {cause_of(error)}", where=title, hint=hint)
    reasons = [message for message in loaded.messages if message.startswith(_ERROR_MARKS)]
    return BackendError(f"TensorRT does not run it: {(reasons or [first_line(error)])[-1]}", where=title)


def _session_runner(model: Any, role: str) -> Any:
    from polygraphy.backend.onnxrt import OnnxrtRunner

    return OnnxrtRunner(model if callable(model) else partial(open_file, Path(model)), name=role)


def _engine_runner(engine: Any, role: str) -> Any:
    import polygraphy.config

    is_rtx = is_of_rtx(engine)
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
        raise ConfigError(
            f"input {name} is {dtype}, which polygraphy cannot feed", where=title, hint=_TYPE_HINT
        ) from None


def _fed_as(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type that a runtime takes values in: text comes as objects."""
    return np.dtype(object) if dtype.kind in "SU" else dtype


def same_inputs(reference: Runner, candidate: Runner, names: Mapping[str, Any]) -> list[str]:
    """Return what is to be said of inputs that differ; raise ConfigError where they are not those of one network."""
    notes = []
    unknown = candidate.dtypes.keys() - reference.dtypes.keys()
    if unknown:
        what = f"the candidate takes {', '.join(sorted(unknown))}, which is not an input of the reference"
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
