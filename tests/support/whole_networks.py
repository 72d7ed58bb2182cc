"""The section on whole networks of docs/performance.md, and the plot of README, made of docs/measurements.

python -m tests.support.whole_networks draws the plot.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support import network_tables
from trtconv.benchmark.roofline import as_file

DOCS = Path(__file__).parents[2] / "docs"
MEASUREMENTS = DOCS / "measurements"
PLOT = DOCS / "networks_h200.svg"
# One run each: the H200 with today's kernels, the H100 with those before large channels-last norms got other launches.
RUNS = ("networks_h200", "rewritten_networks_h100")
TORCH = "torch_networks_h100"
# Milliseconds in fp16 and fp32 that the project set itself on an H100.
GOALS = {"fns_1080x1920_fp16": 2.7, "cyclegan_512_fp16": 1.14, "unet3d_128_fp16": 4.25}
_TITLES = {
    "fns_1080x1920_fp16": "fast neural style 1080x1920",
    "cyclegan_512_fp16": "CycleGAN 512x512",
    "unet3d_128_fp16": "3-D U-Net 128x128x128",
}
_SLOWEST = 6
Entry = Mapping[str, Any]


def measured(name: str) -> dict[str, Any]:
    """Return a file of docs/measurements."""
    document: dict[str, Any] = json.loads((MEASUREMENTS / f"{name}.json").read_text())
    return document


def section() -> str:
    """Return the section as Markdown."""
    lines = ["## Whole networks", "", _INTRODUCTION, "", *summary(), "", _AFTER_SUMMARY, ""]
    for run in RUNS:
        networks = _networks(run)
        gpu = next(iter(networks.values()))["gpu"]
        lines += [f"### {gpu}", "", *network_tables.tables(networks), ""]
        lines += [f"Data: [measurements/{run}.json](measurements/{run}.json).", ""]
    lines += ["### The slowest layers that remain", "", *_slowest(), "", _WHAT_HOLDS_THEM, "", _NOT_MEASURED]
    return "\n".join(lines)


def summary() -> Iterator[str]:
    """Yield the lines of a table: each network by TensorRT's own layers, torch.compile, and trtconv's best form."""
    yield "| network, fp16 | GPU | TensorRT ms | torch.compile ms | trtconv ms | against TensorRT | goal ms, H100 |"
    yield "|" + "---|" * 7
    torch = measured(TORCH)["networks"]
    for run in RUNS:
        for name, entry in _networks(run).items():
            native, ours = (_milliseconds(entry, ops) for ops in ("native", "rewritten"))
            is_h100 = "H100" in entry["gpu"]
            peer = f"{torch[name]['ms']:.2f}" if is_h100 else "not measured"
            gpu = "H100" if is_h100 else "H200"
            cells = (
                _TITLES[name],
                gpu,
                f"{native:.2f}",
                peer,
                f"{ours:.2f}",
                f"{native / ours:.2f}x",
                f"{GOALS[name]}",
            )
            yield f"| {' | '.join(cells)} |"


def draw() -> bytes:
    """Return the plot of README: TensorRT's own layers beside trtconv, a pair of bars a network, as SVG."""
    from matplotlib.figure import Figure

    networks = _networks(RUNS[0])
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes = figure.add_subplot()
    for row, entry in enumerate(networks.values()):
        native, ours = (_milliseconds(entry, ops) for ops in ("native", "rewritten"))
        axes.barh(row - 0.19, native, 0.36, color="#b8b8b8", label=None if row else "TensorRT's own layers")
        axes.barh(row + 0.19, ours, 0.36, color="#76b900", label=None if row else "trtconv")
        axes.text(native + 0.08, row - 0.19, f"{native:.2f} ms", va="center", fontsize=9)
        axes.text(ours + 0.08, row + 0.19, f"{ours:.2f} ms, {native / ours:.1f}x", va="center", fontsize=9)
    axes.set_yticks(range(len(networks)), [_TITLES[name] for name in networks])
    axes.invert_yaxis()
    axes.set_xlim(right=max(_milliseconds(entry, "native") for entry in networks.values()) * 1.12)
    axes.set_xlabel("ms, fp16, NVIDIA H200, TensorRT 10.6")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    return as_file(figure, ".svg")


def _networks(run: str) -> dict[str, Any]:
    networks: dict[str, Any] = {name: each for name, each in measured(run)["networks"].items() if "engines" in each}
    return networks


def _milliseconds(entry: Entry, ops: str) -> float:
    return float(entry["engines"][ops]["timing"]["median_us"]) / 1000


def _slowest() -> Iterator[str]:
    yield "| network | layer | us | formats |"
    yield "|---|---|---|---|"
    for name, entry in _networks(RUNS[0]).items():
        layers: Sequence[Entry] = entry["engines"]["rewritten"]["layers"]
        for layer in sorted(layers, key=lambda each: -each["us"])[:_SLOWEST]:
            yield f"| {_TITLES[name]} | `{layer['name']}` | {layer['us']:.0f} | {layer.get('formats', '')} |"


_INTRODUCTION = """TensorRT 10.6.0, fp16, the default level of the builder. In each run the engines of one network
were timed side by side as CUDA graphs; the times are medians. "trtconv" is `--ops rewritten`, which `--ops auto`,
the default, chooses for these networks (for CycleGAN but for one of its transposed convolutions: 1.135 ms).
torch.compile is PyTorch 2.11 in mode max-autotune, channels-last, the same architecture on the same kind of GPU, in
another run ([data](measurements/torch_networks_h100.json))."""
_AFTER_SUMMARY = """The H100's run is older: since then norms of 256 channels at 128x128 have another launch, which
the CycleGAN of the H200 has and that of the H100 lacks. The U-Net was not measured on an H100 with these forms;
there it takes 6.42 ms natively, 5.03 ms with `--ops plugin` and 4.99 ms in torch.compile.

The tables below have every form of each network, with its error: max|y - reference| / max|reference|, the reference
being the original model in ONNX Runtime with its norms in float64. Then the time by what layers do, in
microseconds, with the number of layers; these were taken without a CUDA graph."""
_WHAT_HOLDS_THEM = """* The first convolutions read three channels, which TensorRT's kernels pad to four or eight.
  Two by two pixels as channels took 265 us in place of 309 in the first of fast neural style, without the two maps
  around it, so nothing is gained.
* The last convolutions compute 48 channels for 16 pixels, and the multiplications are those of a convolution four
  times as large in each direction of the kernel.
* The norms that pad and upsample write more than they read. They run at 0.6 of a copy, as other channels-last norms
  do that are read twice because they exceed shared memory and registers.
* The convolutions of the body, and all of the U-Net, run at 60 to 75 % of the matrix units."""
_NOT_MEASURED = """### Not measured

fp32, CycleGAN at 256x256, fns_candy, xfeat, litemono, a GAN decoder, a VAE decoder, a depth decoder and MelGAN were
not measured with `--ops auto` or `rewritten`, and neither was `--tune`. Earlier figures of `--ops plugin` on an
H100, in ms, native and plugin: fast neural style fp32 14.29 and 11.19, CycleGAN 512 fp32 3.61 and 2.81, CycleGAN
256 fp16 0.862 and 0.631, fns_candy 0.600 and 0.559. xfeat loses with it, 0.161 and 0.295, so `auto` keeps it
native. torch.compile took 9.91, 2.63 and 0.95 ms for the first three. On an H200 it took 7.22 ms for the VAE
decoder, 0.27 for the GAN decoder, 1.37 for MelGAN and 0.49 for the depth decoder
([data](measurements/torch_networks_h200.json)).

```
python -m tests.gpu.measure_networks NETWORKS.json
python -m tests.gpu.torch_peers TORCH.json
```"""


if __name__ == "__main__":
    PLOT.write_bytes(draw())
