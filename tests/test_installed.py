"""What is installed and what to type, by the metadata of packages alone."""

from __future__ import annotations

import importlib.metadata
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from trtconv import installed

REQUIRES = [
    "onnx>=1.17",
    'tensorrt<12,>=10.6; extra == "tensorrt"',
    'polygraphy>=0.49.20; extra == "compare"',
    'trtconv[compare,images]; extra == "bench"',
    'cuda-bindings>=12.6; extra == "bench"',
    "Pillow>=9.1 ; extra == 'images'",
]


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The versions that are installed, by distribution."""
    versions: dict[str, str] = {}

    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "requires", lambda name: REQUIRES)
    monkeypatch.setattr(importlib.metadata, "version", version)
    return versions


def test_a_part_needs_what_its_parts_need(metadata: dict[str, str]) -> None:
    assert installed.requirements_of("bench") == ["polygraphy>=0.49.20", "Pillow>=9.1", "cuda-bindings>=12.6"]
    assert installed.requirements_of("none") == []
    metadata["Pillow"] = "11"
    assert installed.missing_of("bench") == ["polygraphy>=0.49.20", "cuda-bindings>=12.6"]
    assert installed.install_hint("bench") == "run: pip install 'polygraphy>=0.49.20' 'cuda-bindings>=12.6'"


def test_tensorrt_is_there_under_any_of_its_names(metadata: dict[str, str]) -> None:
    assert installed.missing_of("tensorrt") == ["tensorrt<12,>=10.6"]
    metadata["tensorrt-cu12"] = "10.6.0"
    assert installed.missing_of("tensorrt") == []


def test_a_source_tree_that_was_not_installed_names_the_part(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert installed.install_hint("plot") == "run: pip install 'trtconv[plot]'"
    assert "trtconv-VERSION.whl" in installed.reinstall_hint()


@pytest.mark.parametrize(
    ("url", "expected"),
    [("file:///home/me/my%20src", "pip install --force-reinstall --no-deps '/home/me/my src'"),
     ("https://example.org/trtconv.git", "trtconv-VERSION.whl"), (None, "trtconv-VERSION.whl")],
)  # fmt: skip
def test_it_is_installed_again_from_where_it_came(
    url: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = None if url is None else json.dumps({"url": url})
    distribution = SimpleNamespace(read_text=lambda name: text)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: distribution)
    assert expected in installed.reinstall_hint()


def test_every_part_is_described_and_every_hint_names_packages() -> None:
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    section = project.split("[project.optional-dependencies]")[1].split("\n[")[0]
    parts = set(re.findall(r"^([a-z]+) = ", section, re.MULTILINE))
    assert set(installed.EXTRAS) == parts - {"test", "lint"}
    sources = [path.read_text() for path in (Path(installed.__file__).parent).rglob("*.py")]
    hints = [hint for text in sources for hint in re.findall(r"pip install [^\"]*", text)]
    named = [hint for hint in hints if re.search(r"\btrtconv\b(?!\[\{)", hint) and "VERSION" not in hint]
    assert named == [], "a name that is on no index installs a stranger's package"
