"""What is not a manifest of trtconv is none; one that is damaged is a single error."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.extent import num_examples
from tests.support.manifests import JSON, RTX, TENSORRT, write_manifest
from trtconv import reading, refit_engine
from trtconv.errors import ConfigError
from trtconv.manifest import Manifest, manifest_path, read_manifest, require_manifest

FOREIGN = [None, "", "{", "[]", '"text"', "\xff", '{"engine": "of another program"}', "[" * 100_000]


@pytest.mark.parametrize("text", FOREIGN, ids=range(len(FOREIGN)))
def test_a_manifest_that_cannot_be_read_is_none(tmp_path: Path, text: str | None) -> None:
    engine = tmp_path / "m.engine"
    if text is not None:
        manifest_path(engine).write_bytes(text.encode("latin-1"))
    assert read_manifest(engine) is None
    with pytest.raises(ConfigError, match=r"which says how it was built|is not JSON") as caught:
        require_manifest(engine, "how it was built")
    assert caught.value.where == str(manifest_path(engine))


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_is_no_file_is_no_manifest(tmp_path: Path, make: Callable[[Path], None]) -> None:
    engine = tmp_path / "m.engine"
    make(manifest_path(engine))
    assert read_manifest(engine) is None
    with pytest.raises(ConfigError, match=r"is a folder|is not a regular file"):
        require_manifest(engine, "how it was built")


def test_a_file_that_is_too_large_is_no_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = write_manifest(tmp_path, {"trtconv": "0.1.0"})
    assert read_manifest(engine) == Manifest(trtconv="0.1.0")
    monkeypatch.setattr(reading, "DOCUMENT", reading.DOCUMENT._replace(max_bytes=10))
    assert read_manifest(engine) is None


LIST, DEEP = [1], json.loads("[" * 50 + "]" * 50)
HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "version": ({"trtconv": 1}, "trtconv: got 1, expected text"),
    "format": ({"format": 2}, "format: got 2, expected 1"),
    "format as text": ({"format": "1"}, 'format: got "1", expected 1'),
    "format as truth": ({"format": True}, "format: got true, expected 1"),
    "model": ({"model": LIST}, "model: got a list, expected an object"),
    "model without a hash": ({"model": {"file": "a", "opset": 17}}, "model: sha256 is missing"),
    "opset": ({"model": {"file": "a", "sha256": "", "opset": 17.5}}, "model.opset: got 17.5, expected a whole number"),
    "size beyond 64 bits": ({"engine": {"bytes": 10**30}}, "engine.bytes: got 1000000000"),
    "size that is NaN": ({"engine": {"bytes": float("nan")}}, "engine.bytes: got NaN, expected a whole number"),
    "size as truth": ({"engine": {"bytes": False}}, "engine.bytes: got false, expected a whole number"),
    "backend": ({"backend": "cuda"}, 'backend: got "cuda", expected "tensorrt" or "tensorrt-rtx"'),
    "plugins as text": ({"plugins": "all"}, 'plugins: got "all", expected a list'),
    "a plugin": ({"plugins": ["a", None]}, "plugins[1]: got null, expected text"),
    "options": ({"options": LIST}, "options: got a list, expected an object"),
    "precision": ({"options": {"precision": "int8"}}, 'options.precision: got "int8", expected "fp16" or "bf16"'),
    "types": ({"options": {"io_types": {"x": 1}}}, "options.io_types.x: got 1, expected text"),
    "truth": ({"options": {"refittable": "no"}}, 'options.refittable: got "no", expected true or false'),
    "shape": ({"profiles": [{"x": "1x"}]}, "profiles[0].x: '1x' is not a shape"),
    "shape as a list": ({"profiles": [{"x": LIST}]}, "profiles[0].x: got a list, expected text"),
    "tensor": ({"inputs": [{"name": "x", "dtype": "float"}]}, "inputs[0]: shape is missing"),
    "dimension": ({"outputs": [{"name": "x", "dtype": "float", "shape": ["N"]}]}, "outputs[0].shape[0]: got"),
    "decision": ({"decisions": [{"node": "a", "op": "Pad"}]}, "decisions[0]: became is missing"),
    "figures": (
        {"kept_fp32": [{"node": "a", "op": "Exp", "became": "fp32", "reason": "", "figures": {"x": DEEP}}]},
        "is nested too deeply",
    ),
    "endless figure": (
        {"kept_fp32": [{"node": "a", "op": "Exp", "became": "fp32", "figures": {"x": float("inf")}}]},
        "kept_fp32[0].figures.x: got Infinity, expected a finite number",
    ),
    "verified": ({"verified": True}, "verified: got true, expected an object"),
    "a key of any length": ({"options": {"io_types": {"x" * 10**6: 1}}}, "xxxx: got 1, expected text"),
    "text of any length": ({"gpu": 1, "backend": "x" * 10**6}, 'backend: got "xxxx'),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_damaged_manifest_is_one_clear_error(tmp_path: Path, case: str) -> None:
    changes, message = HOSTILE[case]
    engine = write_manifest(tmp_path, json.loads(TENSORRT.read_text()) | changes)
    for read in (read_manifest, lambda path: require_manifest(path, "how it was built")):
        with pytest.raises(ConfigError) as caught:
            read(engine)
        assert message in caught.value.what
        assert len(caught.value.what) < 300
        assert caught.value.where == str(manifest_path(engine))
        assert caught.value.hint


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every object or list inside `value`, with each key or index of it."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


@settings(deadline=None, derandomize=True, max_examples=num_examples(300))
@given(st.data(), JSON)
def test_whatever_a_manifest_holds_it_is_read_or_refused(data: st.DataObject, value: Any) -> None:
    content = copy.deepcopy(json.loads(data.draw(st.sampled_from([TENSORRT, RTX])).read_text()))
    holder, key = data.draw(st.sampled_from(list(places(content))))
    holder[key] = value
    with contextlib.suppress(ConfigError):
        manifest = Manifest.from_json(json.loads(json.dumps(content)))
        assert Manifest.from_json(json.loads(manifest.to_text())) == manifest
        manifest.config()


@pytest.mark.parametrize("missing", ["model", "options", "decisions", "kept_fp32"])
def test_a_refit_needs_all_of_a_manifest(tmp_path: Path, missing: str) -> None:
    content = json.loads(TENSORRT.read_text())
    del content[missing]
    with pytest.raises(ConfigError, match=f"lacks {missing}, and so does not say how the model was prepared"):
        refit_engine(write_manifest(tmp_path, content), tmp_path / "model.onnx")


def test_what_a_later_version_adds_is_ignored(tmp_path: Path) -> None:
    content = json.loads(RTX.read_text())
    later = content | {"signed_by": ["x"], "options": content["options"] | {"sparsity": True}}
    assert read_manifest(write_manifest(tmp_path, later)) == Manifest.from_json(content)
