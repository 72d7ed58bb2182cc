"""What `import trtconv` gives: every name is found by help(), dir() and type checkers, and imported when it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import trtconv


def test_dir_lists_every_public_name() -> None:
    assert set(trtconv.__all__) <= set(dir(trtconv))
    assert all(getattr(trtconv, name) is not None for name in trtconv.__all__)
    assert trtconv.__version__ == version("trtconv")


def test_help_shows_classes_and_functions() -> None:
    code = "import pydoc, trtconv; print(pydoc.plain(pydoc.render_doc(trtconv)))"
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    for name in ("class BuildConfig", "class Runner", "build(model_path", "compare(reference", "load_engine(path"):
        assert name in text, name


def test_type_checkers_see_what_is_imported_late() -> None:
    tree = ast.parse(Path(trtconv.__file__).read_text())
    imported = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("trtconv")
        for alias in node.names
    }
    late = {name: f"trtconv.{module}" for name, module in trtconv._MODULE_OF.items()}
    assert imported == {**late, "plugins": "trtconv"}
    assert {*imported, "__version__"} == set(trtconv.__all__)


def test_the_import_itself_is_light() -> None:
    code = (
        "import sys, trtconv; dir(trtconv); print([name for name in ('onnx', 'numpy', 'click') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
