"""Whatever a manifest holds, who reads it gets a record or one error of ours."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import write_model
from tests.support.engine_files import DATA, engine_bytes
from trtconv import load_engine, refit_engine
from trtconv.comparison import bisection
from trtconv.engine import loading
from trtconv.errors import ConfigError, TrtconvError
from trtconv.inspection.differences import diff
from trtconv.inspection.engine_inspection import inspect_engine
from trtconv.manifest import manifest_path, read_manifest, require_manifest
from trtconv.preparation import prepare_as_built

MANIFESTS = [json.loads(path.read_text()) for path in sorted((DATA / "manifests").glob("*.json"))]
NUM_FILES = 120
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**63 - 1, 2**63, 10**400, 1.5, 1e308, float("nan"), float("inf")),
    *(
        "",
        "x",
        "fp16",
        "1x2",
        "native",
        "tensorrt",
        "sm_89",
        "-1x3",
        "1:2:3",
        "[1,2]",
        "\ud800",
        "\x1b[31m",
        "a" * 9999,
    ),
    *([], {}, [[]], [1], {"a": 1}, [None], [-1] * 9, {"x": "1x3x4x4"}, [{}], {"a": {"b": []}}),
]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


def mutated(rng: random.Random) -> bytes:
    """Return a manifest in which something was replaced, doubled, renamed or left out; at times, bytes were."""
    content = copy.deepcopy(rng.choice(MANIFESTS))
    for _ in range(rng.choice([1, 1, 2, 3])):
        holder, key = rng.choice(list(places(content)) or [({"": 0}, "")])
        match rng.choice(["replace", "replace", "drop", "double", "rename"]):
            case "replace":
                holder[key] = copy.deepcopy(rng.choice(VALUES))
            case "drop":
                del holder[key]
            case "double" if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            case "rename" if isinstance(holder, dict):
                holder[str(rng.choice(VALUES))[:50]] = holder.pop(key)
    data = bytearray(json.dumps(content).encode())
    for _ in range(rng.choice([0, 0, 0, 0, 3])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def inspect_and_show(engine: Path, model: Path) -> None:
    inspection = inspect_engine(engine)
    difference = diff(inspection, inspection)
    for report in (inspection, difference):
        json.dumps(report.to_json())
        report.render()


def explain(engine: Path, model: Path) -> None:
    """What load_engine says of an engine that does not load; loading itself needs a GPU."""
    manifest = read_manifest(engine)
    loading._mismatch(manifest, type("Version", (), {"__version__": "10.6.0"}))
    loading._require_whole(engine, engine.stat().st_size, manifest)


READERS: dict[str, Callable[[Path, Path], object]] = {
    "inspect": inspect_and_show,
    "refit": refit_engine,
    "load": lambda engine, model: load_engine(engine),
    "explain": explain,
    "as built": lambda engine, model: prepare_as_built(model, require_manifest(engine, "how it was built")),
    "find the model": lambda engine, model: bisection._find_model(
        require_manifest(engine, "how it was built").model, engine, model
    ),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_mutated_manifest_is_read_or_refused(tmp_path: Path, reader: str) -> None:
    model, engine = write_model(tmp_path, "static"), tmp_path / "m.engine"
    engine.write_bytes(engine_bytes())
    rng = random.Random(16)
    for _ in range(NUM_FILES):
        manifest_path(engine).write_bytes(mutated(rng))
        with contextlib.suppress(TrtconvError):
            READERS[reader](engine, model)


def test_the_mutated_manifests_are_of_both_kinds(tmp_path: Path) -> None:
    engine, rng = tmp_path / "m.engine", random.Random(16)
    ends = []
    for _ in range(NUM_FILES):
        manifest_path(engine).write_bytes(mutated(rng))
        try:
            ends.append(read_manifest(engine) is not None)
        except ConfigError:
            ends.append(False)
    assert NUM_FILES / 6 < sum(ends) < NUM_FILES * 5 / 6, sum(ends)


@pytest.mark.parametrize("file", ["../static.onnx", "/etc/hostname", "n" * 300, "null\0character", "", ".", ".."])
def test_a_manifest_names_no_place(tmp_path: Path, file: str) -> None:
    """The model is looked for beside the engine and beside the reference, by its name alone."""
    (tmp_path / "sub").mkdir()
    model = write_model(tmp_path, "static")
    engine = tmp_path / "sub" / "m.engine"
    content = copy.deepcopy(MANIFESTS[0])
    content["model"] |= {"file": file, "sha256": hashlib.sha256(model.read_bytes()).hexdigest()}
    manifest_path(engine).write_text(json.dumps(content))
    manifest = require_manifest(engine, "how it was built")
    with pytest.raises(ConfigError, match="which is not here"):
        bisection._find_model(manifest.model, engine, tmp_path / "sub" / "other.onnx")
