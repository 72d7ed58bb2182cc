"""Files that once broke a command: each command now succeeds or raises a TrtconvError, in little memory and time.

The files lie in the folder `attack` of those that TRTCONV_TEST_CASES names.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from trtconv import dry_running, rewriting
from trtconv.config import BuildConfig
from trtconv.errors import TrtconvError
from trtconv.inspection.model_inspection import inspect_model
from trtconv.model import model_io
from trtconv.model.bounded import run_bounded

pytestmark = pytest.mark.bounded_inference

MAX_BYTES, MAX_SECONDS = 3 << 30, 60


def rewritten(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rewriting.rewrite(path, Path(folder) / "out.onnx")


def inspected(path: Path) -> None:
    report = inspect_model(path)
    report.render()
    report.to_json()


WORKS: dict[str, Callable[[Path], object]] = {
    "dry run": lambda path: dry_running.dry_run(path, BuildConfig(backend="tensorrt")),
    "fused": lambda path: dry_running.dry_run(path, BuildConfig(backend="tensorrt", ops="fused")),
    "fp16": lambda path: dry_running.dry_run(path, BuildConfig(backend="tensorrt", precision="fp16")),
    "bf16": lambda path: dry_running.dry_run(path, BuildConfig(backend="tensorrt", precision="bf16")),
    "rewrite": rewritten,
    "inspect": inspected,
}


def attack_files() -> list[Path]:
    given = os.environ.get("TRTCONV_TEST_CASES", "")
    return sorted(Path(given, "attack").rglob("*.onnx")) if given else []


@pytest.mark.parametrize("path", attack_files() or [None], ids=lambda path: path.stem if path else "none")
def test_success_or_an_error_in_words(path: Path | None) -> None:
    if path is None:
        pytest.skip("TRTCONV_TEST_CASES names no folder with attack/*.onnx")
    try:
        run_bounded(lambda: model_io.load(path) and None, MAX_BYTES, MAX_SECONDS)
    except TrtconvError:
        return  # what every command begins with
    for work in WORKS.values():
        with contextlib.suppress(TrtconvError):
            run_bounded(lambda work=work: work(path) and None, MAX_BYTES, MAX_SECONDS)
