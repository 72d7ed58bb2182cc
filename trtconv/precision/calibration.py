"""See which values a network computes: run it in fp32 in ONNX Runtime and note the extremes of every tensor.

ONNX Runtime's CPU kernels compute fp16 in fp32 and so hide what overflows; therefore the fp32 values are what counts.
Every tensor is reduced to its extremes inside the model (probes.py), so that no more memory is held than the network
itself needs.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from trtconv.errors import ConfigError, ModelError
from trtconv.model.onnx_session import open_session
from trtconv.model.walking import describe_inputs
from trtconv.precision.probes import PREFIX, Probing
from trtconv.precision.scopes import MAIN, names_in_branches
from trtconv.shapes import format_dims

Arrays = Mapping[str, npt.NDArray[Any]]

_MAX_PIXEL = 255.0
_IMAGE_CHANNELS = (1, 3, 4)
_MIN_IMAGE_SIDE = 16
_TINY = 1e-30
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
    All tensor names of `proto` are unique. Raises ModelError when ONNX Runtime refuses the model.
    """

    def __init__(self, proto: onnx.ModelProto, folder: Path, names: Sequence[str], arguments: Sequence[str]) -> None:
        probing = Probing(proto, names, set(arguments))
        self._names = names
        self._turned = probing.turned
        self._inner = names_in_branches(proto)
        try:
            self._session = open_session(probing.model, folder)
        except Exception as error:
            raise _cannot_run(error) from None
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
            results = dict(zip(self._outputs, self._session.run(self._outputs, given), strict=True))
        except Exception as error:
            raise _cannot_run(error) from None
        ranges = {}
        for number, name in enumerate(self._names):
            if (seen := _range_of(results, number, name in self._inner)) is not None:
                ranges[name] = seen
        return ranges


def name_made(feeds: Sequence[Arrays]) -> list[InputSet]:
    """Name the input sets of make_feeds; zeros alone prove nothing."""
    names = [*_MADE, *(f"input set {number}" for number in range(len(_MADE) + 1, len(feeds) + 1))]
    return [InputSet(name, feed, proves=_has_values(feed)) for name, feed in zip(names, feeds, strict=False)]


def name_given(feeds: Sequence[Arrays]) -> list[InputSet]:
    """Name the input sets of a user, in their order."""
    return [InputSet(f"calibration input set {number}", feed) for number, feed in enumerate(feeds, 1)]


def _has_values(feed: Arrays) -> bool:
    floats = [values for values in feed.values() if values.dtype.kind == "f"]
    return not floats or any(np.any(values) for values in floats)


def in_unit_interval(feed: Arrays, *, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
    """Return a copy of an input set with every float in [0, 1], a legal argument of a root or a logarithm."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.uniform(0, 1, values.shape).astype(values.dtype) if values.dtype.kind == "f" else values
        for name, values in feed.items()
    }


def make_feeds(
    proto: onnx.ModelProto, shapes: Mapping[str, Sequence[int]] | None = None, *, seed: int = 0
) -> list[dict[str, npt.NDArray[Any]]]:
    """Return input sets that stand for a user's data: white noise, noise as in pictures and sounds, and zeros.

    An input that looks like an image ([N, 1|3|4, H, W] or channels last) gets pixels of 0 to 255, any other float input
    white noise of variance 1 and the other in [-1, 1]; whole numbers are 0 or 1. `shapes` holds the shape of every
    dynamic input. Raises ConfigError when one is missing.
    """
    described = describe_inputs(proto)
    types = {value.name: value.type.tensor_type.elem_type for value in proto.graph.input}
    rng = np.random.default_rng(seed)
    feeds: list[dict[str, npt.NDArray[Any]]] = [{}, {}, {}]
    for name, dims in described.items():
        shape = (shapes or {}).get(name, dims)
        if shape is None or not all(isinstance(dim, int) for dim in shape):
            what = f"input {name} has no fixed shape to calibrate with: {format_dims(dims or ())}"
            raise ConfigError(what, hint=f"give its shape, or data for it: --shape {name}=...")
        sizes = tuple(int(dim) for dim in shape if dim is not None)
        dtype = helper.tensor_dtype_to_np_dtype(types[name])
        for feed, values in zip(feeds, _values(sizes, np.dtype(dtype), rng), strict=True):
            feed[name] = values.astype(dtype)
    return feeds


def _values(shape: tuple[int, ...], dtype: np.dtype[Any], rng: np.random.Generator) -> Iterator[npt.NDArray[Any]]:
    if dtype.kind in "iub":
        for _ in range(3):
            yield rng.integers(0, 2, shape)
        return
    natural = _natural(shape, rng)
    if _is_image(shape):
        yield rng.uniform(0, _MAX_PIXEL, shape).astype(np.float32)
        yield (natural + 1) * np.float32(_MAX_PIXEL / 2)
    else:
        yield rng.standard_normal(shape, dtype=np.float32)
        yield natural
    yield np.zeros(shape, np.float32)


def _is_image(shape: tuple[int, ...]) -> bool:
    if len(shape) != 4:
        return False
    channels, sides = (shape[1], shape[2:]) if shape[1] in _IMAGE_CHANNELS else (shape[3], shape[1:3])
    return channels in _IMAGE_CHANNELS and min(sides) >= _MIN_IMAGE_SIDE


def _natural(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return noise in [-1, 1] whose amplitude falls with its frequency, as in pictures and sounds.

    Unlike white noise it does not average out in a convolution.
    """
    white = rng.standard_normal(shape)
    if not white.size or not shape:
        return white.astype(np.float32)
    axes = tuple(range(min(2, len(shape) - 1), len(shape)))
    grid = np.meshgrid(*(np.fft.fftfreq(shape[axis]) for axis in axes), indexing="ij")
    frequency = np.sqrt(sum(np.square(along) for along in grid))
    falling = np.fft.fftn(white, axes=axes) / np.maximum(frequency, 1 / max(shape))
    pink = np.fft.ifftn(falling, axes=axes).real
    result: npt.NDArray[np.float32] = (pink / max(np.abs(pink).max(), _TINY)).astype(np.float32)
    return result


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


def _cannot_run(error: Exception) -> ModelError:
    what = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ModelError(
        f"cannot be calibrated for fp16, ONNX Runtime does not run it: {what}",
        hint="give it fitting inputs, or use --precision bf16, which needs no calibration",
    )
