"""See which values a network computes: run it in fp32 in ONNX Runtime and note the extremes of every tensor.

ONNX Runtime's CPU kernels compute fp16 in fp32 and so hide what overflows; therefore the fp32 values are what counts.
Every tensor is reduced to its extremes inside the model, right behind the node that makes it, so that no more memory is
held than the network itself needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from trtconv.errors import ConfigError, ModelError
from trtconv.model.onnx_session import open_session
from trtconv.model.walking import describe_inputs
from trtconv.shapes import format_dims

Arrays = Mapping[str, npt.NDArray[Any]]

_PREFIX = "trtconv_calibration"
_MAX_PIXEL = 255.0
_IMAGE_CHANNELS = (1, 3, 4)
_MIN_IMAGE_SIDE = 16
_TINY = 1e-30


@dataclass(frozen=True)
class Range:
    """The extremes of a tensor over all input sets: max|x|, and min|x| where it was asked for (infinity where not)."""

    max_abs: float
    min_abs: float = np.inf

    def __or__(self, other: Range) -> Range:
        return Range(max(self.max_abs, other.max_abs), min(self.min_abs, other.min_abs))


_UNKNOWN = Range(np.inf, 0.0)  # NaN for every input set


def measure(
    proto: onnx.ModelProto, folder: Path, names: Sequence[str], arguments: Sequence[str], feeds: Sequence[Arrays]
) -> dict[str, Range]:
    """Run a model on every input set and return the range of each float32 tensor of `names`.

    `arguments` are those among them whose smallest magnitude is wanted too; `folder` is the model's, for external data.
    Raises ModelError when ONNX Runtime cannot run the model on these inputs.
    """
    probed = _with_probes(proto, folder, names, set(arguments))
    try:
        session = open_session(probed, folder)
    except Exception as error:
        raise _cannot_run(error) from None
    outputs = [output.name for output in session.get_outputs()]
    known = {entry.name for entry in session.get_inputs()}
    ranges: dict[str, Range] = {}
    for feed in feeds:
        given = {name: values for name, values in feed.items() if name in known}
        try:
            results = dict(zip(outputs, session.run(outputs, given), strict=True))
        except Exception as error:
            raise _cannot_run(error) from None
        for index, name in enumerate(names):
            if (seen := _range_of(results, index)) is not None:
                ranges[name] = ranges[name] | seen if name in ranges else seen
    return {name: ranges.get(name, _UNKNOWN) for name in names}


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


def _with_probes(proto: onnx.ModelProto, folder: Path, names: Sequence[str], arguments: set[str]) -> onnx.ModelProto:
    """Return the model with the extremes of each tensor as its outputs, and no other outputs."""
    probed = onnx.ModelProto()
    probed.CopyFrom(proto)
    graph = probed.graph
    behind: dict[str, list[onnx.NodeProto]] = {}
    del graph.output[:]
    for index, name in enumerate(names):
        behind[name] = list(_probes(name, index, with_min=name in arguments))
        outputs = [behind[name][0].output[0], behind[name][1].output[0]]
        outputs += [node.output[0] for node in behind[name] if node.output[0].endswith("_min_abs")]
        graph.output.extend(helper.make_tensor_value_info(output, TensorProto.FLOAT, None) for output in outputs)
    nodes = [probe for value in graph.input for probe in behind.get(value.name, ())]
    for node in graph.node:
        nodes.append(node)
        nodes += (probe for name in node.output for probe in behind.get(name, ()))
    graph.ClearField("node")
    graph.node.extend(nodes)
    del graph.value_info[:]
    return probed


def _probes(name: str, index: int, with_min: bool) -> Iterator[onnx.NodeProto]:
    prefix = f"{_PREFIX}_{index}"
    yield helper.make_node("ReduceMax", [name], [f"{prefix}_max"], keepdims=0)
    yield helper.make_node("ReduceMin", [name], [f"{prefix}_min"], keepdims=0)
    if with_min:
        yield helper.make_node("Abs", [name], [f"{prefix}_abs"])
        yield helper.make_node("ReduceMin", [f"{prefix}_abs"], [f"{prefix}_min_abs"], keepdims=0)


def _range_of(results: Mapping[str, npt.NDArray[Any]], index: int) -> Range | None:
    """Return what was seen of a tensor; None where it held NaN, which says nothing: fp32 gives the same."""
    prefix = f"{_PREFIX}_{index}"
    highest, lowest = float(results[f"{prefix}_max"]), float(results[f"{prefix}_min"])
    if np.isnan(highest) or np.isnan(lowest):
        return None
    if highest < lowest:  # no elements
        return Range(0.0)
    return Range(max(abs(highest), abs(lowest)), float(results.get(f"{prefix}_min_abs", np.float32(np.inf))))


def _cannot_run(error: Exception) -> ModelError:
    what = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ModelError(
        f"cannot be calibrated for fp16, ONNX Runtime does not run it: {what}",
        hint="give it fitting inputs, or use --precision bf16, which needs no calibration",
    )
