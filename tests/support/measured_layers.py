"""The layers of the engines in docs/measurements, beside the sizes of the data that each moves."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import onnx

from models.make_models import make
from trtconv.costs import estimates, work
from trtconv.costs.estimates import native_rate, plugin_rate
from trtconv.costs.work import CHANNELS_LAST, LINEAR, Data, Layout, Work
from trtconv.model import model_io
from trtconv.ops import activations
from trtconv.ops.input_map import has_phases
from trtconv.passes import passes_for, run_passes
from trtconv.passes.base import Choices, PassContext
from trtconv.passes.fuse_padded_residual import fuse_padded_residual
from trtconv.passes.network_work import NetworkWork, read_network

MEASUREMENTS = Path(__file__).parents[2] / "docs" / "measurements"
_FNS = {"network": "fast_neural_style", "height": 1080, "width": 1920}
_CYCLEGAN = {"network": "cyclegan", "height": 512, "width": 512}
# The networks whose layers were measured, which are made by code.
MADE: Mapping[str, Mapping[str, Any]] = {
    "fns_1080x1920_fp16": {**_FNS, "dtype": "fp16"},
    "cyclegan_512_fp16": {**_CYCLEGAN, "dtype": "fp16"},
}
# Those that were measured as a whole.
MADE_WHOLE: Mapping[str, Mapping[str, Any]] = {
    **MADE,
    "fns_1080x1920_fp32": _FNS,
    "cyclegan_512_fp32": _CYCLEGAN,
    "cyclegan_256_fp16": {"network": "cyclegan", "height": 256, "width": 256, "dtype": "fp16"},
    "unet3d_128_fp16": {"network": "unet3d", "depth": 128, "height": 128, "width": 128, "dtype": "fp16"},
}
# And these, out of the folder of published models, by --precision fp16.
PUBLISHED: Mapping[str, str] = {
    "fns_candy_128_fp16": "fns_candy_nc16_128_op9.onnx",
    "xfeat_256_fp16": "xfeat_256x256_op17.onnx",
}
MODELS = os.environ.get("TRTCONV_TEST_MODELS", "")
_REGION = re.compile(r"\{ForeignNode\[(.+?)\.\.\.(.+?)\]\}")
_NORM = re.compile(r"(.*)\.(scale|bias)\b")


@dataclass(frozen=True)
class Sample:
    """A layer that was measured, the bytes that it moves, and how much it is worth in a fit."""

    source: str
    rate: str
    num_bytes: float
    microseconds: float


@dataclass(frozen=True)
class NormSample:
    """A plugin norm that was measured beside what it would take alone, with its other duties."""

    alone_us: float
    microseconds: float
    extra_bytes: float
    has_activation: bool
    has_pads: bool


@dataclass(frozen=True)
class ConvolutionSample:
    """A convolution that was measured: `places` where all taps meet, each for `reduced` channels."""

    source: str
    places: int
    reduced: int
    taps: int
    channels: int
    num_bytes: int
    bits: str
    microseconds: float
    is_transposed: bool = False

    def operations(self, tile: int) -> float:
        """Return the multiplications and additions, with output channels that fill whole tiles."""
        return 2.0 * self.places * self.reduced * self.taps * (-(-self.channels // tile) * tile)

    @classmethod
    def of(cls, source: str, each: Work, data: Mapping[str, Data], microseconds: float) -> ConvolutionSample:
        """Return a convolution of a network."""
        x, y = data[each.inputs[0]], data[each.outputs[0]]
        place, reduced = (x, each.weights[0]) if each.is_transposed else (y, each.weights[1])
        return cls(
            source=source,
            places=place.dims[0] * math.prod(place.dims[2:]),
            reduced=-(-reduced // x.lanes) * x.lanes,
            taps=math.prod(each.weights[2:]),
            channels=y.dims[1],
            num_bytes=x.num_bytes(CHANNELS_LAST) + y.num_bytes(CHANNELS_LAST),
            bits=str(8 * x.element_bytes),
            microseconds=microseconds,
            is_transposed=each.is_transposed,
        )


def measured(name: str) -> Any:
    """Return a document of docs/measurements."""
    return json.loads((MEASUREMENTS / f"{name}.json").read_text())


@cache
def network_of(name: str, ops: str, folder: Path) -> NetworkWork:
    """Return what one of the networks does, as the passes of `ops` write it."""
    model = model_io.load(path_of(name, folder))
    reason = "native" if ops == "native" else None
    passes = passes_for(ops)
    if ops != "rewritten":  # the pass is younger than the measurements of the others
        passes = [each for each in passes if each is not fuse_padded_residual]
    run_passes(model.graph, PassContext(model.opset, folder, Choices(native_reason=reason)), passes)
    return read_network(model.graph, is_short=name in PUBLISHED)


def path_of(name: str, folder: Path) -> Path:
    """Return the file of a network, made in `folder` unless it is there or published."""
    if name in PUBLISHED:
        return Path(MODELS) / PUBLISHED[name]
    path = folder / f"{name}.onnx"
    if not path.exists():
        onnx.save(make(**MADE_WHOLE[name]), path)
    return path


def engines_of(name: str) -> dict[str, Any]:
    """Return the engines of one of MADE by what became of the operators, with their layers."""
    engines: dict[str, Any] = dict(measured("fused_networks_h100")["networks"][name]["engines"])
    return engines | {"rewritten": measured("rewritten_networks_h100")["networks"][name]["engines"]["rewritten"]}


def network_samples(name: str, folder: Path) -> tuple[list[Sample], list[ConvolutionSample], list[NormSample]]:
    """Return what the layers of one of MADE's engines tell of the rates."""
    samples: list[Sample] = []
    convolutions: list[ConvolutionSample] = []
    norms: list[_Norm] = []
    for ops, engine in engines_of(name).items():
        reader = _Reader(name, network_of(name, ops, folder))
        reader.read(engine["layers"])
        samples += reader.samples
        convolutions += reader.convolutions
        if ops == "fused":
            norms = reader.norms
        if ops == "plugin":
            alone = {each.work.inputs[0]: each.microseconds for each in reader.norms}
    found = [
        NormSample(
            alone_us=alone[each.work.inputs[0]],
            microseconds=each.microseconds,
            extra_bytes=each.extra_bytes,
            has_activation=each.work.attributes["activation"] != activations.NONE,
            has_pads=any(each.work.attributes["pads"]),
        )
        for each in norms
    ]
    return samples, convolutions, found


@dataclass(frozen=True)
class _Norm:
    work: Work
    microseconds: float
    extra_bytes: float


class _Reader:
    """Goes through the layers of an engine in their order."""

    def __init__(self, name: str, network: NetworkWork) -> None:
        self._name = name
        self._network = network
        self._works = {each.name: each for each in network.works}
        self._last: Work | None = None
        self._region: tuple[list[str], float] | None = None
        self.samples: list[Sample] = []
        self.convolutions: list[ConvolutionSample] = []
        self.norms: list[_Norm] = []

    def read(self, layers: Sequence[Mapping[str, Any]]) -> None:
        """Take all layers but the first, a pad: without a CUDA graph its time has the start of the run in it.

        The pad of [1,3,1080,1920] takes 22 us there, and 6 us alone.
        """
        for layer in layers[1:]:
            kind, text, us = layer["type"], layer["name"], layer["us"]
            if kind == "kgen":
                self._take_kernel(us)
                continue
            self._end_region()
            if kind == "Reformat":
                self._take_reformat(text, layer["formats"], us)
            elif kind == "PluginV3":
                self._take_plugin(self._works.get(text), layer["formats"], us)
            elif kind in ("CaskConvolution", "CaskDeconvolutionV2"):
                self._last = self._works[text.split(" + ")[0]]
                self.convolutions.append(ConvolutionSample.of(self._name, self._last, self._network.data, us))
            elif kind in ("Slice", "Resize"):
                self._last = self._works[text]
                image = kind == "Resize"
                rate = estimates.RESIZE if image else native_rate(work.PAD, self._network.data[self._last.inputs[0]])
                self._add(rate, self._bytes([*self._last.inputs, *self._last.outputs]), us)
        self._end_region()

    def _take_reformat(self, text: str, formats: str, us: float) -> None:
        before, after = (CHANNELS_LAST if "HWC" in each else LINEAR for each in formats.split(" -> "))
        of = text.split(" to ", 1)[1]
        region = _REGION.search(of)
        first, last = of.split(" + ")[0], of.split(" + ")[0]
        if region:
            first, last = _NORM.match(region[1].split(" + ")[0])[1], region[2]  # type: ignore[index]
        is_input = "Input Tensor" in text
        reading = self._works[first].inputs[0]
        tensor = reading if is_input else self._works[last].outputs[0]
        data = self._network.data[tensor]
        if 0 < data.dims[1] < 8:
            return  # formats of four channels, and others that the model has no word for
        self._add(estimates.REFORMAT, data.num_bytes(before) + data.num_bytes(after), us)
        if region and is_input:
            self._region = ([first, last], 0.0)

    def _take_kernel(self, us: float) -> None:
        if self._region is not None:
            self._region = (self._region[0], self._region[1] + us)
            return
        assert self._last is not None
        (follower,) = (each for each in self._works.values() if self._last.outputs[0] in each.inputs)
        self._add(estimates.POINTWISE, self._bytes([*follower.inputs, *follower.outputs]), us)
        self._last = follower

    def _end_region(self) -> None:
        if self._region is None:
            return
        (first, last), us = self._region
        self._region = None
        norm, end = self._works[first], self._works[last]
        if end.kind == work.POINTWISE and len(end.inputs) > 1:
            return  # a sum is in it, too
        rate = native_rate(work.NORM, self._network.data[norm.inputs[0]])
        self._add(rate, self._bytes([norm.inputs[0], norm.outputs[0]]), us)

    def _take_plugin(self, plugin: Work | None, formats: str, us: float) -> None:
        if plugin is None or (plugin.kind == work.PAD and has_phases(plugin.attributes)):
            return  # maps that put phases in place, which the passes made
        self._last = plugin
        layout: Layout = CHANNELS_LAST if "HWC" in formats else LINEAR
        x = self._network.data[plugin.inputs[0]]
        assert plugin.op is not None
        moved = plugin.op.bytes_moved(x.dims, x.element_bytes, plugin.attributes, plugin.roles)
        if plugin.kind != work.NORM:
            self._add(plugin_rate(work.PAD, layout, 2), moved * x.num_bytes(layout) / x.num_bytes(), us)
            return
        alone = 2 * x.num_bytes(layout)
        self.norms.append(_Norm(plugin, us, moved - 2 * x.num_bytes()))
        if (
            plugin.attributes == plugin.op.complete({"epsilon": plugin.attributes["epsilon"]})
            and len(plugin.roles) == 3
        ):
            self._add(plugin_rate(work.NORM, layout, 2), alone, us)

    def _bytes(self, names: Sequence[str]) -> int:
        return sum(self._network.data[name].num_bytes() for name in names)

    def _add(self, rate: str, num_bytes: float, us: float) -> None:
        self.samples.append(Sample(self._name, rate, num_bytes, us))


def kernel_samples() -> Iterator[Sample]:
    """Yield what the kernels that were timed alone tell of the rates: ours, copies, and TensorRT's linear layers."""
    bits = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}
    for row in measured("performance_h100")["results"]:
        layout = row["format"]
        if layout not in (LINEAR, CHANNELS_LAST) or row["dtype"] == "int8" or row["status"] != "timed":
            continue
        kind = work.kind_of(row["op"])
        times = {name: each["median_us"] for name, each in row["timings"].items()}
        yield Sample("performance_h100", plugin_rate(kind, layout, bits[row["dtype"]]), row["bytes"], times["kernel"])
        if layout == LINEAR:
            yield Sample("performance_h100", estimates.COPY, row["bytes"], times["copy"])
            if "native" in times:
                yield Sample(
                    "performance_h100",
                    native_rate(kind, Data(tuple(row["shape"]), bits[row["dtype"]])),
                    row["bytes"],
                    times["native"],
                )


def convolution_forms() -> Iterator[ConvolutionSample]:
    """Yield the convolutions that were timed alone."""
    for row in measured("convolution_forms_h100")["rows"]:
        layer = Work(row["case"], work.CONVOLUTION, ["x"], ["y"], weights=row["weights"])
        for element_bytes, key in ((2, "fp16_us"), (4, "fp32_us")):
            if key in row:
                data = {name: Data(tuple(row[side]), element_bytes) for name, side in (("x", "input"), ("y", "output"))}
                yield ConvolutionSample.of("convolution_forms_h100", layer, data, row[key])
