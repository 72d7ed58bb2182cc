"""JSON files are read up to a size, a depth and a number of items; what is wrong with one is one error."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import run_here, write_model
from tests.support.engine_files import engine_bytes
from trtconv import records
from trtconv.errors import ConfigError


def read(folder: Path, content: bytes | str) -> Any:
    path = folder / "file.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return records.read_json(path)


def nested(levels: int, opening: str = "[", closing: str = "]") -> str:
    return opening * levels + "1" + closing * levels


@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a": ', "}")])
def test_sixty_four_levels_are_read_and_no_more(tmp_path: Path, brackets: tuple[str, str]) -> None:
    assert json.dumps(read(tmp_path, nested(64, *brackets))) == nested(64, *brackets)
    for levels in (65, 1000, 200_000):
        with pytest.raises(ConfigError, match="of at most 64 levels") as caught:
            read(tmp_path, nested(levels, *brackets))
        assert caught.value.where == str(tmp_path / "file.json")


def test_depth_does_not_depend_on_how_deep_python_may_call(tmp_path: Path) -> None:
    """With a limit as some programs set it, json would end the process."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        with pytest.raises(ConfigError, match="of at most 64 levels"):
            read(tmp_path, "[" * 10**6)
    finally:
        sys.setrecursionlimit(before)


def test_brackets_in_text_are_text(tmp_path: Path) -> None:
    content = {"[" * 1000: '"' + "{" * 1000 + "\\", "b": ["]" * 1000]}
    assert read(tmp_path, json.dumps(content)) == content


def test_a_file_of_many_items_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_MAX_ITEMS", 10)
    assert read(tmp_path, json.dumps([1] * 11)) == [1] * 11
    with pytest.raises(ConfigError, match="and 10 items"):
        read(tmp_path, json.dumps([1] * 12))


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"\xff{}", "byte 0 is not UTF-8 text"), (b'{"a": "\xc4"}', "byte 7 is not UTF-8 text"), (b"{", "is not JSON: "),
     (b"", "is not JSON: "), (b"]", "is not JSON: "), (b'["a]', "is not JSON: "), (b"1" * 5000, "is not JSON: ")],
)  # fmt: skip
def test_what_is_no_json_is_told(tmp_path: Path, content: bytes, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        read(tmp_path, content)


def test_a_mark_of_the_byte_order_is_no_matter(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbf[]") == []


@pytest.mark.parametrize("content", ["[" * 200_000, '{"a":' * 200_000])
def test_no_command_follows_a_document_into_the_depth(tmp_path: Path, content: str) -> None:
    write_model(tmp_path, "static")
    (tmp_path / "m.engine").write_bytes(engine_bytes())
    for name in ("m.engine.json", "decisions.json"):
        (tmp_path / name).write_text(content)
    result = run_here(
        "build", "static.onnx", "--dry-run", "--backend", "tensorrt", "--decisions", "decisions.json", cwd=tmp_path
    )
    assert (result.exit_code, "is not a decision file: is not JSON of at most 64 levels" in result.error) == (2, True)
    assert run_here("inspect", "m.engine", cwd=tmp_path).exit_code == 0
