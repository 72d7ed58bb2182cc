"""Microseconds of one layer, by the constants of a GPU."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trtconv.costs.tables import CostTable
from trtconv.costs.work import CHANNELS_LAST, LINEAR, NORM, PAD, Data, Layout, Work
from trtconv.ops import activations
from trtconv.ops.input_map import has_phases
from trtconv.ops.instance_norm_function import RESIDUAL

_16_BITS = 2  # bytes: the smaller types are taken for these
COPY, POINTWISE = "copy", "pointwise"


# TensorRT 10.6 runs norms of slices of up to 65536 elements by one kernel and of longer ones by three (H100, fns and
# CycleGAN). Slices of 64 elements take far longer for their bytes than slices of 1024.
_LENGTHS = (("short", 256), ("held", 65536))


def native_rate(kind: str, x: Data) -> str:
    """Return the name of the rate of TensorRT's own pad of X, or of its norm, by the length of a slice."""
    if kind != NORM:
        return f"{kind} native {_bits(x.element_bytes)}"
    length = math.prod(x.dims[2:])
    name = next((name for name, most in _LENGTHS if length <= most), "long")
    return f"{kind} native {name} {_bits(x.element_bytes)}"


def resize_rate(x: Data) -> str:
    """Return the name of the rate of TensorRT's own upsampling of X."""
    return f"resize {_bits(x.element_bytes)}"


def reformat_rate(x: Data) -> str:
    """Return the name of the rate of copying X into another layout."""
    return f"reformat {_bits(x.element_bytes)}"


def plugin_rate(kind: str, layout: Layout, element_bytes: int) -> str:
    """Return the name of the rate of a plugin."""
    return f"{kind} plugin {layout} {_bits(element_bytes)}"


def _bits(element_bytes: int) -> int:
    return 16 if element_bytes <= _16_BITS else 32


@dataclass(frozen=True)
class Estimates:
    """The times of single layers, in microseconds, for data of the sizes in `data`.

    Those that were asked for are kept: a choice compares many networks of the same layers.
    """

    table: CostTable
    data: Mapping[str, Data]
    _moving: dict[tuple[str, float], float] = field(default_factory=dict, repr=False, compare=False)
    _plugins: dict[tuple[int, Layout], tuple[Work, float]] = field(default_factory=dict, repr=False, compare=False)

    def moving(self, rate: str, num_bytes: float) -> float:
        """Return the time of a layer that only moves bytes: a copy, a sum, a change of format."""
        if (rate, num_bytes) not in self._moving:
            self._moving[rate, num_bytes] = self.table.rates[rate].time(num_bytes)
        return self._moving[rate, num_bytes]

    def adding(self, rate: str, num_bytes: float) -> float:
        """Return what bytes add to a layer that moves others anyway."""
        return self.table.rates[rate].adding(num_bytes)

    def sizes(self, names: Sequence[str], layout: Layout = LINEAR) -> int:
        """Return the bytes of some tensors together."""
        return sum(self.data[name].num_bytes(layout) for name in names)

    def reformat(self, name: str, before: Layout, after: Layout) -> float:
        """Return the time of copying a tensor into another layout."""
        data = self.data[name]
        return self.moving(reformat_rate(data), data.num_bytes(before) + data.num_bytes(after))

    def native(self, kind: str, x: str, y: str) -> float:
        """Return the time of TensorRT's own norm or pad on linear tensors."""
        return self.moving(native_rate(kind, self.data[x]), self.sizes([x, y]))

    def convolution(self, work: Work) -> float:
        """Return the time of a convolution by the matrix work of its tiles and the bytes of its data."""
        x, y = self.data[work.inputs[0]], self.data[work.outputs[0]]
        rate = self.table.convolutions[str(_bits(x.element_bytes))]
        places, reduced, taps = self._products(work)
        reduced = -(-reduced // x.lanes) * x.lanes
        channels = -(-y.dims[1] // rate.tile) * rate.tile
        operations = 2.0 * reduced * taps * max(places * channels, rate.least_outputs)
        num_bytes = self.sizes([*work.inputs, *work.outputs], CHANNELS_LAST)
        time = rate.fixed_us + operations / rate.tflops * 1e-6 + num_bytes / rate.gb_per_s * 1e-3
        return time * (rate.transposed if work.is_transposed else 1.0) * (rate.uneven if work.is_uneven else 1.0)

    def is_linear(self, work: Work) -> bool:
        """Say whether a convolution is so small that TensorRT computes it on linear tensors."""
        x, y = self.data[work.inputs[0]], self.data[work.outputs[0]]
        products = y.dims[1] * math.prod(self._products(work))
        return products <= self.table.convolutions[str(_bits(x.element_bytes))].linear_products

    def _products(self, work: Work) -> tuple[int, int, int]:
        """Return how many places a convolution has, and how many channels and taps each of an output channel reads."""
        x, y = self.data[work.inputs[0]], self.data[work.outputs[0]]
        place, reduced = (x, work.weights[0]) if work.is_transposed else (y, work.weights[1])  # X meets every tap
        return place.dims[0] * math.prod(place.dims[2:]), reduced, math.prod(work.weights[2:])

    def plugin(self, work: Work, layout: Layout) -> float:
        """Return the time of a custom op whose tensors have one layout."""
        key = id(work), layout  # with the work itself, so that no other one gets its number
        if key not in self._plugins:
            self._plugins[key] = work, self._plugin(work, layout)
        return self._plugins[key][1]

    def _plugin(self, work: Work, layout: Layout) -> float:
        assert work.op is not None
        x, y = self.data[work.inputs[0]], self.data[work.outputs[0]]
        if work.kind != NORM:
            return self.moving(
                plugin_rate(PAD, layout, x.element_bytes), self.sizes([*work.inputs, *work.outputs], layout)
            )
        filled = x.num_bytes(layout) / max(x.num_bytes(), 1)  # channels-last: vectors hold channels that are none
        moved = work.op.bytes_moved(x.dims, x.element_bytes, work.attributes, work.roles) * filled
        alone = 2.0 * x.num_bytes(layout)
        bare = max(self.moving(plugin_rate(NORM, layout, x.element_bytes), alone), self.table.least_norm_us)
        time = bare * self._factor(work, layout)
        if layout == LINEAR and self._is_placed(work):  # normalised into the workspace, gathered from there
            gathered = x.num_bytes() + y.num_bytes()
            time += self.moving(plugin_rate(PAD, layout, x.element_bytes), gathered)
            moved -= y.num_bytes() - x.num_bytes()
        return time + self.adding(COPY, max(moved - alone, 0.0))

    def _factor(self, work: Work, layout: Layout) -> float:
        """Return what a norm's other duties make of its time."""
        shares, attributes = self.table.shares, work.attributes
        bits = str(_bits(self.data[work.inputs[0]].element_bytes))
        factor = 1.0
        if attributes.get("activation", activations.NONE) != activations.NONE:
            factor += shares.activation[bits]
        if layout == CHANNELS_LAST:
            factor += shares.pads[bits] if any(attributes.get("pads", ())) else 0.0
            factor += shares.residual[bits] if RESIDUAL in work.roles else 0.0
        if attributes.get("groups"):
            factor *= 1.0 + shares.groups[layout]
        if has_phases(attributes):
            factor *= 1.0 + shares.phases[layout]
        return factor

    def _is_placed(self, work: Work) -> bool:
        upsample = any(factor != 1 for factor in work.attributes.get("upsample", ()))
        return upsample or any(work.attributes.get("pads", ()))
