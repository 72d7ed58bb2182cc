"""What users read is plain English: phrases that were mended do not come back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGES = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")]
SOURCES = sorted(REPOSITORY.glob("trtconv/**/*.py"))

# What must not be written, and what is written in its place.
PHRASES = {
    r"\boutside of\b(?! the box)": "outside",
    r"\binside of\b": "inside",
    r"\bCUDA device answers\b|\bGPU answers\b": "no CUDA device found, where there is a GPU",
    r"\bis taken: |: [\w-]+ is taken\b": "using",
    r", as here\b|\bhere is none\b": "(same version installed), no GPU here",
    r"\bstands? in the way\b": "blocks, prevents",
    r"\bobeys?\b|\bobeyed\b": "follows",
    r"\bone sees\b": "you see",
    r"\bso many\b": "N",
    r"\bagainst each other\b": "compare",
    r"\b(?:hold|holds|held) [\w' ]+ against\b": "compare",
    r"\bbehind (?:it|them)\b": "after it",
    r"\bsays its manifest\b": "from its manifest",
    r"\bsupports no\b": "does not support",
    r"\bmade[- ]up inputs\b": "generated inputs",
    # "There is no ...", "no more" and "no larger" are English, "x is no shape" is not.
    r"(?<!there )\b(?:is|are) no (?!more\b|less\b|longer\b|larger\b|smaller\b|fewer\b|faster\b)[a-z.]+": (
        "is not a ..."
    ),
}


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module that are not docstrings, an f-string as one with `{}` for its values."""
    tree = ast.parse(path.read_text())
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    skipped = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, kinds) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in ast.walk(node)}
            parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


def help_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the docstrings of a command line module: click prints them, and Python's help those of public names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node.lineno, ast.get_docstring(node) or ""


def found(text: str) -> list[str]:
    plain = " ".join(text.split())
    matches = (
        (match[0], instead)
        for phrase, instead in PHRASES.items()
        for match in re.finditer(phrase, plain, re.IGNORECASE)
    )
    return [f"{told!r}: write {instead!r}" for told, instead in matches]


@pytest.mark.parametrize("text", [
    "no CUDA device answers: TensorRT-RTX is taken", "'1,3' is no shape", "outside of the tolerance", "built, as here",
    "what stands in the way", "hold two models against each other", "build so many engines", "the options behind it",
    "TensorRT-RTX supports no plugins", "obey this file", "GPU sm_89; here is none", "is no .npz file",
])  # fmt: skip
def test_the_phrases_are_found(text: str) -> None:
    assert found(text)


@pytest.mark.parametrize("text", ["there is no GPU here", "is no larger than 4", "inside branches", "is not a shape"])
def test_good_english_is_not(text: str) -> None:
    assert not found(text)


def test_messages_and_help() -> None:
    texts = ((path, line, text) for path in SOURCES for line, text in (*strings(path), *help_texts(path)))
    assert [(f"{path}:{line}", each) for path, line, text in texts for each in found(text)] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    assert not found(text)
