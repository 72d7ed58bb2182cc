"""What CI installs is pinned, hashed, and what pyproject.toml and the build back end ask for."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).parents[1]
LOCK = REPOSITORY / "requirements" / "ci.txt"
BUILD = REPOSITORY / "requirements" / "build.in"
EXTRAS = ("rtx", "test", "lint")  # what `make lock` names


def pins(text: str) -> dict[str, Version]:
    """Return the version of each package for this Python; each entry must be pinned and hashed."""
    found = {}
    for entry in re.split(r"\n(?=\S)", text.strip()):
        if entry.startswith("#"):
            continue
        line, *hashes = entry.replace("\\\n", "").split("--hash=")
        requirement = Requirement(line.strip())
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], line
        assert hashes, line
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each.strip()) for each in hashes), line
        if requirement.marker is None or requirement.marker.evaluate():
            found[canonicalize_name(requirement.name)] = Version(next(iter(requirement.specifier)).version)
    return found


def project() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def wanted() -> list[Requirement]:
    """Return all that pyproject.toml names for CI, its extras opened, and what a build needs."""
    metadata = project()["project"]
    texts, extras = list(metadata["dependencies"]), list(EXTRAS)
    while extras:
        for text in metadata["optional-dependencies"][extras.pop()]:
            requirement = Requirement(text)
            if requirement.name == metadata["name"]:
                extras += sorted(requirement.extras)
            else:
                texts.append(text)
    texts += [*project()["build-system"]["requires"], *lines(BUILD)]
    return [Requirement(text) for text in dict.fromkeys(texts)]


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_the_lock_holds_what_is_asked_for(requirement: Requirement) -> None:
    pinned = pins(LOCK.read_text())
    name = canonicalize_name(requirement.name)
    assert name in pinned, "run: make lock"
    assert pinned[name] in requirement.specifier, "run: make lock"


def test_the_lock_names_no_index() -> None:
    assert "://" not in LOCK.read_text()


def test_an_entry_without_a_hash_is_seen() -> None:
    with pytest.raises(AssertionError):
        pins("click==8.1.0\n")


def test_the_build_requirements_are_those_of_the_back_end() -> None:
    tree = ast.parse((REPOSITORY / "build_backend" / "backend.py").read_text())
    named = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    cuda = {name for name in named if re.fullmatch(r"nvidia-[a-z-]+", name)}
    assert cuda
    assert cuda == {Requirement(line).name for line in lines(BUILD) if line.startswith("nvidia-")}
