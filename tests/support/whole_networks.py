"""The section on whole networks of docs/performance.md, and the plot of README, made of docs/measurements.

python -m tests.support.whole_networks draws the plot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.gpu.networks import MEASURED
from tests.support import network_tables
from tests.support.measurements import DOCS, engine_of, measured, same_as
from trtconv.benchmark.roofline import as_file

PLOT = DOCS / "networks_h200.svg"
# The measured engines of each GPU, and the same networks in PyTorch: the H100's with kernels before today's.
RUNS = {"networks_h200": "torch_networks_h200", "rewritten_networks_h100": "torch_networks_h100"}
H200 = "networks_h200"
LATEST = "auto_networks_h200"  # those that were measured again once the cost model knew the others
# What auto makes of the others, which it made otherwise before their measurement was known: as that form did there.
CHOSEN = {"cyclegan_512_fp32": "rewritten"}
EARLIER = ("melgan_800_fp16",)  # measured before plugins of lines ran as images of one row
# Milliseconds that the project set itself on an H100; xfeat is to be no slower than native.
GOALS = {
    "fns_1080x1920_fp16": 2.7,
    "fns_1080x1920_fp32": 5.5,
    "cyclegan_512_fp16": 1.14,
    "cyclegan_512_fp32": 2.0,
    "cyclegan_256_fp16": 0.41,
    "unet3d_128_fp16": 4.25,
    "unet3d_128_fp32": 8.0,
    "fns_candy_128_fp16": 0.40,
}
_TITLES = {
    "fns_1080x1920": "fast neural style 1080x1920",
    "cyclegan_512": "CycleGAN 512x512",
    "cyclegan_256": "CycleGAN 256x256",
    "unet3d_128": "3-D U-Net 128x128x128",
    "fns_candy_128": "fast neural style 128x128, norms written out",
    "xfeat_256": "XFeat 256x256",
    "vae_decoder_64": "VAE decoder, 64x64 latent",
    "gan_decoder_16": "GAN decoder, 16x16 to 512x512",
    "depth_net_320x1024": "depth network 320x1024",
    "litemono": "Lite-Mono decoder",
    "melgan_800": "MelGAN, 800 frames",
}
_SHOWN = (
    *("fns_1080x1920_fp16", "cyclegan_512_fp16", "vae_decoder_64_fp16", "unet3d_128_fp16"),
    *("depth_net_320x1024_fp16", "fns_candy_128_fp16", "xfeat_256_fp16"),
)
_SLOWEST_OF = ("fns_1080x1920_fp16", "cyclegan_512_fp16", "unet3d_128_fp16")
_SLOWEST = 6
Entry = Mapping[str, Any]


def section() -> str:
    """Return the section as Markdown."""
    lines = [
        "## Whole networks",
        "",
        _INTRODUCTION,
        "",
        *summary(),
        "",
        _AFTER_SUMMARY,
        "",
        _memory_told(),
        "",
        _errors_told(),
        "",
    ]
    lines += ["Goals that were missed on the H200:", "", *_missed(), "", _BEFORE_TABLES, ""]
    for run in RUNS:
        networks = _networks(run)
        gpu = next(iter(networks.values()))["gpu"]
        lines += [f"### {gpu}", "", *network_tables.tables(networks), ""]
        lines += [f"Data: [measurements/{run}.json](measurements/{run}.json).", ""]
    lines += ["### NVIDIA H200, with what `--ops auto` chooses today", "", _AGAIN, ""]
    lines += [
        *network_tables.tables(_networks(LATEST)),
        "",
        f"Data: [measurements/{LATEST}.json](measurements/{LATEST}.json).",
        "",
    ]
    lines += ["### The slowest layers that remain", "", *_slowest(), "", _WHAT_HOLDS_THEM, ""]
    lines += ["### Not measured", "", *_not_measured(), "", _COMMANDS]
    return "\n".join(lines)


def summary() -> Iterator[str]:
    """Yield the lines of a table: each network by TensorRT's own layers, torch.compile, and trtconv."""
    yield (
        "| network | types | GPU | TensorRT ms | torch.compile ms | trtconv ms | best form | against TensorRT "
        "| against torch.compile | goal ms, H100 | memory MB, TensorRT and trtconv |"
    )
    yield "|" + "---|" * 11
    for run, torch_run in RUNS.items():
        torch = measured(torch_run)["networks"]
        for name, entry in (today() if run == H200 else _networks(run)).items():
            yield f"| {' | '.join(_cells(name, entry, torch.get(name)))} |"


def _cells(name: str, entry: Entry, torch: Entry | None) -> list[str]:
    native, ours = milliseconds(entry, "native"), _ours_ms(entry)
    peer = _torch(torch)
    best = min(
        (ops for ops, engine in entry["engines"].items() if same_as(entry, ops) is None and "timing" in engine),
        key=lambda ops: milliseconds(entry, ops),
    )
    network, _, types = name.rpartition("_")
    is_best = milliseconds(entry, best) >= ours
    return [
        _TITLES.get(network, network),
        types,
        "H100" if "H100" in entry["gpu"] else "H200",
        f"{native:.3f}",
        f"{peer[0]:.2f}, {peer[1]}" if peer else "not measured",
        f"{ours:.3f}{', earlier' if name in EARLIER and 'H200' in entry['gpu'] else ''}",
        "" if is_best else f"{best} {milliseconds(entry, best):.3f}",
        f"{native / ours:.2f}x",
        f"{peer[0] / ours:.2f}x" if peer else "",
        f"{GOALS[name]}" if name in GOALS else "",
        _memory(entry),
    ]


def _title(name: str) -> str:
    network, _, types = name.rpartition("_")
    return f"{_TITLES.get(network, network)} in {types}"


def ours_of(entry: Entry) -> str:
    """Return what stands for trtconv: the form that auto chooses, or rewritten in a run before there was auto."""
    return str(entry.get("chosen") or ("auto" if "auto" in entry["engines"] else "rewritten"))


def _torch(entry: Entry | None) -> tuple[float, str] | None:
    """Return the milliseconds of torch.compile and its mode, the better of the two layouts."""
    if entry is None or "ms" in entry:
        return (entry["ms"], entry["mode"]) if entry else None
    compiled = {key: us for key, us in entry["microseconds"].items() if key.startswith("torch.compile")}
    if not compiled:
        return None
    best = min(compiled, key=compiled.__getitem__)
    return compiled[best] / 1000, best.removeprefix("torch.compile ").split(",")[0]


def _memory(entry: Entry) -> str:
    """Return the device memory that TensorRT asks for while an engine runs, in MB, weights not counted."""
    sizes = [engine_of(entry, ops).get("device_memory_bytes") for ops in ("native", ours_of(entry))]
    return ", ".join("not measured" if size is None else f"{size / 1e6:.1f}" for size in sizes) if any(sizes) else ""


def draw() -> bytes:
    """Return the plot of README: each network by TensorRT's own layers, torch.compile and trtconv, as SVG."""
    from matplotlib.figure import Figure

    networks, torch = today(), measured(RUNS[H200])["networks"]
    shown = [name for name in _SHOWN if name in networks]
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    colors = {"TensorRT's own layers": "#b8b8b8", "torch.compile": "#ee7b51", "trtconv": "#76b900"}
    for row, name in enumerate(shown):
        native, ours = (milliseconds(networks[name], ops) for ops in ("native", ours_of(networks[name])))
        peer = _torch(torch.get(name))
        times = zip(colors, (native, peer and peer[0], ours), strict=True)
        bars = [(label, ms) for label, ms in times if ms]
        for number, (label, ms) in enumerate(bars):
            place = row + 0.27 * (number - (len(bars) - 1) / 2)
            axes.barh(place, ms / native, 0.25, color=colors[label])
            gain = f", {native / ours:.1f}x" if label == "trtconv" else ""
            axes.text(ms / native + 0.01, place, f"{ms:.2f} ms{gain}", va="center", fontsize=8)
    axes.set_yticks(range(len(shown)), [_TITLES[name.rpartition("_")[0]] for name in shown])
    axes.invert_yaxis()
    axes.set_xlim(right=1.2)
    axes.set_xlabel("time relative to TensorRT's own layers; fp16, NVIDIA H200", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    handles = [axes.barh([0], [0], color=color, label=label) for label, color in colors.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return as_file(figure, ".svg")


def today() -> dict[str, Any]:
    """Return the networks on the H200, those that were measured again as they were then, with what auto chooses."""
    networks = _networks(H200) | _networks(LATEST)
    return {name: {**entry, "chosen": CHOSEN.get(name, "auto")} for name, entry in networks.items()}


def _networks(run: str) -> dict[str, Any]:
    networks: dict[str, Any] = {name: each for name, each in measured(run)["networks"].items() if "engines" in each}
    return networks


def milliseconds(entry: Entry, ops: str) -> float:
    """Return the time of a form."""
    return float(engine_of(entry, ops)["timing"]["median_us"]) / 1000


def _ours_ms(entry: Entry) -> float:
    return milliseconds(entry, ours_of(entry))


def _slowest() -> Iterator[str]:
    yield "| network | layer | us | formats |"
    yield "|---|---|---|---|"
    for name in _SLOWEST_OF:
        layers: Sequence[Entry] = _networks(H200)[name]["engines"]["rewritten"]["layers"]
        for layer in sorted(layers, key=lambda each: -each["us"])[:_SLOWEST]:
            title = _TITLES[name.rpartition("_")[0]]
            yield f"| {title} | `{layer['name']}` | {layer['us']:.0f} | {layer.get('formats', '')} |"


def _not_measured() -> Iterator[str]:
    """Yield what is missing of the networks that tests/gpu/measure_networks.py lists."""
    networks, torch = today(), measured(RUNS[H200])["networks"]
    left = [name for name in MEASURED if name not in networks]
    if left:
        yield f"* On the H200: {', '.join(left)}."
    alone = [name for name in networks if MEASURED[name][0].file is None and not _torch(torch.get(name))]
    if alone:
        yield f"* With torch.compile on the H200: {', '.join(alone)}."
    yield _OTHERS_NOT_MEASURED


def missed_goals() -> list[str]:
    """Return the networks whose goal auto missed on the H200."""
    networks = today()
    return [name for name, goal in GOALS.items() if name in networks and _ours_ms(networks[name]) > goal]


def _missed() -> Iterator[str]:
    networks = today()
    for name in missed_goals():
        ours = _ours_ms(networks[name])
        yield f"* {_title(name)}, {ours:.2f} ms in place of {GOALS[name]}: {REASONS[name]}"


def _memory_told() -> str:
    """Return which networks need a tenth more memory than with TensorRT's own layers."""
    more = []
    for name, entry in today().items():
        native, ours = (engine_of(entry, ops).get("device_memory_bytes") for ops in ("native", ours_of(entry)))
        if native and ours and ours > 1.1 * native:
            more.append(f"{_title(name)} ({ours / 1e6:.1f} MB in place of {native / 1e6:.1f})")
    told = f"These need more: {'; '.join(more)}." if more else ""
    return f"Most networks need about as much memory as with TensorRT's own layers, or less. {told}".strip()


def _errors_told() -> str:
    """Return which networks are further from ONNX Runtime than TensorRT's own engine by more than a tenth."""
    more = []
    for name, entry in today().items():
        largest, rms = (_error_ratio(entry, of) for of in ("error_to_original", "rms_error_to_original"))
        if max(largest, rms or 0) > 1.1:
            more.append(f"{_title(name)} (the largest {largest:.2f} times{f', rms {rms:.2f}' if rms else ''})")
    told = f", but for {'; '.join(more)}" if more else ""
    return (
        "Errors against ONNX Runtime, the largest and their root mean square (rms), are at most 1.1 times those of "
        f"TensorRT's own engine{told}. They are of one to sixteen input sets."
    )


def _error_ratio(entry: Entry, of: str) -> float | None:
    """Return an error of ours over that of TensorRT's own engine, that of the worst output, None if not measured."""
    native, ours = (engine_of(entry, ops).get(of) for ops in ("native", ours_of(entry)))
    if not native or not ours:
        return None
    pairs = [(ours[name], error) for name, error in native.items() if error]
    ratios = [own / error for own, error in pairs if isinstance(own, float) and isinstance(error, float)]
    return max(ratios, default=None)


_INTRODUCTION = """TensorRT 10.6.0, the default level of the builder. In each run the engines of one network were timed
side by side as CUDA graphs; the times are medians. "trtconv" is `--ops auto`, the default, by the choices
of today; "earlier" marks a figure from before plugins of lines ran as images of one row
([fused.md](fused.md#lines)). "best form" is given where another choice for all nodes was faster than `auto` in the same
run, `plugin`, `fused` or `rewritten`. torch.compile is
PyTorch 2.11 with the same architecture on the same kind of GPU, in another run, the better of its layouts, in the mode
that is told ([H200](measurements/torch_networks_h200.json), [H100](measurements/torch_networks_h100.json)). In fp32
TensorRT and PyTorch both multiply in TF32. The goals were set for an H100. Memory is what TensorRT asks for while an
engine runs, without its weights."""
_AFTER_SUMMARY = """The H100's run is older: since then norms of 256 channels at 128x128 have another launch, which
the CycleGAN of the H200 has and that of the H100 lacks; its engine is that of `--ops rewritten`. The U-Net was not
measured on an H100 with these forms; there it takes 6.42 ms natively, 5.03 ms with `--ops plugin` and 4.99 ms in
torch.compile."""
_AGAIN = """The cost model was fitted to most of the networks above, and chooses otherwise for some since then. These
were measured after that, each in one run; Lite-Mono and MelGAN were no part of the fit. CycleGAN in fp32 was itself new
to the model: knowing it, `auto` chooses what `rewritten` makes, and that column is what the first table gives."""
_BEFORE_TABLES = """The tables below have every form of each network, with its error: max|y - reference| /
max|reference|, the reference being the original model in ONNX Runtime with its norms in float64. Then the time by what
layers do, in microseconds, with the number of layers; these were taken without a CUDA graph. `plugin` of
CycleGAN in fp32 is of an earlier run."""
# Why a goal was missed, by network.
REASONS = {
    "cyclegan_256_fp16": "traced in its CUDA graph, its convolutions take 0.28 ms, of which the 18 of the body at "
    "64x64 take 11 us each: their tiles fill half of the cores, and no other form is faster. A norm of the body begins "
    "1 us before its convolution ends, and ends 5.0 to 7.6 us after that, with the residual and the pads. The next "
    "convolution begins 0.1 us later.",
}
_WHAT_HOLDS_THEM = """* The first convolutions read three channels, which TensorRT's kernels pad to four or eight.
  Two by two pixels as channels took 265 us in place of 309 in the first of fast neural style, without the two maps
  around it, so nothing is gained.
* The last convolutions compute 48 channels for 16 pixels, and the multiplications are those of a convolution four
  times as large in each direction of the kernel.
* The norms that pad and upsample write more than they read. They run at 0.6 of a copy, as other channels-last norms
  do that are read twice because they exceed shared memory and registers.
* The convolutions of the body, and all of the U-Net, run at 60 to 75 % of the matrix units."""
_OTHERS_NOT_MEASURED = """* On the H100: all but the two networks above with `rewritten`, and `auto`. Older figures of
  native engines and of `--ops plugin` are in [choosing.md](choosing.md).
* XFeat and the fast neural style with written-out norms are published models, without code in PyTorch to compile
  here."""
_COMMANDS = """```
python -m tests.gpu.measure_networks NETWORKS.json
python -m tests.gpu.torch_peers TORCH.json
```"""


if __name__ == "__main__":
    PLOT.write_bytes(draw())
