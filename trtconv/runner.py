"""Run an engine or an ONNX model from Python: numpy arrays or torch tensors in, the same out."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from trtconv import reading
from trtconv.engine.engine_session import EngineSession
from trtconv.engine.loading import is_engine_file, load_engine
from trtconv.errors import ConfigError, ModelError
from trtconv.gpu.timing import Timing
from trtconv.inputs.input_files import OPTION, fitted
from trtconv.inputs.made_inputs import InputSpec, input_specs, type_name
from trtconv.model import model_io
from trtconv.model.onnx_session import cause_of, hint_of, integer_inputs, open_file
from trtconv.shapes import format_dims

Array = npt.NDArray[Any]

_TIMED_RUNS = 10  # of ONNX Runtime


class Session(Protocol):
    """What runs: an engine on the GPU, or ONNX Runtime on the CPU."""

    @property
    def inputs(self) -> Sequence[InputSpec]:
        """What goes in."""

    @property
    def runs_on(self) -> str:
        """What runs it, for people."""

    def run_arrays(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs for arrays of the inputs' own types."""

    def time_arrays(self, feeds: Mapping[str, Array]) -> Timing:
        """Return how long a run takes."""

    def run_tensors(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs for torch tensors."""


class Runner:
    """An engine, or an ONNX model in ONNX Runtime on the CPU, that is ready to run.

    runner = trtconv.Runner("model.engine")
    y = runner(x)                     # one output: its values; several: a dict by name
    y = runner(image=x, style=s)      # inputs by position or by name

    Values are numpy arrays or torch tensors; what comes out is of the same kind and, for torch, on the device of the
    first input. An engine reads torch tensors of the GPU where they are, on torch's current stream, and does not wait
    for the GPU. Floats are converted to the type of the input; other types must fit. `inputs` describes each input.
    `trust_links` lets external data of a model be links out of its folder, `trust` takes an engine whose manifest
    belongs to another one.

    Raises ConfigError for values that do not fit, ModelError for a file that cannot be run, BackendError where
    TensorRT, the GPU or a package is missing. One Runner must not be run by two threads at once.
    """

    def __init__(
        self, path: str | Path, *, allow_embedded_code: bool = False, trust_links: bool = False, trust: bool = False
    ) -> None:
        path = Path(path)
        reading.require_readable(path)
        self.title = str(path)
        self.session: Session = (
            EngineSession(load_engine(path, allow_embedded_code=allow_embedded_code, trust=trust), self.title)
            if is_engine_file(path)
            else _OnnxSession(path, trust_links)
        )
        self.inputs = {spec.name: spec for spec in self.session.inputs}
        self.runs_on = self.session.runs_on

    def __call__(self, *values: Any, **named: Any) -> Any:
        """Run once; return the output, or a dict of all outputs by name where there are several."""
        if len(values) > len(self.inputs):
            raise ConfigError(f"takes {len(self.inputs)} inputs, got {len(values)}", where=self.title)
        outputs = self.run({**dict(zip(self.inputs, values, strict=False)), **named})
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Return all outputs by name, for values of all inputs by name."""
        unknown = ", ".join(sorted(feeds.keys() - self.inputs.keys()))
        missing = ", ".join(sorted(self.inputs.keys() - feeds.keys()))
        if unknown or missing:
            what = f"has no input {unknown}" if unknown else f"no values for {missing}"
            raise ConfigError(what, where=self.title, hint=f"its inputs are: {', '.join(self.inputs)}")
        if feeds and all(map(_is_tensor, feeds.values())):
            for name, spec in self.inputs.items():
                _require_kind(spec, feeds[name], self.title)
            return self.session.run_tensors(feeds)
        arrays = {name: fitted(spec, np.asarray(feeds[name]), self.title) for name, spec in self.inputs.items()}
        return self.session.run_arrays(arrays)


class _OnnxSession:
    """A model in ONNX Runtime."""

    runs_on = "ONNX Runtime on the CPU"

    def __init__(self, path: Path, trust_links: bool) -> None:
        proto = model_io.load(path, trust_links=trust_links).proto
        self.inputs = input_specs(proto)
        self._title, self._integers = str(path), integer_inputs(proto)
        try:
            self._session = open_file(path, trust_links)
        except Exception as error:
            raise self._failure(error) from error

    def run_arrays(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs for arrays of the inputs' own types."""
        names = [output.name for output in self._session.get_outputs()]
        try:
            return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))
        except Exception as error:
            raise self._failure(error) from error

    def time_arrays(self, feeds: Mapping[str, Array]) -> Timing:
        """Return the microseconds of a run on the processor, once it is warm."""
        self.run_arrays(feeds)
        samples = []
        for _ in range(_TIMED_RUNS):
            begin = time.perf_counter()
            self.run_arrays(feeds)
            samples.append((time.perf_counter() - begin) * 1e6)
        return Timing.of(samples)

    def run_tensors(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs for torch tensors, by way of arrays."""
        torch = sys.modules["torch"]
        place = next(iter(feeds.values())).device
        given = {spec.name: feeds[spec.name].detach().cpu().numpy().astype(spec.dtype) for spec in self.inputs}
        return {name: torch.from_numpy(values).to(place) for name, values in self.run_arrays(given).items()}

    def _failure(self, error: Exception) -> ModelError:
        hint = hint_of(error, self._integers, OPTION)
        return ModelError(f"ONNX Runtime does not run it: {cause_of(error)}", where=self._title, hint=hint)


def _is_tensor(value: Any) -> bool:
    """Say whether a value is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _require_kind(spec: InputSpec, tensor: Any, title: str) -> None:
    """Raise ConfigError for a torch tensor of another shape or kind of type than an input has."""
    fits = len(spec.dims) == tensor.ndim
    if not fits or any(isinstance(dim, int) and dim != size for dim, size in zip(spec.dims, tensor.shape, strict=True)):
        what = f"{spec.name} is {format_dims(tuple(tensor.shape))}, expected {format_dims(spec.dims)}"
        raise ConfigError(what, where=title)
    given = str(tensor.dtype).removeprefix("torch.")
    is_float = spec.dtype.kind in "fV"  # bfloat16 is V
    if not (is_float and tensor.is_floating_point()) and given != type_name(spec.dtype):
        raise ConfigError(f"{spec.name} is of type {given}, expected {type_name(spec.dtype)}", where=title)
