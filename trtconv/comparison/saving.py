"""Keep what a comparison ran on, and what both sides gave, in .npz files: one for each input set."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from trtconv import files
from trtconv.comparison.structures import leaves_of
from trtconv.errors import ConfigError
from trtconv.inputs.array_files import npz_bytes
from trtconv.inputs.made_inputs import InputSet
from trtconv.model.fresh_names import FreshNames

_SUFFIX = ".npz"
_CANDIDATE = "candidate/"  # before the name of an output
OUTPUT_NAMES = f"the reference's by their names, the candidate's as {_CANDIDATE}NAME"


def require_places(inputs: Path | None, outputs: Path | None, sources: Sequence[Path]) -> None:
    """Raise ConfigError, before any work, where the files could not be written or would take the place of others."""
    places = [place for place in (inputs, outputs) if place is not None]
    for place in places:
        if place.suffix.lower() != _SUFFIX:
            raise ConfigError(f"got {place.suffix or 'no suffix'}, expected {_SUFFIX}", where=str(place))
        files.require_writable(place, inputs=sources)
    if len({os.path.realpath(place) for place in places}) < len(places):
        raise ConfigError("inputs and outputs would be written to one file", where=str(inputs), hint="name two files")


class ArrayFiles:
    """The files of all input sets: `place` itself for one set, else NAME-1.npz, NAME-2.npz and so on.

    Raises ConfigError where one could not be written, or is one of the `sources`.
    """

    def __init__(self, place: Path | None, num_sets: int, sources: Sequence[Path]) -> None:
        self.paths: list[Path] = []
        if place is not None:
            numbered = [place.with_stem(f"{place.stem}-{number}") for number in range(1, num_sets + 1)]
            self.paths = numbered if num_sets > 1 else [place]
        for path in self.paths:
            files.require_writable(path, inputs=sources)

    def write_inputs(self, sets: Sequence[InputSet]) -> None:
        """Write every input set, or none; `--inputs` reads the files."""
        pairs = zip(self.paths, sets, strict=False)
        files.write_atomically({path: partial(npz_bytes, each.feed) for path, each in pairs})

    def write_outputs(self, index: int, reference: Mapping[str, Any], candidate: Mapping[str, Any]) -> None:
        """Write what both gave for the input set of that index; OUTPUT_NAMES says under which names.

        Sequences and maps become an array for each tensor in them, with its place in the name: `y[0]['cat']`.
        """
        if self.paths:
            arrays = dict(_leaves(reference))
            names = FreshNames(arrays)
            arrays |= {names.new(f"{_CANDIDATE}{name}"): values for name, values in _leaves(candidate).items()}
            files.write_atomically({self.paths[index]: npz_bytes(arrays)})


def _leaves(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {place: values for name, value in outputs.items() for place, values in leaves_of(value, name)}
