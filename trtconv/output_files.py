"""Write the outputs of a run: arrays as .npz and .npy, pictures as images."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from trtconv import files
from trtconv.errors import ConfigError
from trtconv.inputs import images
from trtconv.inputs.array_files import npy_bytes, npz_bytes
from trtconv.inputs.images import ImageRange, Order
from trtconv.inputs.made_inputs import InputSet

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
Pictures = npt.NDArray[Any]  # [N, H, W, C]

_SUFFIXES = frozenset({".npy", ".npz", *images.IMAGE_SUFFIXES})


@dataclass(frozen=True)
class OutputFiles:
    """Where the outputs of runs go: a file, or a folder with one file for each input.

    `order` says where the channels of pictures are, `range_of` what is black and white in them. Raises ConfigError for
    a place that cannot be written, or the name of no format.
    """

    place: Path
    sources: Sequence[Path]  # that are never overwritten
    order: Order | None
    range_of: Callable[[Pictures], ImageRange]

    def __post_init__(self) -> None:
        if self.is_folder:
            _make_folder(self.place)
        elif self.place.suffix.lower() not in _SUFFIXES:
            hint = "use .npz, .npy, an image such as .png, or a folder"
            raise ConfigError(
                "is not the name of a file that outputs can be written to", where=str(self.place), hint=hint
            )
        else:
            files.require_writable(self.place, inputs=self.sources)

    @property
    def is_folder(self) -> bool:
        """Whether each input gets a file of its own; a name without a suffix is a folder's."""
        return os.path.isdir(self.place) or not self.place.suffix

    def for_sets(self, sets: Sequence[InputSet]) -> OutputFiles:
        """Return the place for the outputs of these input sets, whose own files are never overwritten either.

        Raises ConfigError where two of them would be written to one file.
        """
        if len(sets) > 1 and not self.is_folder:
            raise ConfigError(
                f"is one file, and there are {len(sets)} inputs", where=str(self.place), hint="name a folder: -o DIR"
            )
        labels: dict[str, str] = {}
        for label in (each.label for each in sets):
            other = labels.setdefault(Path(label).stem, label)
            if other is not label:
                what = f"the outputs for {other} and {label} would be written to one file"
                raise ConfigError(
                    what, where=str(self.place), hint="run them one after the other, into different folders"
                )
        return replace(self, sources=(*self.sources, *map(Path, labels.values())))

    def write(self, outputs: Arrays, given: InputSet) -> dict[str, list[str]]:
        """Write the outputs for an input set; return the files that hold each of them."""
        target = self._target(outputs, Path(given.label))
        files.require_writable(target, inputs=self.sources)
        if target.suffix.lower() == ".npz":
            files.write_atomically({target: npz_bytes(outputs)})
            return {name: [str(target)] for name in outputs}
        if target.suffix.lower() == ".npy":
            name, values = _only(outputs, target)
            files.write_atomically({target: npy_bytes(values)})
            return {name: [str(target)]}
        name, pictures = self._pictures(outputs, target)
        shown = images.to_pixels(pictures, self.range_of(pictures))
        targets = [target] if len(shown) == 1 else [target.with_stem(f"{target.stem}-{n}") for n in range(len(shown))]
        for each in targets:
            files.require_writable(each, inputs=self.sources)
        files.write_atomically({to: images.encode(picture, to) for to, picture in zip(targets, shown, strict=True)})
        return {name: [str(each) for each in targets]}

    def _target(self, outputs: Arrays, source: Path) -> Path:
        if not self.is_folder:
            return self.place
        becomes_image = images.is_image_source(source) and self._find_pictures(outputs) is not None
        return self.place / f"{source.stem}{'.png' if becomes_image else '.npz'}"

    def _find_pictures(self, outputs: Arrays) -> tuple[str, Pictures] | None:
        found = ((name, images.as_pictures(values, self.order)) for name, values in outputs.items())
        return next(((name, pictures) for name, pictures in found if pictures is not None), None)

    def _pictures(self, outputs: Arrays, target: Path) -> tuple[str, Pictures]:
        found = self._find_pictures(outputs)
        if found is None:
            shapes = ", ".join(f"{name} is {list(values.shape)}" for name, values in outputs.items())
            what = f"no output is an image, [N, C, H, W] or [N, H, W, C] with 1 or 3 channels: {shapes}"
            raise ConfigError(what, where=str(target), hint="write an .npz file")
        return found


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        what = "is not a folder, which a name without a suffix means"
        raise ConfigError(what, where=str(folder), hint="use .npz, .npy, an image such as .png, or a folder") from None
    except OSError as error:
        raise ConfigError(f"cannot be made: {error.strerror}", where=str(folder)) from None


def _only(outputs: Arrays, target: Path) -> tuple[str, Array]:
    if len(outputs) == 1:
        return next(iter(outputs.items()))
    what = f"holds one array, and there are {len(outputs)} outputs: {', '.join(outputs)}"
    raise ConfigError(what, where=str(target), hint="name one with --output-name, or write an .npz file")
