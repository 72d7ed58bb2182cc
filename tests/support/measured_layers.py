"""What the layers of the engines in docs/measurements tell of the rates, by the sizes of the data that each moves."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.measured_networks import measured, network_of, profiled
from trtconv.costs import estimates, work
from trtconv.costs.estimates import native_rate, plugin_rate
from trtconv.costs.tables import L2_BYTES
from trtconv.costs.work import CHANNELS_LAST, LINEAR, Data, Layout, Work
from trtconv.ops import activations
from trtconv.ops.input_map import has_phases
from trtconv.ops.instance_norm_function import RESIDUAL
from trtconv.passes.network_work import NetworkWork

# 2 transfers a clock of the memory, 2619 MHz over 5120 bits and 3201 MHz over 6144.
H100_GB_PER_S, H200_GB_PER_S = 3352.3, 4917.0
_REGION = re.compile(r"\{ForeignNode\[.+?\.\.\.(.+?)\]\}")


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

    bits: str
    alone_us: float
    microseconds: float
    extra_bytes: float
    has_activation: bool
    has_pads: bool
    has_residual: bool


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
    is_uneven: bool = False

    def operations(self, tile: int, least: int) -> float:
        """Return the multiplications and additions, with channels that fill whole tiles, of `least` outputs or more."""
        return 2.0 * self.reduced * self.taps * max(self.places * (-(-self.channels // tile) * tile), least)

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
            is_uneven=each.is_uneven,
        )


@cache
def network_samples(name: str, folder: Path) -> tuple[list[Sample], list[ConvolutionSample], list[NormSample]]:
    """Return what the layers of a network's engines tell of the rates."""
    samples: list[Sample] = []
    convolutions: list[ConvolutionSample] = []
    norms: dict[str, list[_Norm]] = {}
    for ops, profile in profiled(name).items():
        reader = _Reader(name, network_of(name, ops, folder))
        reader.read(profile.layers)
        samples += reader.samples
        convolutions += reader.convolutions
        norms[ops] = reader.norms
    alone = {each.work.inputs[0]: each.microseconds for each in norms.get("plugin", ()) if each.is_alone}
    found = [
        NormSample(
            bits=each.bits,
            alone_us=alone[each.work.inputs[0]],
            microseconds=each.microseconds,
            extra_bytes=each.extra_bytes,
            has_activation=each.work.attributes["activation"] != activations.NONE,
            has_pads=any(each.work.attributes["pads"]),
            has_residual=RESIDUAL in each.work.roles,
        )
        for each in norms.get("fused", norms.get("rewritten", ()))
        if each.work.inputs[0] in alone
    ]
    return samples, convolutions, found


@dataclass(frozen=True)
class _Norm:
    work: Work
    bits: str
    microseconds: float
    extra_bytes: float
    is_alone: bool


class _Reader:
    """Goes through the layers of an engine in their order."""

    def __init__(self, name: str, network: NetworkWork) -> None:
        self._name = name
        self._network = network
        self._works = {each.name: each for each in network.works}
        self._writers = {each.outputs[0]: each for each in network.works}
        self._last: Work | None = None
        self._region: tuple[Work, float] | None = None  # the last work of it, and the time so far
        self.samples: list[Sample] = []
        self.convolutions: list[ConvolutionSample] = []
        self.norms: list[_Norm] = []

    def read(self, layers: Sequence[Mapping[str, Any]]) -> None:
        """Take all layers but the first: without a CUDA graph its time has the start of the run in it.

        A pad of [1,3,1080,1920] takes 22 us there, and 6 us alone.
        """
        for layer in layers[1:]:
            kind, text, us = layer["type"], layer["name"], layer["us"]
            if us == 0 or kind == "shape_call":
                continue
            if kind == "kgen":
                self._take_kernel(us)
                continue
            self._end_region()
            first = self._works.get(text.split(" + ")[0])
            if kind == "Reformat":
                self._take_reformat(text, layer["formats"], us)
            elif kind == "PluginV3":
                self._take_plugin(first, layer["formats"], us)
            elif first is not None and first.kind == work.CONVOLUTION:
                self._last = first
                self.convolutions.append(ConvolutionSample.of(self._name, first, self._network.data, us))
            elif first is not None and first.kind in (work.PAD, work.RESIZE):
                self._last = first
                x = self._network.data[first.inputs[0]]
                rate = native_rate(work.PAD, x) if first.kind == work.PAD else estimates.resize_rate(x)
                self._add(rate, self._bytes([*first.inputs, *first.outputs]), us)
            else:
                self._last = None
        self._end_region()

    def _take_reformat(self, text: str, formats: str, us: float) -> None:
        layouts: list[Layout] = [CHANNELS_LAST if "HWC" in each else LINEAR for each in formats.split(" -> ")]
        side, _, of = text.removeprefix("Reformatting CopyNode for ").partition(" to ")
        region = _REGION.search(of)
        target = self._works.get(region[1] if region else of.split(" + ")[0])
        if target is None or layouts[0] == layouts[-1]:
            return
        is_plain_input = region is None and side == "Input Tensor 0"
        data = self._network.data[(target.inputs if is_plain_input else target.outputs)[0]]
        if data.dims[1] >= data.lanes:  # else formats of four channels, and others that the model has no word for
            rate = estimates.reformat_rate(data)
            self._add(rate, data.num_bytes(layouts[0]) + data.num_bytes(layouts[1]), us)
        if region and side.startswith("Input"):
            self._region = (target, 0.0)

    def _take_kernel(self, us: float) -> None:
        if self._region is not None:
            self._region = (self._region[0], self._region[1] + us)
        elif self._last is not None:
            followers = [each for each in self._works.values() if self._last.outputs[0] in each.inputs]
            self._last = followers[0] if len(followers) == 1 and followers[0].kind == work.POINTWISE else None
            if self._last is not None:
                self._add(estimates.POINTWISE, self._bytes([*self._last.inputs, *self._last.outputs]), us)

    def _end_region(self) -> None:
        if self._region is None:
            return
        last, us = self._region
        self._region = None
        norm = self._only_norm(last)
        if norm is not None and us:
            rate = native_rate(work.NORM, self._network.data[norm.inputs[0]])
            self._add(rate, self._bytes([norm.inputs[0], norm.outputs[0]]), us)

    def _only_norm(self, last: Work) -> Work | None:
        """Return the norm of a region that reads nothing besides and has no reshapes, as that of a group norm has."""
        norms: dict[str, Work] = {}
        waiting = [last]
        while waiting:
            each = waiting.pop()
            if each.kind == work.NORM:
                norms[each.name] = each
                continue
            if each.kind != work.POINTWISE or any(name not in self._writers for name in each.inputs):
                return None
            waiting += [self._writers[name] for name in each.inputs]
        return next(iter(norms.values())) if len(norms) == 1 else None

    def _take_plugin(self, plugin: Work | None, formats: str, us: float) -> None:
        self._last = plugin
        if plugin is None or has_phases(plugin.attributes):
            return
        layout: Layout = CHANNELS_LAST if "HWC" in formats else LINEAR
        x = self._network.data[plugin.inputs[0]]
        assert plugin.op is not None
        moved = plugin.op.bytes_moved(x.dims, x.element_bytes, plugin.attributes, plugin.roles)
        rate = plugin_rate(plugin.kind, layout, x.element_bytes)
        if plugin.kind != work.NORM:
            self._add(rate, moved * x.num_bytes(layout) / x.num_bytes(), us)
            return
        bare = plugin.op.complete({"epsilon": plugin.attributes["epsilon"]})
        is_alone = plugin.attributes == bare and len(plugin.roles) == 3
        self.norms.append(_Norm(plugin, str(8 * x.element_bytes), us, moved - 2 * x.num_bytes(), is_alone))
        if is_alone:
            self._add(rate, 2 * x.num_bytes(layout), us)

    def _bytes(self, names: Sequence[str]) -> int:
        return sum(self._network.data[name].num_bytes() for name in names)

    def _add(self, rate: str, num_bytes: float, us: float) -> None:
        self.samples.append(Sample(self._name, rate, num_bytes, us))


def kernel_samples() -> Iterator[Sample]:
    """Yield what the kernels that were timed alone tell of the rates: ours, copies, and TensorRT's linear layers.

    Of the H200 there are norms and copies; the others are of the H100, where what exceeds L2 and moves no more than
    its bytes is taken as long as it would be with the memory of the H200.
    """
    yield from _kernels_h200()
    bits = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}
    source = "performance_h100"
    for row in measured(source)["results"]:
        layout = row["format"]
        if layout not in (LINEAR, CHANNELS_LAST) or row["dtype"] == "int8" or row["status"] != "timed":
            continue
        kind = work.kind_of(row["op"])
        times = {name: each["median_us"] for name, each in row["timings"].items()}
        slower = H200_GB_PER_S / H100_GB_PER_S if row["bytes"] > L2_BYTES else 1.0
        if kind != work.NORM:
            yield Sample(source, plugin_rate(kind, layout, bits[row["dtype"]]), row["bytes"], times["kernel"] / slower)
        if layout == LINEAR:
            yield Sample(source, estimates.COPY, row["bytes"], times["copy"] / slower)
            if "native" in times:
                rate = native_rate(kind, Data(tuple(row["shape"]), bits[row["dtype"]]))
                yield Sample(source, rate, row["bytes"], times["native"])


def _kernels_h200() -> Iterator[Sample]:
    source = "fused_norms_h200"
    for row in measured(source)["rows"]:
        if row["variant"] in ("plain", "copy"):
            layout, dtype = row["layout"].replace("-", "_").split()
            element_bytes = 2 if dtype == "fp16" else 4
            rate = plugin_rate(work.NORM, layout, element_bytes) if row["variant"] == "plain" else estimates.COPY
            yield Sample(source, rate, 2.0 * math.prod(row["shape"]) * element_bytes, row["microseconds"])


def convolution_forms() -> Iterator[ConvolutionSample]:
    """Yield the convolutions that were timed alone in fp16; in fp32 they took twice as long as in a network."""
    for row in measured("convolution_forms_h100")["rows"]:
        layer = Work(row["case"], work.CONVOLUTION, ["x"], ["y"], weights=row["weights"])
        data = {name: Data(tuple(row[side]), 2) for name, side in (("x", "input"), ("y", "output"))}
        yield ConvolutionSample.of("convolution_forms_h100", layer, data, row["fp16_us"])
