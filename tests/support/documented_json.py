"""The JSON documents that the pages of docs/ show, to hold what the code writes against them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = (DOCS / "inspect.md", DOCS / "compare.md")

# Objects whose keys are names out of the file that is inspected.
_FREE_KEYS = {"opsets", "external_files", "functions", "ops", "packages", "manifest"}


def documented(kind: str) -> dict[str, Any]:
    """Return the example of one kind of document."""
    text = "".join(page.read_text() for page in PAGES)
    examples = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    (found,) = [example for example in examples if example["kind"] == kind]
    return found


def assert_documented(document: dict[str, Any]) -> None:
    """Hold a document's keys, at every depth, against the page's example of its kind."""
    json.dumps(document)
    _compare(document, documented(document["kind"]), document["kind"])


def _compare(got: Any, example: Any, where: str) -> None:
    if isinstance(got, dict) and isinstance(example, dict) and where.rpartition(".")[2] not in _FREE_KEYS:
        assert set(got) == set(example), where
        for key, value in got.items():
            _compare(value, example[key], f"{where}.{key}")
    elif isinstance(got, list) and isinstance(example, list) and example:
        for value in got:
            _compare(value, example[0], f"{where}[]")
