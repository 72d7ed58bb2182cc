"""Engines of networks, native and with plugins, in one run: accuracy, times as CUDA graphs, layers by kind.

    python -m tests.gpu.measure_networks OUT.json [--seconds 570] [--timing-cache FILE] [--opt-level 0..5]
        [--ops OPS[,OPS...]] [--sets COUNT] [NETWORK ...]

The networks come in the order of their importance. Each is measured in a process of its own, which may crash, and its
engines are built in one more; OUT.json is written after each step. A network is not begun where the slowest so
far took longer than the time that is left. The original models run in ONNX Runtime meanwhile, with norms in float64, on
COUNT input sets: errors are those of tests.gpu.network_errors, to the original and to the native engine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pickle
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tests.gpu.network_errors import Outputs, computed_by_original, largest_errors, rms_errors
from tests.gpu.networks import MEASURED, Feed
from tests.support.network_tables import ENGINES
from trtconv import BuildConfig
from trtconv.benchmark.layer_kinds import times_by_kind
from trtconv.benchmark.variants import REFERENCE, BuiltVariant, build_variant, same_as_before, written_graph
from trtconv.comparison.runners import load, opened, require_polygraphy
from trtconv.engine import backends, loading
from trtconv.engine.engine_runner import EngineRunner
from trtconv.engine.network_parsing import kernels_kept
from trtconv.errors import TrtconvError
from trtconv.gpu import device as gpu_device
from trtconv.gpu.device import Device
from trtconv.gpu.timing import Enqueue, time_side_by_side
from trtconv.plugins import library as plugin_library
from trtconv.progress import NoProgress

Entry = dict[str, Any]

_PROFILED_RUNS = 10


def main(arguments: list[str] | None = None) -> int:
    """Measure the networks that the command line names, all by default."""
    options = _parse(arguments)
    if options.built:
        _build_engines(options.built.split(","), options.out, options)
        return 0
    if options.one:
        _measure(options.one, options)
        return 0
    for given, known in ((options.networks, MEASURED), (options.ops.split(","), ENGINES)):
        if unknown := sorted(set(given) - set(known)):
            print(f"error: {', '.join(unknown)} unknown, expected {', '.join(known)}", file=sys.stderr)
            return 2
    return _measure_all(options)


def _measure_all(options: argparse.Namespace) -> int:
    names, begin, slowest = options.networks or list(MEASURED), time.monotonic(), 0.0
    document: Entry = {"what": "tests.gpu.measure_networks", "opt_level": options.opt_level, "networks": {}}
    with tempfile.TemporaryDirectory() as folder:
        given = [folder, str(options.sets), *names]
        originals = subprocess.Popen([sys.executable, "-m", "tests.gpu.network_errors", *given])
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
    given = ["--originals", str(folder), "--timing-cache", cache, "--ops", options.ops, "--sets", str(options.sets)]
    given += _opt_level(options)
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
    entry: Entry = {"sets": options.sets, "seconds": {}, "graphs": {}, "engines": {}}
    require_polygraphy()
    with tempfile.TemporaryDirectory() as text, ExitStack() as until:
        folder, device = Path(text), gpu_device.open_device()
        entry["gpu"], entry["plugin_library_sha256"] = device.gpu.name, plugin_library.find().sha256
        path = network.path(folder)
        if path is None:
            raise SystemExit(f"there is no {network.file} in the models' folder")
        built = _build(path, _config(precision, options), entry, options)
        feeds = network.feeds(path, options.sets)
        with _step("outputs", entry, options.out):
            outputs = _run_all(built, feeds, entry)
            _compare(entry, "native", outputs.get(REFERENCE), outputs)
        with _step("timing", entry, options.out):
            runners = {ops: _runner(built[ops], device, feeds[0], until) for ops in outputs}
            timings = time_side_by_side(device, {ops: _enqueue(each) for ops, each in runners.items()})
            for ops, timing in timings.items():
                entry["engines"][ops]["timing"] = asdict(timing)
                entry["engines"][ops]["device_memory_bytes"] = runners[ops].device_memory_bytes
        with _step("layers", entry, options.out):
            for ops, runner in runners.items():
                _add_layers(entry["engines"][ops], runner, device, built[ops])
        with _step("original", entry, options.out):
            _compare(entry, "original", computed_by_original(name, Path(options.originals)), outputs)


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
    backend, _ = backends.select_backend(config)
    with kernels_kept(backend):
        for ops in variants:
            left: BuiltVariant | str
            try:
                left = build_variant(path, config, ops, written_graph(path, config, ops), path.parent, NoProgress())
            except TrtconvError as error:
                left = str(error)
            _left_by(ops, path).write_bytes(pickle.dumps(left))


def _left_by(ops: str, path: Path) -> Path:
    return path.with_name(f"{ops}.pickle")


def _run_all(built: dict[str, BuiltVariant], feeds: Sequence[Feed], entry: Entry) -> dict[str, list[Outputs]]:
    """Return the outputs of every engine that runs, for each input set."""
    outputs = {}
    engines = {ops: load(each.path) for ops, each in built.items()}
    for ops, engine in engines.items():
        with _problem_of(entry, ops), opened(engine, "candidate", "--inputs") as runner:
            outputs[ops] = [{name: np.array(y) for name, y in runner.run(feed).items()} for feed in feeds]
    return outputs


def _compare(
    entry: Entry, title: str, references: Sequence[Outputs] | None, outputs: Mapping[str, Sequence[Outputs]]
) -> None:
    if references is None:
        return
    for ops, sets in outputs.items():
        entry["engines"][ops][f"error_to_{title}"] = largest_errors(references, sets)
        entry["engines"][ops][f"rms_error_to_{title}"] = rms_errors(references, sets)


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


def _line(name: str, entry: Entry) -> str:
    """Return one line on a network: the milliseconds and the error of each variant."""
    cells = [name]
    for ops, each in entry.get("engines", {}).items():
        median = each.get("timing", {}).get("median_us")
        errors = each.get("error_to_original") or each.get("error_to_native") or {}
        rms = each.get("rms_error_to_original") or each.get("rms_error_to_native") or {}
        shown = f"{list(errors.values())[:3]} rms {list(rms.values())[:3]}"
        cells.append(f"{ops} {'-' if median is None else f'{median / 1000:.3f} ms'} {shown}")
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
    parser.add_argument("--originals", help=argparse.SUPPRESS)
    parser.add_argument("out", type=Path)
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--seconds", type=float, default=570)
    parser.add_argument("--timing-cache", type=Path)
    parser.add_argument("--opt-level", type=int)
    parser.add_argument("--sets", type=int, default=1)
    parser.add_argument("--ops", default=",".join(ENGINES))
    return parser.parse_intermixed_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
