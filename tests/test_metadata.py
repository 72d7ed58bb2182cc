"""What a package index would show: whose it is and under what licence is the owner's to say, and is not invented."""

from __future__ import annotations

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).parents[1]


def test_the_licence_is_not_chosen_yet() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert not {"license", "license-files", "urls", "authors", "maintainers"} & project.keys()
    assert not [each for each in project["classifiers"] if each.startswith("License")]
    assert not [*REPOSITORY.glob("LICEN[CS]E*"), *REPOSITORY.glob("COPYING*")]
    assert "no licence chosen yet" in project["description"]
    assert project["readme"] == "README.md"  # becomes the description of the metadata
    assert "No licence has been chosen yet." in (REPOSITORY / "README.md").read_text()
