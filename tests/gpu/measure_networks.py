"""Engines of networks, native and with plugins, in one run: accuracy, times as CUDA graphs, layers by kind.

    python -m tests.gpu.measure_networks OUT.json [--seconds 570] [--timing-cache FILE] [--opt-level 0..5]
        [--ops OPS[,OPS...]] [NETWORK ...]

The networks come in the order of their importance. Each is measured in a process of its own, which may crash, and its
engines are built in one more; OUT.json is written after each step. A network is not begun where the slowest so
far took longer than the time that is left. The original models run in ONNX Runtime meanwhile, with norms in float64: an
error is max|y - reference| / max|reference|, to the original and to the native engine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tests.gpu.networks import NETWORKS, Feed, Network
from tests.support.network_tables import ENGINES
from trtconv import BuildConfig
from trtconv.benchmark.layer_kinds import times_by_kind
from trtconv.benchmark.variants import REFERENCE, BuiltVariant, build_variant, same_as_before, written_graph
from trtconv.comparison.runners import load, opened, require_polygraphy
from trtconv.engine import loading
from trtconv.engine.engine_runner import EngineRunner
from trtconv.errors import TrtconvError
from trtconv.gpu import device as gpu_device
from trtconv.gpu.device import Device
from trtconv.gpu.timing import Enqueue, time_side_by_side
from trtconv.model.exact_norms import exact_reference
from trtconv.plugins import library as plugin_library
from trtconv.progress import NoProgress

Entry = dict[str, Any]
Outputs = dict[str, np.ndarray]

_AS_IMAGE = NETWORKS["fns_candy"].adjust
_PROFILED_RUNS = 10
_REFERENCE_WAIT = 60.0  # seconds for a reference that ONNX Runtime has not finished


def _made(network: str, dtype: str, adjust: Callable[[Feed], Feed] = lambda feed: feed, **sizes: int) -> Network:
    return Network(0, make={"network": network, "dtype": dtype, **sizes}, dtype=dtype, adjust=adjust)


_FNS = {"height": 1080, "width": 1920}
_CYCLEGAN = {"height": 512, "width": 512}
_VOLUME = {"depth": 128, "height": 128, "width": 128}
# What is measured, the most important first, and the precision that is asked for.
MEASURED: dict[str, tuple[Network, Any]] = {
    "fns_1080x1920_fp16": (_made("fast_neural_style", "fp16", _AS_IMAGE, **_FNS), None),
    "cyclegan_512_fp16": (_made("cyclegan", "fp16", **_CYCLEGAN), None),
    "unet3d_128_fp16": (_made("unet3d", "fp16", **_VOLUME), None),
    "fns_candy_128_fp16": (NETWORKS["fns_candy"], "fp16"),
    "cyclegan_256_fp16": (_made("cyclegan", "fp16", height=256, width=256), None),
    "xfeat_256_fp16": (NETWORKS["xfeat"], "fp16"),
    "fns_1080x1920_fp32": (_made("fast_neural_style", "fp32", _AS_IMAGE, **_FNS), None),
    "cyclegan_512_fp32": (_made("cyclegan", "fp32", **_CYCLEGAN), None),
    "vae_decoder_64_fp16": (_made("vae_decoder", "fp16", height=64, width=64), None),
    "gan_decoder_16_fp16": (_made("gan_decoder", "fp16", height=16, width=16), None),
    "melgan_800_fp16": (_made("melgan", "fp16", frames=800), None),
    "depth_net_320x1024_fp16": (_made("depth_net", "fp16", height=320, width=1024), None),
    "litemono_fp16": (NETWORKS["litemono"], "fp16"),
    "unet3d_128_fp32": (_made("unet3d", "fp32", **_VOLUME), None),
}


def main(arguments: list[str] | None = None) -> int:
    """Measure the networks that the command line names, all by default."""
    options = _parse(arguments)
    if options.built:
        _build_engines(options.built.split(","), options.out, options)
        return 0
    if options.one:
        _measure(options.one, options)
        return 0
    if options.references:
        return _run_originals(options.networks, options.references)
    for given, known in ((options.networks, MEASURED), (options.ops.split(","), ENGINES)):
        if unknown := sorted(set(given) - set(known)):
            print(f"error: {', '.join(unknown)} unknown, expected {', '.join(known)}", file=sys.stderr)
            return 2
    return _measure_all(options)


def _measure_all(options: argparse.Namespace) -> int:
    names, begin, slowest = options.networks or list(MEASURED), time.monotonic(), 0.0
    document: Entry = {"what": "tests.gpu.measure_networks", "opt_level": options.opt_level, "networks": {}}
    with tempfile.TemporaryDirectory() as folder:
        originals = _own("--references", folder, "unused.json", *names)
        try:
            for name in names:
                left = options.seconds - (time.monotonic() - begin)
                if left < slowest:
                    document["networks"][name] = {"problem": f"{left:.0f} s are too few"}
                    continue
                started = time.monotonic()
                document["networks"][name] = _measure_apart(name, options, Path(folder), left)
                slowest = max(slowest, time.monotonic() - started)
                _write(options.out, document)
                print(_line(name, document["networks"][name]), flush=True)
        finally:
            originals.kill()
            originals.wait()
    _write(options.out, document)
    return 0


def _measure_apart(name: str, options: argparse.Namespace, folder: Path, seconds: float) -> Entry:
    """Measure a network in a process of its own, and return what it wrote, also where it failed."""
    part = folder / f"{name}.json"
    cache = options.timing_cache or str(folder / "timing.cache")
    given = ["--originals", str(folder), "--timing-cache", cache, "--ops", options.ops, *_opt_level(options)]
    child = _own("--one", name, str(part), *given)
    problem = None
    try:
        status = child.wait(timeout=max(seconds, 1))
        if status:
            problem = f"its process ended with status {status}"
    except subprocess.TimeoutExpired:
        problem = f"stopped after {seconds:.0f} s"
    finally:
        child.kill()
        child.wait()
    entry: Entry = json.loads(part.read_text()) if part.is_file() else {}
    return ({"problem": problem} if problem else {}) | entry


def _opt_level(options: argparse.Namespace) -> list[str]:
    return [] if options.opt_level is None else ["--opt-level", str(options.opt_level)]


def _own(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.gpu.measure_networks", *arguments])


def _measure(name: str, options: argparse.Namespace) -> None:
    """Build, compare and time the variants of one network; write the file after each step."""
    network, precision = MEASURED[name]
    entry: Entry = {"seconds": {}, "graphs": {}, "engines": {}}
    require_polygraphy()
    with tempfile.TemporaryDirectory() as text, ExitStack() as until:
        folder, device = Path(text), gpu_device.open_device()
        entry["gpu"], entry["plugin_library_sha256"] = device.gpu.name, plugin_library.find().sha256
        path = network.path(folder)
        if path is None:
            raise SystemExit(f"there is no {network.file} in the models' folder")
        built = _build(path, _config(precision, options), entry, options)
        feed = network.feeds(path)[0]
        with _step("outputs", entry, options.out):
            outputs = _run_all(built, feed, entry)
            _compare(entry, "native", outputs.get(REFERENCE), outputs)
        with _step("timing", entry, options.out):
            runners = {ops: _runner(built[ops], device, feed, until) for ops in outputs}
            timings = time_side_by_side(device, {ops: _enqueue(each) for ops, each in runners.items()})
            for ops, timing in timings.items():
                entry["engines"][ops]["timing"] = asdict(timing)
                entry["engines"][ops]["device_memory_bytes"] = runners[ops].device_memory_bytes
        with _step("layers", entry, options.out):
            for ops, runner in runners.items():
                _add_layers(entry["engines"][ops], runner, device, built[ops])
        with _step("original", entry, options.out):
            _compare(entry, "original", _original(Path(options.originals) / f"{name}.npz"), outputs)


def _config(precision: Any, options: argparse.Namespace) -> BuildConfig:
    return BuildConfig(
        backend="tensorrt", opt_level=options.opt_level, precision=precision, timing_cache=options.timing_cache
    )


def _build(path: Path, config: BuildConfig, entry: Entry, options: argparse.Namespace) -> dict[str, BuiltVariant]:
    variants = [ops for ops in ENGINES if ops in options.ops.split(",")]
    with _step("graphs", entry, options.out):
        written = {ops: written_graph(path, config, ops) for ops in variants}
        for ops, graph in written.items():
            counts = Counter(graph.ops_by_node.values())
            entry["graphs"][ops] = {"plugins": graph.num_plugins, "nodes": dict(counts.most_common())}
    same = {ops: other for ops in variants if (other := same_as_before(written, ops))}
    entry["engines"] = {ops: {"same_as": other} for ops, other in same.items()}
    with _step("builds", entry, options.out):
        problems = _build_apart([ops for ops in variants if ops not in same], path, options)
    built = {}
    for ops in variants:
        if ops in same:
            continue
        each = problems[ops] if ops in problems else pickle.loads(_left_by(ops, path).read_bytes())
        if isinstance(each, str):
            entry["engines"][ops] = {"problem": each}
            continue
        built[ops] = each
        entry["tensorrt"] = each.manifest.backend_version
        entry["engines"][ops] = {"build_seconds": round(each.build_seconds, 1), "bytes": each.num_bytes}
    return built


def _build_apart(variants: list[str], path: Path, options: argparse.Namespace) -> dict[str, str]:
    """Build engines in a process of its own and, where it crashes, the rest in one more; return what crashed, and how.

    TensorRT's builder takes seconds to load its kernels, once a process.
    """
    problems = {}
    while variants:
        given = ["--built", ",".join(variants), "--one", options.one, "--timing-cache", str(options.timing_cache)]
        status = _own(*given, *_opt_level(options), str(path)).wait()
        variants = [ops for ops in variants if not _left_by(ops, path).is_file()]
        if variants:
            problems[variants.pop(0)] = f"its build ended with status {status}"
    return problems


def _build_engines(variants: Sequence[str], path: Path, options: argparse.Namespace) -> None:
    """Build engines beside the model, and leave a description of each, or why there is none."""
    config = _config(MEASURED[options.one][1], options)
    for ops in variants:
        left: BuiltVariant | str
        try:
            left = build_variant(path, config, ops, written_graph(path, config, ops), path.parent, NoProgress())
        except TrtconvError as error:
            left = str(error)
        _left_by(ops, path).write_bytes(pickle.dumps(left))


def _left_by(ops: str, path: Path) -> Path:
    return path.with_name(f"{ops}.pickle")


def _run_all(built: dict[str, BuiltVariant], feed: Feed, entry: Entry) -> dict[str, Outputs]:
    """Return the outputs of every engine that runs."""
    outputs = {}
    engines = {ops: load(each.path) for ops, each in built.items()}
    for ops, engine in engines.items():
        with _problem_of(entry, ops), opened(engine, "candidate", "--inputs") as runner:
            outputs[ops] = {name: np.array(values) for name, values in runner.run(feed).items()}
    return outputs


@contextlib.contextmanager
def _problem_of(entry: Entry, ops: str) -> Iterator[None]:
    """Note what is wrong with one variant, and go on with the others."""
    try:
        yield
    except TrtconvError as error:
        entry["engines"].setdefault(ops, {})["problem"] = str(error)


@contextlib.contextmanager
def _step(name: str, entry: Entry, out: str | Path) -> Iterator[None]:
    """Note how long a step took, and write what is known so far, also where it fails."""
    begin = time.monotonic()
    try:
        yield
    except Exception as error:
        entry["problem"] = f"{name}: {error}"
        raise
    finally:
        entry["seconds"][name] = round(time.monotonic() - begin, 1)
        _write(Path(out), entry)


def _runner(built: BuiltVariant, device: Device, feed: Feed, until: ExitStack) -> EngineRunner:
    runner = EngineRunner(loading.load_engine(built.path), built.path.stem)
    runner.bind_inputs(device, feed, until)
    return runner


def _enqueue(runner: EngineRunner) -> Enqueue:
    return lambda index, stream: runner.enqueue(stream)


def _compare(entry: Entry, title: str, reference: Outputs | None, outputs: dict[str, Outputs]) -> None:
    if reference is None:
        return
    for ops, each in outputs.items():
        entry["engines"][ops][f"error_to_{title}"] = {name: _error(reference[name], each[name]) for name in reference}


def _error(reference: np.ndarray, values: np.ndarray) -> float | str:
    expected, got = reference.astype(np.float64), values.astype(np.float64)
    if not np.isfinite(got).all():
        return "not finite"
    return float(np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-30))


def _add_layers(entry: Entry, runner: EngineRunner, device: Device, built: BuiltVariant) -> None:
    times, layers = runner.layer_times(device, _PROFILED_RUNS), runner.layers()
    kinds = times_by_kind(times, layers, built.ops_by_node)
    entry["kinds"] = {kind: asdict(each) for kind, each in kinds.items()}
    known = {layer.name: layer for layer in layers}
    entry["layers"] = [
        {"name": name, "us": round(us, 2), "type": known[name].type, "formats": known[name].formats}
        if name in known
        else {"name": name, "us": round(us, 2)}
        for name, us in times.items()
    ]


def _run_originals(names: list[str], folder: str) -> int:
    """Run the original models in ONNX Runtime, and leave the outputs of each in a file."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[: max(len(cores) // 2, 1)])  # the others are for TensorRT's builder
    for name in names:
        network, _ = MEASURED[name]
        with tempfile.TemporaryDirectory() as own:
            path = network.path(Path(own))
            if path is None:
                continue
            session = exact_reference(onnx.load(path), path)()
            outputs = [each.name for each in session.get_outputs()]
            values = dict(zip(outputs, session.run(None, network.feeds(path)[0]), strict=True))
            partial = Path(folder) / f"{name}.partial.npz"
            np.savez(partial, **values)
            partial.rename(Path(folder) / f"{name}.npz")
    return 0


def _original(path: Path) -> Outputs | None:
    """Return what the original model computes, None where ONNX Runtime does not get there."""
    deadline = time.monotonic() + _REFERENCE_WAIT
    while not path.is_file():
        if time.monotonic() > deadline:
            return None
        time.sleep(0.2)
    with np.load(path) as file:
        return dict(file)


def _line(name: str, entry: Entry) -> str:
    """Return one line on a network: the milliseconds and the error of each variant."""
    cells = [name]
    for ops, each in entry.get("engines", {}).items():
        median = each.get("timing", {}).get("median_us")
        errors = each.get("error_to_original") or each.get("error_to_native") or {}
        cells.append(f"{ops} {'-' if median is None else f'{median / 1000:.3f} ms'} {list(errors.values())[:3]}")
        cells += [each["problem"]] if "problem" in each else []
        cells.append(
            str({kind: f"{k['microseconds']:.0f} us/{k['count']}" for kind, k in each.get("kinds", {}).items()})
        )
    return "\n  ".join([*cells, entry.get("problem", ""), str(entry.get("seconds", ""))])


def _write(path: Path, document: Entry) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.measure_networks", description=__doc__)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--built", help=argparse.SUPPRESS)
    parser.add_argument("--references", help=argparse.SUPPRESS)
    parser.add_argument("--originals", help=argparse.SUPPRESS)
    parser.add_argument("out", type=Path)
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--seconds", type=float, default=570)
    parser.add_argument("--timing-cache", type=Path)
    parser.add_argument("--opt-level", type=int)
    parser.add_argument("--ops", default=",".join(ENGINES))
    return parser.parse_intermixed_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
