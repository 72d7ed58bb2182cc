"""`trtconv compare` as a function: an original model against an engine or another model, with sensible defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from trtconv import files, reading
from trtconv.comparison import bisection
from trtconv.comparison import plot as plotting
from trtconv.comparison.default_precision import engine_precision, model_precision
from trtconv.comparison.report import ComparisonReport
from trtconv.comparison.runners import load, require_polygraphy
from trtconv.comparison.running import run_both
from trtconv.comparison.saving import ArrayFiles, require_places
from trtconv.comparison.tolerance import TOLERANCE, Tolerance, Tolerances
from trtconv.converted import OptionalPath, Paths
from trtconv.engine.live_engine import shapes_taken
from trtconv.engine.loading import is_engine_file
from trtconv.errors import ConfigError
from trtconv.inputs.images import ImageOptions, ImageRange
from trtconv.inputs.input_files import files_read, read_inputs
from trtconv.inputs.made_inputs import DEFAULT_SETS, Generator, InputSet, input_specs, make_inputs, shape_choices
from trtconv.manifest import read_manifest
from trtconv.model import model_io
from trtconv.model.exact_norms import exact_reference
from trtconv.model.external_data import files_of
from trtconv.model.model_io import Model
from trtconv.model.onnx_session import notes_of_runtime, open_session
from trtconv.progress import Progress, following_steps
from trtconv.shapes import Profile, Profiles, ShapeLike, only_profile

GENERATORS: tuple[Generator, ...] = ("random", "adversarial")


@dataclass(frozen=True)
class CompareConfig:
    """How `trtconv.compare` compares.

    `inputs` names .npz and .npy files, images and folders of images, one input set each; without any, `num_sets` sets
    of each kind of `generator` are made from `seed`. `shapes` or `profiles` give shapes of dynamic inputs as in
    BuildConfig, by default those of the engine, of which `all_shapes` takes the smallest and largest too. `tolerance`
    (as a part of max|y|), `atol` and `rtol` go from an output's name, or "*", to a value. `bisect` looks for the first
    tensor that differs, `plot` names a PNG. `save_inputs` and `save_outputs` name .npz files, which become one for each
    input set. `trust_links` lets external data be links out of the model's folder, `trust` takes an engine whose
    manifest belongs to another one. Raises ConfigError when a value is out of range.
    """

    inputs: Paths = Paths()
    num_sets: int | None = None
    seed: int = 0
    generator: Generator = "random"
    profiles: Profiles = Profiles()
    shapes: InitVar[Mapping[str, ShapeLike] | None] = None
    all_shapes: bool = False
    tolerance: Mapping[str, float] = field(default_factory=dict)
    atol: Mapping[str, float] = field(default_factory=dict)
    rtol: Mapping[str, float] = field(default_factory=dict)
    image_range: ImageRange = field(default_factory=ImageRange)
    bisect: bool = False
    plot: OptionalPath = OptionalPath()
    save_inputs: OptionalPath = OptionalPath()
    save_outputs: OptionalPath = OptionalPath()
    allow_embedded_code: bool = False
    trust_links: bool = False
    trust: bool = False

    def __post_init__(self, shapes: Mapping[str, ShapeLike] | None) -> None:
        if shapes is not None:
            object.__setattr__(self, "profiles", only_profile(shapes, self.profiles))
        if self.generator not in GENERATORS:
            what = f"generator {self.generator!r} is unknown, expected {' or '.join(GENERATORS)}"
            raise ConfigError(what, where="--generator")
        if self.num_sets is not None and self.num_sets < 1:
            raise ConfigError(f"at least one input set is needed, got {self.num_sets}", where="--sets")
        if self.seed < 0:
            raise ConfigError(f"a seed is 0 or more, got {self.seed}", where="--seed")
        if self.inputs and (self.num_sets is not None or self.generator != "random" or self.all_shapes):
            raise ConfigError("--sets, --generator and --all-shapes are for made inputs, not for --inputs")


def compare(
    reference: str | Path,
    candidate: str | Path,
    config: CompareConfig | None = None,
    *,
    progress: Progress | None = None,
) -> ComparisonReport:
    """Run an ONNX model in ONNX Runtime, and an engine or another ONNX model on the same inputs; compare every output.

    Without tolerances in `config` the precision of the candidate says what is allowed. `progress` is told of every
    step. Raises a TrtconvError where one of the two does not run; that they differ is not an error, but `passed` in the
    report.
    """
    with following_steps(progress) as told:
        return _compare(Path(reference), Path(candidate), config or CompareConfig(), told)


def _compare(reference: Path, candidate: Path, config: CompareConfig, progress: Progress) -> ComparisonReport:
    _require_all(reference, candidate, config)
    model = model_io.load(reference, trust_links=config.trust_links)
    loaded = load(candidate, config.allow_embedded_code, config.trust) if is_engine_file(candidate) else None
    other = model_io.load(candidate, trust_links=config.trust_links) if loaded is None else None
    precision, why, notes = _about(candidate, reference, model, other, config.trust)
    sources = [file for each in (model, other) if each is not None for file in files_of(each.proto, each.path)]
    sources += [candidate, *files_read(config.inputs)]
    if config.plot is not None:
        files.require_writable(config.plot, inputs=sources)
        plotting.require_plot(config.plot)
    runnable = loaded if other is None else _for_runtime(other)
    is_engine, other = other is None, None  # a large model leaves room
    tolerances = Tolerances(Tolerance(of_max=TOLERANCE[precision]), config.tolerance, config.atol, config.rtol)
    profiles = config.profiles or (shapes_taken(loaded.engine) if loaded is not None else ())
    sets = _input_sets(model, config, [each for each in profiles if each], precision)
    inputs_saved, outputs_saved = (
        ArrayFiles(place, len(sets), sources) for place in (config.save_inputs, config.save_outputs)
    )
    inputs_saved.write_inputs(sets)  # before the run: they are wanted most where it fails
    report = run_both(
        exact_reference(model.proto, reference) if is_engine else _for_runtime(model),
        runnable,
        [each.feed for each in sets],
        tolerances,
        labels=[each.label for each in sets],
        keep_arrays=config.plot is not None,
        on_outputs=outputs_saved.write_outputs,
        progress=progress,
    )
    basis = f"{tolerances.default} by default: {why}"
    notes += [*notes_of_runtime(model.proto), *model.warnings, *report.notes]
    report = replace(
        report,
        reference=str(reference),
        candidate=str(candidate),
        basis=basis,
        notes=notes,
        saved_inputs=list(map(str, inputs_saved.paths)),
        saved_outputs=list(map(str, outputs_saved.paths)),
    )
    if config.bisect and not report.passed:
        inputs = next(each for each in sets if each.label == report.worst.input_set)
        bisect = bisection.bisect_models if loaded is None else bisection.bisect_engine
        tolerance = tolerances.of(report.worst.name)
        found = bisect(reference, candidate, inputs, tolerance, progress, config.trust_links, config.trust)
        report = replace(report, bisection=found)
    if config.plot is not None:
        plotting.write_plot(report, config.plot)
        report = replace(report, plot=str(config.plot))
    return report


def _for_runtime(model: Model) -> Path | Callable[[], Any]:
    """Return what runs a model: its file, but for one that ONNX Runtime would misread.

    It would believe stale shapes, and refuse links that are trusted here.
    """
    return partial(open_session, model.proto, model.path.parent) if model.warnings else model.path


def _require_all(reference: Path, candidate: Path, config: CompareConfig) -> None:
    """Raise before any work where something is missing, or no arrays could be written."""
    for path in (reference, candidate):
        reading.require_readable(path)
    if is_engine_file(reference):
        hint = "the original comes first: trtconv compare model.onnx model.engine"
        raise ConfigError("is an engine, expected the ONNX model to compare with", where=str(reference), hint=hint)
    require_polygraphy()
    require_places(config.save_inputs, config.save_outputs, (reference, candidate, *config.inputs))


def _input_sets(model: Model, config: CompareConfig, profiles: Sequence[Profile], precision: str) -> list[InputSet]:
    specs = input_specs(model.proto)
    if config.inputs:
        shapes, values = (
            {name: each.opt for profile in profiles[:1] for name, each in profile.items() if each.kind == kind}
            for kind in ("shape", "values")
        )
        return read_inputs(config.inputs, specs, shapes, ImageOptions(config.image_range), values=values)
    choices = shape_choices(model.proto, profiles, config.all_shapes)
    num_sets = config.num_sets or (DEFAULT_SETS if config.generator == "random" else 1)
    return make_inputs(
        specs, choices, config.generator, seed=config.seed, num_sets=num_sets, narrow=precision == "fp16"
    )


def _about(
    candidate: Path, reference: Path, model: Model, other: Model | None, trust: bool
) -> tuple[str, str, list[str]]:
    """Return the precision that the candidate is held to, why it is that one, and notes on where an engine is from.

    `other` is the candidate where that is a model.
    """
    if other is not None:
        return *model_precision(other.proto), []
    manifest = read_manifest(candidate, trust=trust)
    notes = []
    if manifest is None:
        notes.append("there is no manifest beside the engine: trtconv did not build it, or it was moved alone")
    elif manifest.model is not None and files.sha256(reference) != manifest.model.sha256:
        notes.append(f"by its sha256 the reference is not the {manifest.model.file} that the engine was built from")
    return *engine_precision(manifest, model.proto), notes
