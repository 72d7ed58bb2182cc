"""`trtconv reduce`: the smallest part of a model that trtconv makes something different of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from trtconv import files, pairs, reading
from trtconv.comparison.comparing import CompareConfig, compare
from trtconv.comparison.report import ComparisonReport
from trtconv.comparison.runners import require_polygraphy
from trtconv.config import Ops, Precision
from trtconv.errors import ConfigError, TrtconvError
from trtconv.inputs.input_files import files_read, read_inputs
from trtconv.inputs.made_inputs import Arrays, Generator, input_specs
from trtconv.manifest import require_manifest
from trtconv.model import model_io
from trtconv.model.addresses import address_of
from trtconv.model.external_data import files_of
from trtconv.model.model_io import Model
from trtconv.progress import Progress
from trtconv.reduction import search
from trtconv.reduction.candidates import RUNTIMES, Candidates, PartFiles, RunsOn, has_tensorrt
from trtconv.reduction.report import Reduced, ReduceReport
from trtconv.reduction.subgraph import Parts
from trtconv.reduction.trials import Trial, Trials
from trtconv.shapes import Profile

__all__ = ["ReduceConfig", "ReduceReport", "reduce"]


@dataclass(frozen=True)
class ReduceConfig:
    """How `reduce` reduces.

    `output` is the file of the smallest model; its candidate and its inputs are written beside it. `ops` and
    `precision` are those of BuildConfig. With `ops` "plugin" every tensor between nodes is there to compare at;
    "rewritten" makes all that "auto" may make, which would choose anew in each part. `runtime` says where the candidate
    runs: "tensorrt" an engine, "onnxruntime" the rewritten graph, in which functions stand for the plugins, "auto" an
    engine where one can be built. The other fields are those of CompareConfig. Raises ConfigError when a value is out
    of range.
    """

    output: Path
    ops: Ops = "plugin"
    precision: Precision | None = None
    runtime: RunsOn = "auto"
    inputs: Sequence[Path] = ()
    num_sets: int | None = None
    seed: int = 0
    generator: Generator = "random"
    profiles: Sequence[Profile] = ()
    tolerance: Mapping[str, float] = field(default_factory=dict)
    atol: Mapping[str, float] = field(default_factory=dict)
    rtol: Mapping[str, float] = field(default_factory=dict)
    trust_links: bool = False

    def __post_init__(self) -> None:
        if self.output.suffix.lower() != ".onnx":
            what = f"got {self.output.suffix or 'no suffix'}, expected .onnx"
            raise ConfigError(what, where=str(self.output))
        if self.runtime not in RUNTIMES:
            raise ConfigError(f"runtime {self.runtime!r} is unknown, expected one of {', '.join(RUNTIMES)}")
        self.comparing()

    def comparing(self, **changes: Any) -> CompareConfig:
        """Return how the whole model is compared."""
        names = ("inputs", "num_sets", "seed", "generator", "profiles", "tolerance", "atol", "rtol", "trust_links")
        return CompareConfig(**{name: getattr(self, name) for name in names}, **changes)


def reduce(model_path: str | Path, config: ReduceConfig, *, progress: Progress | None = None) -> ReduceReport:
    """Compare a model with what trtconv makes of it; where they differ, write the smallest part that still does.

    Its inputs are recorded values of the tensors of the whole model. Raises a TrtconvError where the model, or what is
    made of it, does not run; then nothing was written.
    """
    model_path = Path(model_path)
    reading.require_readable(model_path)
    require_polygraphy()
    candidates = Candidates(has_tensorrt(config.runtime), config.ops, config.precision, config.trust_links)
    targets = candidates.files_beside(config.output)
    model = model_io.load(model_path, trust_links=config.trust_links)
    inputs = (*files_of(model.proto, model_path), *files_read(config.inputs))
    for path in targets.all:
        files.require_writable(path, inputs=inputs)
    with files.temporary_folder() as folder:
        report, feed = _compare_whole(model, folder, candidates, config, progress)
        found = ReduceReport(str(model_path), candidates.title, len(model.proto.graph.node), report)
        if report.passed:
            return found
        parts = Parts(model.proto, model_path.parent, feed)
        trials = Trials(parts, candidates, candidates.files_beside(folder / config.output.name), report, progress)
        reduced = _smallest(parts, trials, report)
        if reduced is None:
            return replace(found, failures=trials.failures)
        _write(trials.files, targets)
        nodes = [address_of(model.proto.graph.node[place]) for place in sorted(reduced.part)]
        error = reduced.comparison.worst
        return replace(found, reduced=Reduced(targets, reduced.tensor, nodes, error, trials.tolerance))


def _write(made: PartFiles, targets: PartFiles) -> None:
    """Write copies of the files of a trial, all or none; an engine and its manifest are a pair at every moment."""
    contents = {
        target: reading.read_bytes(path, reading.FILE) for path, target in zip(made.all, targets.all, strict=True)
    }
    if targets.manifest is None:
        files.write_atomically(contents)
        return
    engine = contents.pop(targets.candidate)
    del contents[targets.manifest]
    with files.written_before(contents):
        pairs.write_pair(targets.candidate, engine, require_manifest(made.candidate, "what is in the engine"))


def _compare_whole(
    model: Model, folder: Path, candidates: Candidates, config: ReduceConfig, progress: Progress | None
) -> tuple[ComparisonReport, Arrays]:
    """Return how the whole model compares with its candidate, and the inputs for which they are furthest apart."""
    whole = candidates.files_beside(folder / "whole.onnx")
    candidates.make(model.path, whole.candidate, config.profiles, config.inputs, progress)
    comparing = config.comparing(bisect=True, save_inputs=whole.inputs)
    try:
        report = compare(model.path, whole.candidate, comparing, progress=progress)
    except TrtconvError as error:
        if error.where == str(whole.candidate):  # a file that nobody has seen
            error.where = f"what trtconv makes of {model.path}"
        raise
    saved = report.saved_inputs[list(report.input_sets).index(report.worst.input_set)]
    (inputs,) = read_inputs([Path(saved)], input_specs(model.proto))
    return report, inputs.feed


def _smallest(parts: Parts, trials: Trials, report: ComparisonReport) -> Trial | None:
    """Return the smallest part that differs: for the first tensor that the bisection found, else for the output."""
    first = report.bisection.tensor if report.bisection is not None else None
    for tensor in dict.fromkeys((first, report.worst.name)):
        if tensor is None or not parts.computes(tensor):
            continue
        part = search.smallest(parts, tensor, partial(trials.differs, tensor))
        if part is not None and trials.differs(tensor, part):  # again: its files are to be the last ones
            return trials.last
    return None
