"""Look into models and engines: what is in them, what became or would become of each node, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trtconv import reading
from trtconv.config import BackendName, Ops
from trtconv.errors import ConfigError
from trtconv.inspection.differences import Change, Difference, Inspection, diff
from trtconv.inspection.engine_inspection import inspect_engine
from trtconv.inspection.engine_report import EngineInspection
from trtconv.inspection.inspected_file import read_header
from trtconv.inspection.model_inspection import inspect_model
from trtconv.inspection.model_report import ModelInspection

__all__ = [
    "Change",
    "Difference",
    "EngineInspection",
    "Inspection",
    "ModelInspection",
    "diff",
    "inspect",
    "inspect_engine",
    "inspect_files",
    "inspect_model",
]


def inspect_files(
    paths: Sequence[Path],
    *,
    compare: bool,
    ops: Ops = "plugin",
    keep_native: Sequence[str] = (),
    backend: BackendName = "auto",
    trust_links: bool = False,
    trust: bool = False,
) -> Inspection | Difference:
    """Inspect the one file of `paths`, or with `compare` hold the two files against each other."""
    wanted = 2 if compare else 1
    if len(paths) != wanted:
        hint = "add --diff to hold two files against each other" if len(paths) == 2 else None
        raise ConfigError(f"got {len(paths)} files, expected {wanted}", hint=hint)
    options: dict[str, Any] = {"ops": ops, "keep_native": keep_native, "backend": backend}
    options |= {"trust_links": trust_links, "trust": trust}
    inspections = [inspect(path, **options) for path in paths]
    return diff(*inspections) if compare else inspections[0]


def inspect(
    path: str | Path,
    *,
    ops: Ops = "plugin",
    keep_native: Sequence[str] = (),
    backend: BackendName = "auto",
    trust_links: bool = False,
    trust: bool = False,
) -> Inspection:
    """Inspect a model or an engine, whichever the file is; `trust` concerns engines, the other options models.

    Raises ConfigError when there is no such file, ModelError when it is neither.
    """
    path = Path(path)
    reading.require_readable(path)
    if read_header(path) is not None:
        return inspect_engine(path, trust=trust)
    return inspect_model(path, ops=ops, keep_native=keep_native, backend=backend, trust_links=trust_links)
