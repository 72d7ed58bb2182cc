"""What the fuzzer gives its files to: the paths of the library, each with the command line that takes the same path."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import onnx

from tests.fuzz import corpus
from tests.fuzz.model_mutations import mutate_model
from tests.fuzz.mutations import mutate_bytes, mutate_json
from trtconv import BuildConfig, decisions, dry_running, inspection, rewriting
from trtconv.engine import backends, loading
from trtconv.engine.timing_cache import use_timing_cache
from trtconv.inputs.input_files import read_calibration
from trtconv.manifest import require_manifest
from trtconv.model import model_io
from trtconv.preparation import prepare_as_built
from trtconv.reduction import ReduceConfig, reduce
from trtconv.run import RunConfig, run

LOAD = "load"
COMMAND = "command: "  # begins the names of paths through the command line and its worker process
_PATHS_BESIDE_LOAD = 2
STATIC = "static.onnx"  # the unchanged model that decision files, inputs and manifests are used with


@dataclass(frozen=True)
class Target:
    """One path: `run` takes the mutated file, `command` is the command line for it, None where no command takes it.

    One that `needs_rtx` is left out where TensorRT-RTX is not installed.
    """

    name: str
    run: Callable[[Path], Any]
    command: tuple[str, ...] | None
    needs_rtx: bool = False


@dataclass(frozen=True)
class Kind:
    """One kind of files: how often it is mutated, how, where the file lies, and which paths take it."""

    name: str
    weight: int
    mutate: Callable[[random.Random], tuple[str, bytes]]  # the name of the file and its content
    targets: tuple[Target, ...]


def _model(rng: random.Random) -> tuple[str, bytes]:
    return "m.onnx", mutate_model(rng, rng.choice(corpus.models()), corpus.models())


def _manifest(rng: random.Random) -> tuple[str, bytes]:
    return "e.engine.json", mutate_json(rng, rng.choice(corpus.manifests()), corpus.manifests())


def _decision_file(rng: random.Random) -> tuple[str, bytes]:
    return "d.json", mutate_json(rng, rng.choice(corpus.decision_files()), corpus.decision_files())


def _input_file(rng: random.Random) -> tuple[str, bytes]:
    suffix, data = rng.choice(corpus.input_files())
    return f"x{suffix}", mutate_bytes(rng, data)


def _timing_cache(rng: random.Random) -> tuple[str, bytes]:
    return "t.cache", mutate_bytes(rng, rng.choice(corpus.timing_caches()))


def _engine(rng: random.Random) -> tuple[str, bytes]:
    return "m.engine", mutate_bytes(rng, rng.choice(corpus.engines()))


def _dry_run(**options: Any) -> Callable[[Path], Any]:
    return lambda path: dry_running.dry_run(path, BuildConfig(backend="tensorrt", **options)).render(verbose=True)


def _rewrite(path: Path) -> None:
    rewriting.rewrite(path, path.with_name("out.onnx"), ops="fused")


def _inspect(path: Path) -> None:
    inspection.inspect(path).render(width=80)


def _inspect_json(path: Path) -> None:
    json.dumps(inspection.inspect(path, ops="fused").to_json(), allow_nan=False)


def _inspect_page(path: Path) -> None:
    inspection.inspect(path, ops="rewritten", html=path.with_name("out.html"))


def _reduce(path: Path) -> None:
    options: dict[str, Any] = {"ops": "fused", "precision": "fp16", "tolerance": {"*": 0.0}, "num_sets": 1}
    reduce(path, ReduceConfig(path.with_name("small.onnx"), runtime="onnxruntime", **options)).render()


def _static(path: Path) -> Path:
    return path.with_name(STATIC)


def _with_decisions(path: Path) -> None:
    dry_running.dry_run(_static(path), BuildConfig(backend="tensorrt", decisions=path))


def _calibrate(path: Path) -> None:
    read_calibration([path], onnx.load_from_string(corpus.model("static")), ())


def _run(path: Path) -> None:
    run(_static(path), [path], RunConfig(output=path.with_name("out.npz"))).render()


def _engine_of(path: Path) -> Path:
    return path.with_suffix("")


def _as_built(path: Path) -> None:
    prepare_as_built(_static(path), require_manifest(_engine_of(path), "what is in it"))


def _require_manifest(path: Path) -> None:
    require_manifest(_engine_of(path), "what is in it").to_text()


@cache
def _has_rtx() -> bool:
    return backends.import_backend("tensorrt-rtx") is not None


@cache
def _builder_config() -> Any:
    trt = backends.import_backend("tensorrt-rtx")
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    return builder.create_builder_config(), builder, logger


def _use_timing_cache(path: Path) -> None:
    use_timing_cache(_builder_config()[0], path, [])


_FILE, _OUT = "{file}", "{folder}/out"
_DRY = ("build", "{file}", "--dry-run", "--backend", "tensorrt")
_DRY_STATIC = ("build", "{folder}/" + STATIC, "--dry-run", "--backend", "tensorrt")
_MODEL_TARGETS = (
    Target(LOAD, model_io.load, _DRY),
    Target("dry run", _dry_run(), (*_DRY, "--verbose")),
    Target("dry run, --ops fused", _dry_run(ops="fused"), (*_DRY, "--ops", "fused")),
    Target("dry run, --ops rewritten", _dry_run(ops="rewritten"), (*_DRY, "--ops", "rewritten")),
    Target("dry run, --precision fp16", _dry_run(precision="fp16"), (*_DRY, "--precision", "fp16")),
    Target("dry run, --precision bf16", _dry_run(precision="bf16", ops="fused"),
           (*_DRY, "--precision", "bf16", "--ops", "fused")),
    Target("rewrite", _rewrite, ("rewrite", _FILE, "-o", _OUT, "--ops", "fused")),
    Target("inspect", _inspect, ("inspect", _FILE)),
    Target("inspect --json", _inspect_json, ("inspect", _FILE, "--json", "--ops", "fused")),
    Target("inspect --html", _inspect_page, ("inspect", _FILE, "--html", _OUT + ".html", "--ops", "rewritten")),
    Target("reduce", _reduce, ("reduce", _FILE, "-o", _OUT + ".onnx", "--ops", "fused", "--precision", "fp16",
                               "--tolerance", "0", "--sets", "1", "--runtime", "onnxruntime")),
)  # fmt: skip
KINDS = (
    Kind("model", 12, _model, _MODEL_TARGETS),
    Kind("manifest", 4, _manifest, (
        Target("require", _require_manifest, None),
        Target("inspect", lambda path: _inspect(_engine_of(path)), ("inspect", "{folder}/e.engine")),
        Target("inspect --json", lambda path: _inspect_json(_engine_of(path)),
               ("inspect", "{folder}/e.engine", "--json")),
        Target("load_engine", lambda path: loading.load_engine(_engine_of(path)), None, needs_rtx=True),
        Target("prepare as built", _as_built, None),
    )),
    Kind("decision file", 3, _decision_file, (
        Target("read", decisions.read, None),
        Target("dry run", _with_decisions, (*_DRY_STATIC, "--decisions", _FILE)),
    )),
    Kind("input file", 3, _input_file, (
        Target("calibration", _calibrate, (*_DRY_STATIC, "--precision", "fp16", "--calibration", _FILE)),
        Target("run", _run, ("run", "{folder}/" + STATIC, _FILE, "-o", _OUT + ".npz")),
    )),
    Kind("timing cache", 1, _timing_cache, (Target("use", _use_timing_cache, None, needs_rtx=True),)),
    Kind("engine", 1, _engine, (
        Target("inspect", _inspect, ("inspect", _FILE)),
        Target("load_engine", loading.load_engine, None, needs_rtx=True),
    )),
)  # fmt: skip


def prepare_folder(folder: Path) -> None:
    """Write the unchanged files that stand beside a mutated one."""
    (folder / STATIC).write_bytes(corpus.model("static"))
    (folder / "e.engine").write_bytes(corpus.engines()[0])


def warm_up(folder: Path) -> None:
    """Import and read, before any fork, what each child would import and read anew."""
    prepare_folder(folder)
    for kind in KINDS:
        kind.mutate(random.Random(0))
    for target in _MODEL_TARGETS:
        target.run(_static(folder / "any"))


def file_of(seed: int, number: int) -> tuple[Kind, str, bytes]:
    """Return input `number` of a seed: its kind, the name of its file and the content; always the same."""
    rng = random.Random(f"{seed}/{number}")
    kind = rng.choices(KINDS, [each.weight for each in KINDS])[0]
    return kind, *kind.mutate(rng)


def targets_of(kind: Kind, seed: int, number: int) -> tuple[Target, ...]:
    """Return the paths that an input takes: for a model `load` first and some of the others, else all that can run."""
    if kind.targets[0].name != LOAD:
        return tuple(target for target in kind.targets if _has_rtx() or not target.needs_rtx)
    rng = random.Random(f"{seed}/{number}/targets")
    return (kind.targets[0], *rng.sample(kind.targets[1:], _PATHS_BESIDE_LOAD))


def commands_of(kind: Kind, seed: int, number: int) -> tuple[Target, ...]:
    """Return the one command that an input is given to through the worker process; none for some kinds."""
    from tests.fuzz import through_worker

    with_command = [target for target in kind.targets if target.command is not None and target.name != LOAD]
    rng = random.Random(f"{seed}/{number}/command")
    return tuple(
        Target(f"{COMMAND}{each.name}", lambda path, each=each: through_worker.run(each, path), each.command)
        for each in rng.sample(with_command, min(1, len(with_command)))
    )
