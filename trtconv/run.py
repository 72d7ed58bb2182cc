"""`trtconv run`: run an engine or a model on files, and write what comes out."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from trtconv import files, reading
from trtconv.converted import OptionalPath
from trtconv.engine.loading import is_engine_file
from trtconv.errors import ConfigError
from trtconv.inputs import images, pixel_ranges
from trtconv.inputs.images import ImageOptions, ImageRange, Order
from trtconv.inputs.input_files import read_inputs
from trtconv.inputs.made_inputs import InputSet, InputSpec, Shapes
from trtconv.inputs.pixel_ranges import Guess
from trtconv.manifest import read_manifest
from trtconv.model import model_io
from trtconv.model.external_data import files_of
from trtconv.output_files import OutputFiles
from trtconv.progress import announce
from trtconv.reports.run_report import OutputSummary, Run, RunReport
from trtconv.runner import Runner

Arrays = Mapping[str, npt.NDArray[Any]]

OPTION = "input"
_DEFAULT = Guess(ImageRange(), "the model does not show it; set it with --image-range")


@dataclass(frozen=True)
class RunConfig:
    """How `trtconv run` runs.

    `output` is a file - .npz for all outputs, .npy or an image for one of them - or a folder, which gets one file for
    each input; without it nothing is written. `image_range` and `output_range` say what black and white are in inputs
    and outputs, by default what the model shows. `order` says where the channels of images are, by default where the
    sizes show them, `size` (height, width) what size images get where the model leaves it open, by default their own.
    `output_name` picks one of several outputs. `latency` also measures how long a run takes. `trust_links` lets
    external data be links out of the model's folder, `trust` takes an engine whose manifest belongs to another one.

    Raises ConfigError when a value is out of range.
    """

    output: OptionalPath = OptionalPath()
    image_range: ImageRange | None = None
    output_range: ImageRange | None = None
    order: Order | None = None
    size: tuple[int, int] | None = None
    output_name: str | None = None
    latency: bool = False
    allow_embedded_code: bool = False
    trust_links: bool = False
    trust: bool = False

    def __post_init__(self) -> None:
        if self.size is not None and min(self.size) < 1:
            raise ConfigError(f"height and width are 1 or more, got {self.size[0]}x{self.size[1]}", where="--size")


def parse_size(text: str) -> tuple[int, int]:
    """Read the height and width of `--size`, such as `720x1280`."""
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text.strip())
    if match is None:
        raise ConfigError(f"got {text!r}, expected height and width, such as 720x1280", where="--size")
    return int(match[1]), int(match[2])


def run(path: str | Path, inputs: Sequence[str | Path], config: RunConfig | None = None) -> RunReport:
    """Run an engine, or an ONNX model in ONNX Runtime, on each input; write the outputs where `config` says.

    An input is an image, a folder of images, an .npz file with an array for each input of the model, or an .npy file.
    Raises a TrtconvError; the outputs of inputs before the one that failed stay.
    """
    path, sources, config = Path(path), [Path(each) for each in inputs], config or RunConfig()
    reading.require_readable(path)
    trusted = {"trust_links": config.trust_links, "trust": config.trust}
    runner = Runner(path, allow_embedded_code=config.allow_embedded_code, **trusted)
    model = _model_of(path, **trusted)
    pixels = _Pixels(model, runner, config)
    target = None
    if config.output is not None:
        own = () if model is None or is_engine_file(path) else files_of(model, path)
        target = OutputFiles(config.output, (path, *own, *sources), config.order, pixels.of_output)
    announce("reading the inputs")
    sets = _read(sources, runner, config, pixels)
    target = target.for_sets(sets) if target is not None else None
    runs = []
    for each in sets:
        announce(f"running {each.label}")
        outputs = _chosen(runner.run(each.feed), config.output_name)
        written = target.write(outputs, each) if target is not None else {}
        latency = runner.session.time_arrays(each.feed) if config.latency else None
        summaries = [OutputSummary.of(name, values, written.get(name, ())) for name, values in outputs.items()]
        runs.append(Run(each.label, {name: values.shape for name, values in each.feed.items()}, summaries, latency))
    return RunReport(str(path), runner.runs_on, runs, pixels.notes(any(map(images.is_image_source, sources))))


def _read(sources: Sequence[Path], runner: Runner, config: RunConfig, pixels: _Pixels) -> list[InputSet]:
    """Return the input sets. Of a model that does not show which pixels it takes, a first run tells which it gives."""
    specs = list(runner.inputs.values())

    def read() -> list[InputSet]:
        options = ImageOptions(pixels.of_input, own_size=True, order=config.order)
        return read_inputs(sources, specs, _sizes(specs, config), options, option=OPTION)

    sets = read()
    if not pixels.is_open or not all(map(images.is_image_source, sources)):
        return sets
    outputs = _chosen(runner.run(sets[0].feed), config.output_name)
    found = (images.as_pictures(values, config.order) for values in outputs.values())
    pictures = next((each for each in found if each is not None), None)
    return read() if pictures is not None and pixels.learn_from(pictures) else sets


class _Pixels:
    """What black and white are, and why: what the user says, else what the model shows.

    Networks give the kind of pixels that they take, so that one end stands for the other where only that is known.
    """

    def __init__(self, model: onnx.ModelProto | None, runner: Runner, config: RunConfig) -> None:
        given = taken = None
        if model is not None and runner.inputs and model.graph.output:
            given = pixel_ranges.guess_input(model.graph, next(iter(runner.inputs)))
            taken = pixel_ranges.guess_output(model.graph, config.output_name or model.graph.output[0].name)
        if config.output_range is not None:
            taken = Guess(config.output_range, "as asked for")
        if config.image_range is not None:
            given = Guess(config.image_range, "as asked for")
        self._input, self._output = given or taken or _DEFAULT, taken
        self.is_open = given is None and taken is None
        self._said: list[str] = []

    @property
    def of_input(self) -> ImageRange:
        """The range of the input."""
        return self._input.range

    def learn_from(self, pictures: npt.NDArray[Any]) -> bool:
        """Take bytes for the input of a model that gives bytes; return whether that changed anything."""
        if pixel_ranges.range_of_values(pictures).range != pixel_ranges.BYTES:
            return False
        self._input = Guess(pixel_ranges.BYTES, "the model does not show it, and gives such pixels")
        return True

    def of_output(self, values: npt.NDArray[Any]) -> ImageRange:
        """Return the range of an output, by its own values where nothing else tells."""
        if values.dtype == np.uint8:
            return pixel_ranges.BYTES
        guess = self._output or pixel_ranges.range_of_values(values)
        said = f"pixels of the output are {guess.range}: {guess.why}"
        if said not in self._said:
            self._said.append(said)
        return guess.range

    def notes(self, has_images: bool) -> list[str]:
        """Return what a report has to say."""
        return [f"pixels of the input are {self._input.range}: {self._input.why}"] * has_images + self._said


def _model_of(path: Path, trust_links: bool, trust: bool) -> onnx.ModelProto | None:
    """Return the model itself; that of an engine where it is beside it, as its manifest names it."""
    if not is_engine_file(path):
        return model_io.load(path, trust_links=trust_links).proto
    manifest = read_manifest(path, trust=trust)
    if manifest is None or manifest.model is None:
        return None
    source = path.parent / Path(manifest.model.file).name
    if not os.path.isfile(source) or files.sha256(source) != manifest.model.sha256:
        return None
    return model_io.load(source, trust_links=trust_links).proto


def _sizes(specs: Sequence[InputSpec], config: RunConfig) -> Shapes:
    """Return the shape of the only input for images of the size that is asked for."""
    if config.size is None or len(specs) != 1 or len(specs[0].dims) != 4:
        return {}
    (height, width), dims = config.size, specs[0].dims
    is_channels_last = images.has_channels_last(dims, config.order)
    asked = (1, height, width, 3) if is_channels_last else (1, 3, height, width)
    return {specs[0].name: tuple(dim if isinstance(dim, int) else size for dim, size in zip(dims, asked, strict=True))}


def _chosen(outputs: Arrays, name: str | None) -> dict[str, npt.NDArray[Any]]:
    if name is None:
        return dict(outputs)
    if name not in outputs:
        raise ConfigError(f"there is no output {name}", where="--output-name", hint=f"there are: {', '.join(outputs)}")
    return {name: outputs[name]}
