"""The made networks of measure_networks.py in PyTorch: in a CUDA graph and by torch.compile, on the GPU here.

    python -m tests.gpu.torch_peers OUT.json [--mode max-autotune] [--check] [NETWORK ...]

The layers come from the same function that writes the ONNX file, and so do the weights. Each is timed in both layouts,
contiguous and channels-last; fp32 uses TF32, as TensorRT does. With --check its output in fp32, without TF32, is
compared with what ONNX Runtime makes of the model: max|y - reference| / max|reference|. OUT.json is written after each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.make_models import NETWORKS, make
from tests.gpu.networks import MEASURED
from tests.gpu.torch_networks import network_of

MODES = ("reduce-overhead", "max-autotune")
LAYOUTS = ("contiguous", "channels_last")
_CHANNELS_LAST = {4: "channels_last", 5: "channels_last_3d"}  # by the number of axes; lines have none
_WARM_UPS, _RUNS = 5, 30
_SMALL = {"gan_decoder": 8, "vae_decoder": 8}  # elements an axis of the input that outputs are compared on; else 64
Entry = dict[str, Any]


def measure(name: str, mode: str, is_checked: bool) -> Entry:
    """Return the microseconds of one network, by what runs it and layout, or what went wrong."""
    import torch

    arguments = dict(MEASURED[name][0].make)
    model = make(**arguments)
    dtype = {"fp16": torch.float16, "fp32": torch.float32}[arguments["dtype"]]
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    entry: Entry = {"microseconds": {}, "problems": {}}
    with torch.inference_mode():
        if is_checked:
            entry["error_to_original"] = _error(arguments)
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to("cuda", dtype)
        for layout in LAYOUTS if len(shape) in _CHANNELS_LAST else LAYOUTS[:1]:
            for way, prepare in (("eager in a CUDA graph", _in_a_graph), (f"torch.compile {mode}", _compiled(mode))):
                begin = time.monotonic()
                try:
                    torch._dynamo.reset()
                    memory = _memory_format(layout, len(shape))
                    network = network_of(arguments, model).to("cuda", dtype).to(memory_format=memory)
                    run = prepare(network, x.to(memory_format=memory))
                    entry["microseconds"][f"{way}, {layout}"] = round(_time(run), 2)
                except Exception as error:  # what one way cannot do leaves the others
                    entry["problems"][f"{way}, {layout}"] = f"{type(error).__name__}: {error}"[:300]
                entry.setdefault("seconds", {})[f"{way}, {layout}"] = round(time.monotonic() - begin, 1)
    if entry["microseconds"]:
        entry["best"] = min(entry["microseconds"], key=entry["microseconds"].get)
    return entry


def _memory_format(layout: str, rank: int) -> Any:
    import torch

    return getattr(torch, _CHANNELS_LAST[rank] if layout == "channels_last" else "contiguous_format")


def _in_a_graph(network: Any, x: Any) -> Callable[[], Any]:
    import torch

    for _ in range(_WARM_UPS):
        network(x)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        network(x)
    return graph.replay


def _compiled(mode: str) -> Callable[[Any, Any], Callable[[], Any]]:
    import torch

    def prepare(network: Any, x: Any) -> Callable[[], Any]:
        compiled = torch.compile(network, mode=mode)
        return lambda: compiled(x)

    return prepare


def _time(run: Callable[[], Any]) -> float:
    """Return the median microseconds of a run."""
    import torch

    for _ in range(_WARM_UPS):
        run()
    times = []
    for _ in range(_RUNS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(1000 * begin.elapsed_time(end))
    return statistics.median(times)


def _error(arguments: dict[str, Any]) -> float:
    """Return how far the module in fp32 is from ONNX Runtime, for a small input."""
    import onnxruntime
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    network = arguments["network"]
    small = {"network": network, **dict.fromkeys(NETWORKS[network].axes, _SMALL.get(network, 64))}
    model = make(**small)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    feed = np.random.default_rng(0).standard_normal(given.shape).astype(np.float32)
    (expected,) = session.run(None, {given.name: feed})
    got = network_of(small, model).to("cuda")(torch.from_numpy(feed).to("cuda")).cpu().numpy()
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def made_networks() -> list[str]:
    """Return the measured networks that are made by code: of the others there is no torch module."""
    return [name for name, (network, _) in MEASURED.items() if network.make]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the networks that the command line names, all made ones by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.torch_peers", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--mode", choices=MODES, default=MODES[0])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_intermixed_args(arguments)
    names = options.networks or made_networks()
    unknown = set(names) - set(made_networks())
    if unknown:
        print(f"error: no torch module of {', '.join(sorted(unknown))}, only of {', '.join(made_networks())}",
              file=sys.stderr)  # fmt: skip
        return 2
    import torch

    document: Entry = {
        "what": "tests.gpu.torch_peers", "gpu": torch.cuda.get_device_name(), "torch": torch.__version__,
        "mode": options.mode, "networks": {},
    }  # fmt: skip
    for name in names:
        document["networks"][name] = measure(name, options.mode, options.check)
        options.out.write_text(json.dumps(document, indent=1) + "\n")
        print(name, json.dumps(document["networks"][name]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
