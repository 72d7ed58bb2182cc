"""See which values a network computes: run it in fp32 in ONNX Runtime and note the extremes of every tensor.

ONNX Runtime's CPU kernels compute fp16 in fp32 and so hide what overflows; therefore the fp32 values are what counts.
Every tensor is reduced to its extremes inside the model (probes.py), so that no more memory is held than the network
itself needs.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from trtconv.errors import ModelError
from trtconv.model.onnx_session import StoppableRun, cause_of, hint_of, integer_inputs, open_session
from trtconv.precision.probes import PREFIX, Probing
from trtconv.precision.scopes import MAIN, names_in_branches
from trtconv.progress import NoProgress, Progress
from trtconv.watching import watched

Arrays = Mapping[str, npt.NDArray[Any]]

_MADE = ("white noise", "natural noise", "zeros")  # the input sets of make_feeds


@dataclass(frozen=True)
class Range:
    """The extremes of a tensor over all input sets: max|x|, and min|x| where it was asked for (infinity where not).

    `unknown` says why nothing is known of it, if that is so.
    """

    max_abs: float
    min_abs: float = np.inf
    unknown: str = ""

    def __or__(self, other: Range) -> Range:
        return Range(max(self.max_abs, other.max_abs), min(self.min_abs, other.min_abs))


NAN = Range(np.inf, 0.0, "it is NaN")


@dataclass(frozen=True)
class InputSet:
    """Values for every input of a model; `proves` is False for made-up zeros, which alone show no range."""

    name: str
    arrays: Arrays
    proves: bool = True


class Calibration:
    """A model in ONNX Runtime that measures the extremes of the float32 tensors in `names`.

    `arguments` are those among them whose smallest magnitude is needed too; `folder` is the model's, for external data.
    All tensor names of `proto` are unique. `progress` gets a tick while ONNX Runtime is at it. Raises ModelError when
    ONNX Runtime refuses the model.
    """

    def __init__(
        self,
        proto: onnx.ModelProto,
        folder: Path,
        names: Sequence[str],
        arguments: Sequence[str],
        progress: Progress | None = None,
    ) -> None:
        probing = Probing(proto, names, set(arguments))
        self._proto = proto
        self._names = names
        self._progress = progress or NoProgress()
        self._turned = probing.turned
        self._inner = names_in_branches(proto)
        try:
            self._session = watched(
                lambda: open_session(probing.model, folder), self._progress, name="trtconv-calibration"
            )
        except Exception as error:
            raise _cannot_run(error, proto) from None
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._known = {entry.name for entry in self._session.get_inputs()}

    def see(self, feed: Arrays, turned: Container[str] = ()) -> dict[str, Range]:
        """Run the model on one input set and return the range of each tensor that was computed, NAN where it held NaN.

        `turned` holds the inputs (probes.turning_input) of the If nodes that take their other branch. Raises ModelError
        when the model does not run on these inputs.
        """
        given: dict[str, Any] = {name: values for name, values in feed.items() if name in self._known}
        given |= {name: np.array(name in turned) for name in self._turned}
        try:
            results = dict(zip(self._outputs, self._run(given), strict=True))
        except Exception as error:
            raise _cannot_run(error, self._proto) from None
        ranges = {}
        for number, name in enumerate(self._names):
            if (seen := _range_of(results, number, name in self._inner)) is not None:
                ranges[name] = seen
        return ranges

    def _run(self, given: Arrays) -> list[npt.NDArray[Any]]:
        run = StoppableRun(self._session, self._outputs, given)
        return watched(run, self._progress, name="trtconv-calibration", cancel=run.stop)


def name_made(feeds: Sequence[Arrays]) -> list[InputSet]:
    """Name the input sets of make_feeds; zeros alone prove nothing."""
    names = [*_MADE, *(f"input set {number}" for number in range(len(_MADE) + 1, len(feeds) + 1))]
    return [InputSet(name, feed, proves=_has_values(feed)) for name, feed in zip(names, feeds, strict=False)]


def name_given(feeds: Sequence[Arrays]) -> list[InputSet]:
    """Name the input sets of a user, in their order."""
    return [InputSet(f"calibration input set {number}", feed) for number, feed in enumerate(feeds, 1)]


def _has_values(feed: Arrays) -> bool:
    floats = [values for values in feed.values() if values.dtype.kind == "f" and values.size]
    return not floats or any(np.any(values) for values in floats)


def in_unit_interval(feed: Arrays, *, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
    """Return a copy of an input set with every float in [0, 1], a legal argument of a root or a logarithm."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.uniform(0, 1, values.shape).astype(values.dtype) if values.dtype.kind == "f" else values
        for name, values in feed.items()
    }


def _range_of(results: Mapping[str, npt.NDArray[Any]], number: int, is_inner: bool) -> Range | None:
    """Return the range of a tensor; None for one in a branch that was not taken or a body that did not run."""
    prefix = f"{PREFIX}_{MAIN}_{number}"
    highest, lowest = float(results[f"{prefix}_max"]), float(results[f"{prefix}_min"])
    is_infinite = np.isinf(highest) or np.isinf(lowest)  # whose sum may be NaN as well
    if np.isnan(highest) or np.isnan(lowest) or (np.isnan(float(results[f"{prefix}_sum"])) and not is_infinite):
        return NAN
    if highest < lowest:  # no elements, or not computed
        return None if is_inner else Range(0.0)
    return Range(max(abs(highest), abs(lowest)), float(results.get(f"{prefix}_min_abs", np.float32(np.inf))))


def _cannot_run(error: Exception, proto: onnx.ModelProto) -> ModelError:
    hint = hint_of(error, integer_inputs(proto), "--calibration")
    return ModelError(
        f"cannot be calibrated for fp16, ONNX Runtime does not run it: {cause_of(error)}",
        hint=f"{f'{hint}, or ' if hint else ''}use --precision bf16, which needs no calibration",
    )
