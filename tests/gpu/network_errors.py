"""What the original models compute in ONNX Runtime, norms in float64, and how far engines are from it.

    python -m tests.gpu.network_errors FOLDER SETS NETWORK...

writes what each computes of so many input sets to FOLDER/NETWORK.npz.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx

from tests.gpu.networks import MEASURED
from trtconv.model.exact_norms import exact_reference

Outputs = dict[str, np.ndarray]
Pair = tuple[np.ndarray, np.ndarray]  # what the original gives, and what an engine does

_REFERENCE_WAIT = 60.0  # seconds for a reference that ONNX Runtime has not finished


def main(arguments: Sequence[str]) -> None:
    """Run the original models, each in turn."""
    folder, num_sets, *names = arguments
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[: max(len(cores) // 2, 1)])  # the others are for TensorRT's builder
    for name in names:
        _run_original(name, int(num_sets), Path(folder))


def _run_original(name: str, num_sets: int, folder: Path) -> None:
    network, _ = MEASURED[name]
    with tempfile.TemporaryDirectory() as own:
        path = network.path(Path(own))
        if path is None:
            return
        session = exact_reference(onnx.load(path), path)()
        names = [each.name for each in session.get_outputs()]
        feeds = network.feeds(path, num_sets)
        computed = [dict(zip(names, session.run(None, feed), strict=True)) for feed in feeds]
        partial = folder / f"{name}.partial.npz"
        np.savez(partial, **{f"{set_}.{key}": y for set_, each in enumerate(computed) for key, y in each.items()})
        partial.rename(folder / f"{name}.npz")


def computed_by_original(name: str, folder: Path) -> list[Outputs] | None:
    """Return what the original model computes of each input set, None where ONNX Runtime does not get there."""
    path = folder / f"{name}.npz"
    deadline = time.monotonic() + _REFERENCE_WAIT
    while not path.is_file():
        if time.monotonic() > deadline:
            return None
        time.sleep(0.2)
    sets: dict[int, Outputs] = {}
    with np.load(path) as file:
        for key, values in file.items():
            number, _, output = key.partition(".")
            sets.setdefault(int(number), {})[output] = values
    return [sets[number] for number in sorted(sets)]


def largest_errors(references: Sequence[Outputs], sets: Sequence[Outputs]) -> dict[str, float | str]:
    """Return the largest max|y - reference| / max|reference| of all sets, by output."""
    return _errors(references, sets, lambda pairs: max(_largest(*pair) for pair in pairs))


def rms_errors(references: Sequence[Outputs], sets: Sequence[Outputs]) -> dict[str, float | str]:
    """Return the root of the mean of (y - reference)^2 over that of reference^2, of all sets, by output."""
    return _errors(references, sets, _rms)


def _errors(
    references: Sequence[Outputs], sets: Sequence[Outputs], error: Callable[[Sequence[Pair]], float]
) -> dict[str, float | str]:
    found: dict[str, float | str] = {}
    for name in references[0]:
        pairs = list(_pairs(name, references, sets))
        found[name] = error(pairs) if all(np.isfinite(got).all() for _, got in pairs) else "not finite"
    return found


def _pairs(name: str, references: Sequence[Outputs], sets: Sequence[Outputs]) -> Iterator[Pair]:
    for reference, outputs in zip(references, sets, strict=True):
        yield reference[name].astype(np.float64), outputs[name].astype(np.float64)


def _largest(expected: np.ndarray, got: np.ndarray) -> float:
    return float(np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-30))


def _rms(pairs: Sequence[Pair]) -> float:
    squares = [(np.square(got - expected).mean(), np.square(expected).mean()) for expected, got in pairs]
    error, magnitude = np.mean(squares, axis=0)
    return float(np.sqrt(error / max(magnitude, 1e-60)))


if __name__ == "__main__":
    main(sys.argv[1:])
