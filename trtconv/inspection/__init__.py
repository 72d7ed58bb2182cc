"""Look into models and engines: what is in them, what became or would become of each node, and why.

What a model, an engine, the difference of two files or the page of --html needs is imported where it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtconv import files, reading
from trtconv.config import DEFAULT_OPS, BackendName, Ops
from trtconv.engine import backends
from trtconv.errors import ConfigError
from trtconv.inspection.inspected_file import read_header

if TYPE_CHECKING:
    from trtconv.inspection.differences import Difference, Inspection
    from trtconv.inspection.engine_report import EngineInspection
    from trtconv.inspection.model_inspection import Examined


def inspect_files(
    paths: Sequence[Path],
    *,
    compare: bool,
    ops: Ops = DEFAULT_OPS,
    keep_native: Sequence[str] = (),
    backend: BackendName = "auto",
    trust_links: bool = False,
    trust: bool = False,
    html: Path | None = None,
) -> Inspection | Difference:
    """Inspect the one file of `paths`, or with `compare` compare the two files; `html` is the page to write of one."""
    if compare and html is not None:
        raise ConfigError("a page shows one file, not the difference of two", where="--html", hint="name one file")
    wanted = 2 if compare else 1
    if len(paths) != wanted:
        raise ConfigError(f"got {len(paths)} files, expected {wanted}")
    options: dict[str, Any] = {"ops": ops, "keep_native": keep_native, "backend": backend}
    options |= {"trust_links": trust_links, "trust": trust, "html": html}
    inspections = [inspect(path, **options) for path in paths]
    if not compare:
        return inspections[0]
    from trtconv.inspection.differences import diff

    return diff(*inspections)


def inspect(
    path: str | Path,
    *,
    ops: Ops = DEFAULT_OPS,
    keep_native: Sequence[str] = (),
    backend: BackendName = "auto",
    trust_links: bool = False,
    trust: bool = False,
    html: str | Path | None = None,
) -> Inspection:
    """Inspect a model or an engine, whichever the file is; `trust` concerns engines, the other options models.

    `html` is the page to write of either. Raises ConfigError when there is no such file or the page cannot be written,
    ModelError when the file is neither.
    """
    path, page_path = Path(path), None if html is None else Path(html)
    reading.require_readable(path)
    if page_path is not None:
        from trtconv.manifest import manifest_path

        files.require_writable(page_path, inputs=(path, manifest_path(path)))
    if read_header(path) is not None:
        from trtconv.inspection.engine_inspection import inspect_engine

        engine = inspect_engine(path, trust=trust)
        if page_path is not None:
            files.write_atomically({page_path: _page_file(engine)})
        return engine
    with backends.imported_meanwhile(backend):
        from trtconv.inspection.model_inspection import examine_model
        from trtconv.model import external_data

    examined = examine_model(
        path,
        ops=ops,
        keep_native=keep_native,
        backend=backend,
        trust_links=trust_links,
        for_page=page_path is not None,
    )
    if page_path is not None:
        files.require_writable(page_path, inputs=external_data.files_of(examined.model.proto, path))
        files.write_atomically({page_path: _page_file(examined)})
    return examined.inspection


def _page_file(inspected: Examined | EngineInspection) -> bytes:
    from trtconv.inspection.page import page_file

    return page_file(inspected)
